//! Nebula, with certificates of version 2.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{is_fingerprint, is_pem};
use crate::document::{DocumentError, ensure};

/// Bytes of certificate authorities: the old and the new one during a change.
const AUTHORITIES: usize = 4096;
/// Revoked certificates.
const REVOKED: usize = 256;

/// A Nebula network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nebula {
    /// Certificates of the authorities, as PEM.
    pub authorities: String,
    /// Fingerprints of certificates that are not accepted any more, 64 hexadecimal digits each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<String>,
}

impl Nebula {
    pub(super) fn check(&self) -> Result<(), DocumentError> {
        let begin = "-----BEGIN NEBULA CERTIFICATE V2-----\n";
        ensure(
            is_pem(&self.authorities, begin, AUTHORITIES),
            "meshes.backend.authorities",
            "is not PEM with certificates of version 2, of at most 4 KiB",
        )?;
        let fits =
            self.revoked.len() <= REVOKED && self.revoked.iter().all(|print| is_fingerprint(print));
        ensure(
            fits,
            "meshes.backend.revoked",
            "is not a list of at most 256 fingerprints of 64 hexadecimal digits",
        )
    }
}
