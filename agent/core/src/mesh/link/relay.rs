//! What `e3-link relay` is told.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{CONFIG, KeySource};

/// All that `e3-link relay` is told. It holds no secret.
///
/// The relay passes sealed packets between the parties on its list and tells them what their
/// addresses look like from outside. It sees who speaks to whom, and nothing of what is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayConfig {
    /// TCP address for HTTPS: port 443 passes where little else does.
    pub listen: SocketAddr,
    /// UDP address for address discovery.
    pub discovery: SocketAddr,
    /// PEM file with the certificate, and those between it and an authority. Read again when it changes.
    pub certificate: PathBuf,
    /// The certificate's key. Read again when the certificate changes.
    pub key: KeySource,
    /// A file with the [`super::Id`]s that are served, a JSON list. Read again when it changes: who is no longer in it is
    /// cut off. A file that is missing or cannot be read serves those of the last one that could, at the start nobody.
    pub allow: PathBuf,
    /// Bytes that one party may send in a second. Unlimited if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<std::num::NonZeroU32>,
}

/// The line that `e3-link relay --attached` prints when it serves, as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayReady {
    /// Where it listens for HTTPS, with the port that it got.
    pub listen: SocketAddr,
    /// Where it tells addresses, with the port that it got.
    pub discovery: SocketAddr,
}

/// Why a relay's configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelayConfigError {
    /// Too long.
    #[error("the relay's configuration has more than {CONFIG} bytes")]
    TooLarge,
    /// Not the JSON that it should be.
    #[error("the relay's configuration cannot be read: {0}")]
    Json(String),
}

impl RelayConfig {
    /// Reads a configuration (rule 3: bounded before it is parsed).
    pub fn parse(bytes: &[u8]) -> Result<Self, RelayConfigError> {
        if bytes.len() > CONFIG {
            return Err(RelayConfigError::TooLarge);
        }
        serde_json::from_slice(bytes)
            .map_err(|error| RelayConfigError::Json(crate::text::clean(&error.to_string(), 300)))
    }
}
