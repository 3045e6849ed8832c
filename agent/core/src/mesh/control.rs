//! Meshes that a control server of their own keeps together: Headscale, which anybody can run, and Tailscale's public one.
//!
//! The server allocates addresses and tells the machines of each other, so it stands in for anchors; a machine that it lets in
//! names its key on that mesh in its presence, and the others find its address by that key.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plan::split;
use super::text::is_pem;
use crate::document::{DocumentError, ensure};
use crate::key::PublicKey;
use crate::text::is_plain;

/// Bytes of certificate authorities: the old and the new one during a change.
const AUTHORITIES: usize = 16 * 1024;
/// Parties that are not let in.
const REVOKED: usize = 256;

/// A Headscale server of the fleet's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Headscale {
    /// Where it is: `https://host` or `https://host:port`.
    pub server: String,
    /// The certificate authorities of the server, as PEM, if it has its own; the machine's count as well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub authorities: String,
    /// Parties that are not let in any more: the hub makes no keys for them, and has the server forget them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<PublicKey>,
}

/// Tailscale's public control server. The key to it is each machine's own business.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tailscale {
    /// Parties whose addresses are not taken into account any more. Whoever runs the tailnet removes their machines there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<PublicKey>,
}

impl Headscale {
    pub(super) fn check(&self) -> Result<(), DocumentError> {
        ensure(
            is_server(&self.server),
            "meshes.backend.server",
            "is not https://host or https://host:port",
        )?;
        let fits = self.authorities.is_empty()
            || is_pem(
                &self.authorities,
                "-----BEGIN CERTIFICATE-----\n",
                AUTHORITIES,
            );
        ensure(
            fits,
            "meshes.backend.authorities",
            "is not PEM with certificates, of at most 16 KiB",
        )?;
        check_revoked(&self.revoked)
    }
}

impl Tailscale {
    pub(super) fn check(&self) -> Result<(), DocumentError> {
        check_revoked(&self.revoked)
    }
}

/// Whether it is the address of a control server, and nothing but scheme, host and port. Without TLS whoever is on the way
/// could take every key.
pub fn is_server(url: &str) -> bool {
    let Some(place) = url.strip_prefix("https://") else {
        return false;
    };
    let is_bracketed = place.starts_with('[') && place.ends_with(']');
    let has_port = split(place).is_some();
    is_plain(url, 300)
        && (has_port
            || (is_bracketed || !place.contains(':')) && split(&format!("{place}:443")).is_some())
}

fn check_revoked(revoked: &[PublicKey]) -> Result<(), DocumentError> {
    let parties: BTreeSet<_> = revoked.iter().collect();
    ensure(
        revoked.len() <= REVOKED && parties.len() == revoked.len(),
        "meshes.backend.revoked",
        "is not a list of at most 256 different parties",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_server_is_an_https_host_and_nothing_more() {
        for good in [
            "https://hs.example.org",
            "https://hs.example.org:8443",
            "https://10.53.0.1:8443",
            "https://[fd00::1]:8443",
            "https://[fd00::1]",
        ] {
            assert!(is_server(good), "{good}");
        }
        for bad in [
            "",
            "https://",
            "http://hs.example.org",
            "https://hs.example.org/",
            "https://hs.example.org:0",
            "https://user:word@hs.example.org",
            "https://hs example.org",
            "https://hs.example.org\"",
            "https://hs.example.org\n",
            "https://fd00::1",
        ] {
            assert!(!is_server(bad), "{bad}");
        }
    }
}
