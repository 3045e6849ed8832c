//! How an owner shows a hub who is looking at its page: a signature over a challenge of that hub.
//!
//! It opens a page and nothing else: no rule of [`crate::trust`] takes a login for anything (rule 2), so a hub that keeps one, or
//! plays it back, has gained nothing. It names the hub by the address that its owner knows it by, so that one hub cannot pass
//! another one's challenge off as its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Document, DocumentError, Root, ensure};
use crate::digest::Digest;
use crate::envelope::{Envelope, EnvelopeError};
use crate::key::PublicKey;
use crate::limits;
use crate::name::Name;
use crate::text::is_plain;

/// Bytes of an envelope with a login: a few hundred, and some room.
const BYTES: usize = 4096;
/// Bytes of a challenge as text.
const CHALLENGE: usize = 128;
/// Bytes of a hub's host and port.
const HOST: usize = 300;

/// An owner wants to look at a hub's page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The fleet.
    pub fleet: Name,
    /// Its first root, by the digest of the payload: two fleets may have one name.
    pub root: Digest,
    /// Host and port of the hub as in fleet.toml, with the scheme before them: `https://hub.example`.
    pub hub: String,
    /// What the hub gave out for this.
    pub challenge: String,
    /// Who wants to look, and must have signed this.
    pub key: PublicKey,
}

impl Login {
    /// Reads an envelope that is no larger than one may be.
    pub fn parse(bytes: &[u8]) -> Result<Envelope, EnvelopeError> {
        Envelope::parse(bytes, limits::ENVELOPE.min(BYTES))
    }

    /// Whose login this is: signed by the key that it names, which owns machines, signs heads or signs roots in this fleet.
    ///
    /// Whether hub and challenge are the right ones only that hub can tell.
    pub fn open(envelope: &Envelope, first: &Digest, root: &Root) -> Result<Self, EnvelopeError> {
        // Whose signature it must bear stands inside.
        let claimed: Self = envelope.unverified()?;
        let login = envelope.verify::<Self>(&[claimed.key], 1)?.document;
        let problem = if login.fleet != root.fleet || login.root != *first {
            ("fleet", "is another one")
        } else if !Self::may(&login.key, root) {
            (
                "key",
                "neither owns machines of this fleet nor signs for it",
            )
        } else {
            return Ok(login);
        };
        Err(DocumentError::field(problem.0, problem.1).into())
    }

    /// Whether this key may look: one of the session, head or root role. Owners are the keys of the session role.
    pub fn may(key: &PublicKey, root: &Root) -> bool {
        [&root.session, &root.head, &root.root]
            .iter()
            .any(|role| role.keys.contains(key))
    }
}

impl Document for Login {
    const KIND: &'static str = "login";

    fn check(&self) -> Result<(), DocumentError> {
        ensure(
            !self.challenge.is_empty() && is_plain(&self.challenge, CHALLENGE),
            "challenge",
            "is none that a hub gives out",
        )?;
        ensure(is_plain(&self.hub, HOST), "hub", "is no address of a hub")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Role;
    use crate::key::SecretKey;
    use crate::time::Time;

    fn key(n: u8) -> SecretKey {
        SecretKey::from_seed(&[n; 32])
    }

    #[test]
    fn only_those_who_own_or_sign_look_at_the_page() {
        let role = |n: u8| Role {
            keys: vec![key(n).public()],
            threshold: 1,
        };
        let root = Root {
            fleet: "f".parse().unwrap(),
            version: 1,
            epoch: 1,
            signed: Time::MIN,
            root: role(1),
            head: role(2),
            session: role(3),
            release: role(4),
        };
        let first = Digest::of(b"root");
        let opens = |n: u8, signer: u8, fleet: &str, first_root: &[u8]| {
            let login = Login {
                fleet: fleet.parse().unwrap(),
                root: Digest::of(first_root),
                hub: "https://hub.example".to_owned(),
                challenge: "abc".to_owned(),
                key: key(n).public(),
            };
            let envelope = Envelope::sign(&login, &[&key(signer)]).unwrap();
            let envelope = Login::parse(&envelope.to_bytes()).unwrap();
            Login::open(&envelope, &first, &root).is_ok()
        };
        for n in 1..=3 {
            assert!(opens(n, n, "f", b"root"), "{n}");
        }
        // Who releases agents, a stranger, another one's name, another fleet, another fleet of the same name.
        assert!(!opens(4, 4, "f", b"root"));
        assert!(!opens(9, 9, "f", b"root"));
        assert!(!opens(3, 9, "f", b"root"));
        assert!(!opens(3, 3, "g", b"root"));
        assert!(!opens(3, 3, "f", b"other"));
    }
}
