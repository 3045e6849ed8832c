//! How a machine asks its hub for a key to a mesh whose control server lets nobody in without one.
//!
//! The request is signed by the party's identity and names a one-time public key; the answer is sealed to that
//! (`e3_client::seal`). So whoever sees or repeats a request gets nothing that he could use, and whoever sees the answer,
//! a proxy in front of the hub for one, cannot read it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check_key;
use crate::document::{Document, DocumentError};
use crate::envelope::{Envelope, EnvelopeError};
use crate::key::PublicKey;
use crate::limits;
use crate::name::Name;
use crate::time::Time;

/// A party asks for a key that it joins a mesh with: one that is good once, and for a few minutes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeshKeyRequest {
    /// The fleet.
    pub fleet: Name,
    /// The party, whose key must have signed this.
    pub party: PublicKey,
    /// The backend's name.
    pub backend: String,
    /// The one-time X25519 key that the answer is sealed to, in base64.
    pub seal: String,
    /// When it was signed. Each request of a party is newer than the one before (rule 10 makes it so on a machine whose
    /// clock was set back).
    pub signed: Time,
}

/// Seconds that a request may be older or newer than the hub's clock says.
pub const REQUEST_SECONDS: i64 = 300;

impl MeshKeyRequest {
    /// What this envelope asks for: signed by the party that it names, for this fleet and backend, at about `now`.
    pub fn open(
        envelope: &Envelope,
        fleet: &Name,
        backend: &str,
        now: Time,
    ) -> Result<Self, EnvelopeError> {
        // Whose signature it must bear stands inside.
        let claimed: Self = envelope.unverified()?;
        let request = envelope.verify::<Self>(&[claimed.party], 1)?.document;
        let problem = if request.fleet != *fleet {
            "fleet"
        } else if request.backend != backend {
            "backend"
        } else if now.since(request.signed).abs() > REQUEST_SECONDS {
            let detail = "is more than five minutes off the hub's clock";
            return Err(DocumentError::field("signed", detail).into());
        } else {
            return Ok(request);
        };
        Err(DocumentError::field(problem, "is another one").into())
    }

    /// Reads an envelope that is no larger than one may be.
    pub fn parse(bytes: &[u8]) -> Result<Envelope, EnvelopeError> {
        Envelope::parse(bytes, limits::ENVELOPE.min(BYTES))
    }
}

/// Bytes of a request: a few hundred, and some room.
const BYTES: usize = 4096;

impl Document for MeshKeyRequest {
    const KIND: &'static str = "mesh-key-request";

    fn check(&self) -> Result<(), DocumentError> {
        check_key("", &self.backend, &self.seal)
    }
}
