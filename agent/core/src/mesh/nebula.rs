//! Nebula, with certificates of version 2.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{is_fingerprint, is_pem};
use crate::digest::Digest;
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

/// What ends one of them.
const END: &str = "-----END NEBULA CERTIFICATE V2-----";

impl Nebula {
    /// What names an authority, given by its certificate as PEM, in the certificates that it signs.
    pub fn authority(certificate: &str) -> Digest {
        Digest::of(certificate.trim().as_bytes())
    }

    /// Whether this is one of the authorities.
    pub fn has(&self, authority: &Digest) -> bool {
        let each = self.authorities.split_inclusive(END);
        let mut each = each.filter(|certificate| certificate.ends_with(END));
        each.any(|certificate| Self::authority(certificate) == *authority)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn during_a_change_both_authorities_are_named_and_no_other() {
        let [old, new, other] = ["AAAA", "BBBB", "CCCC"]
            .map(|body| format!("-----BEGIN NEBULA CERTIFICATE V2-----\n{body}\n{END}\n"));
        let nebula = Nebula {
            authorities: [old.as_str(), &new].concat(),
            revoked: Vec::new(),
        };
        nebula.check().unwrap();
        assert!(
            [&old, &new]
                .map(|pem| Nebula::authority(pem))
                .iter()
                .all(|one| nebula.has(one))
        );
        assert!(!nebula.has(&Nebula::authority(&other)) && !nebula.has(&Nebula::authority("")));
    }
}
