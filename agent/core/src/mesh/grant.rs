//! The certificate that the fleet gives to a party's key, where a backend wants one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{check_key, is_fingerprint, is_pem};
use crate::digest::Digest;
use crate::document::{Document, DocumentError, Root, ensure};
use crate::envelope::{Envelope, EnvelopeError};
use crate::key::PublicKey;
use crate::limits;
use crate::name::Name;
use crate::time::Time;

/// Bytes of a certificate as text.
const CERTIFICATE: usize = 16 * 1024;
/// Certificates of a party that may be good beside its newest.
pub const EARLIER: usize = 16;

/// A certificate for the key that a party has named in its presence, signed by the keys that sign heads. Nothing in it is
/// secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeshGrant {
    /// The fleet.
    pub fleet: Name,
    /// The party.
    pub party: PublicKey,
    /// The backend's name.
    pub backend: String,
    /// The key that it is for, in base64.
    pub key: String,
    /// The certificate as PEM.
    pub certificate: String,
    /// What names the authority that has signed it ([`super::Nebula::authority`]): the head may name another one by now.
    pub authority: Digest,
    /// What names the certificate where it is revoked, in lower-case hexadecimal digits.
    pub fingerprint: String,
    /// The same of the party's certificates before it, for whatever key, that have not ended: who revokes one revokes all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<String>,
    /// When it was signed: a newer one takes the place of an older one.
    pub signed: Time,
    /// When the certificate expires.
    pub expires: Time,
}

impl MeshGrant {
    /// A certificate of `party` for this backend, signed to the threshold of those who sign the fleet's heads.
    pub fn open(
        bytes: &[u8],
        root: &Root,
        party: &PublicKey,
        backend: &str,
    ) -> Result<Self, EnvelopeError> {
        let envelope = Envelope::parse(bytes, limits::ENVELOPE)?;
        let verified = envelope.verify::<Self>(&root.head.keys, root.head.threshold)?;
        let grant = verified.document;
        let problem = if grant.fleet != root.fleet {
            "fleet"
        } else if grant.party != *party {
            "party"
        } else if grant.backend != backend {
            "backend"
        } else {
            return Ok(grant);
        };
        Err(DocumentError::field(problem, "is another one").into())
    }
}

impl Document for MeshGrant {
    const KIND: &'static str = "mesh-grant";

    fn check(&self) -> Result<(), DocumentError> {
        check_key("", &self.backend, &self.key)?;
        ensure(
            is_pem(&self.certificate, "-----BEGIN ", CERTIFICATE),
            "certificate",
            "is not PEM of at most 16 KiB",
        )?;
        ensure(
            is_fingerprint(&self.fingerprint),
            "fingerprint",
            "is not 64 hexadecimal digits",
        )?;
        let are_prints = self.earlier.iter().all(|print| is_fingerprint(print));
        ensure(
            self.earlier.len() <= EARLIER && are_prints,
            "earlier",
            "is not a list of at most 16 fingerprints of 64 hexadecimal digits",
        )?;
        ensure(
            self.signed < self.expires,
            "expires",
            "must be later than `signed`",
        )
    }
}
