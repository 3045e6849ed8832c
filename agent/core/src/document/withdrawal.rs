//! An owner takes an invite back: nobody enrols by it any more, and whoever has is a party no longer.
//!
//! It is how a join file that got lost loses its worth, and how a machine that was sold, destroyed or
//! never wanted leaves the fleet. What the machine may still do with others is the head's to say:
//! sessions name their parties, and meshes their members. A machine that is wanted again gets a new
//! invite.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Document, DocumentError, Invite, Root};
use crate::digest::Digest;
use crate::envelope::{Envelope, EnvelopeError};
use crate::key::PublicKey;
use crate::name::Name;
use crate::time::Time;

/// The end of an invite, and of the enrolment that was made by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Withdrawal {
    /// The fleet.
    pub fleet: Name,
    /// The invite, by the digest of its payload.
    pub invite: Digest,
    /// Who takes it back, and must have signed this: who gave it, or one of those who sign heads.
    pub by: PublicKey,
    /// When it was signed.
    pub signed: Time,
}

impl Document for Withdrawal {
    const KIND: &'static str = "withdrawal";
    fn check(&self) -> Result<(), DocumentError> {
        Ok(())
    }
}

impl Withdrawal {
    /// Reads and checks a withdrawal of the invite `invite`. `known` is that invite if a machine has
    /// used it: then only its owner and the keys of the head role may withdraw it. One that nobody has
    /// used is known to its owner alone, so any key of the session role will do.
    pub fn open(
        envelope: &Envelope,
        invite: &Digest,
        known: Option<&Invite>,
        root: &Root,
    ) -> Result<Self, EnvelopeError> {
        // Whose signature it must bear stands inside.
        let claimed: Self = envelope.unverified()?;
        let withdrawal = envelope.verify::<Self>(&[claimed.by], 1)?.document;
        let is_owner = root.session.keys.contains(&withdrawal.by)
            && known.is_none_or(|known| known.owner == withdrawal.by);
        let problem = if withdrawal.fleet != root.fleet {
            ("fleet", "is another one")
        } else if withdrawal.invite != *invite {
            ("invite", "is another one")
        } else if !is_owner && !root.head.keys.contains(&withdrawal.by) {
            (
                "by",
                "is neither who gave the invite nor one who signs heads",
            )
        } else {
            return Ok(withdrawal);
        };
        Err(DocumentError::field(problem.0, problem.1).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Role;
    use crate::key::SecretKey;

    fn key(n: u8) -> SecretKey {
        SecretKey::from_seed(&[n; 32])
    }

    /// Key 1 signs heads, 2 and 3 sign sessions and own machines.
    fn root() -> Root {
        let role = |keys: &[u8]| Role {
            keys: keys.iter().map(|n| key(*n).public()).collect(),
            threshold: 1,
        };
        Root {
            fleet: "f".parse().unwrap(),
            version: 1,
            epoch: 1,
            signed: Time::MIN,
            root: role(&[9]),
            head: role(&[1]),
            session: role(&[2, 3]),
            release: role(&[9]),
        }
    }

    fn withdrawal(by: u8, signer: u8) -> Envelope {
        let document = Withdrawal {
            fleet: "f".parse().unwrap(),
            invite: Digest::of(b"invite"),
            by: key(by).public(),
            signed: Time::MIN,
        };
        Envelope::sign(&document, &[&key(signer)]).unwrap()
    }

    #[test]
    fn only_its_owner_and_those_who_sign_heads_take_an_invite_back() {
        let invite = Digest::of(b"invite");
        let used = Invite {
            fleet: "f".parse().unwrap(),
            name: "alice".parse().unwrap(),
            owner: key(2).public(),
            key: key(8).public(),
            expires: Time::MAX,
        };
        let holds = |by, signer, known| {
            Withdrawal::open(&withdrawal(by, signer), &invite, known, &root()).is_ok()
        };
        assert!(holds(2, 2, Some(&used)));
        assert!(holds(1, 1, Some(&used)));
        // Another owner's machine, a stranger's word, and a signature that is not the name's.
        assert!(!holds(3, 3, Some(&used)));
        assert!(!holds(7, 7, Some(&used)));
        assert!(!holds(2, 3, Some(&used)));
        // Nobody has used it: only its owner knows its digest.
        assert!(holds(2, 2, None));
        assert!(!holds(7, 7, None));
        let other = Digest::of(b"other");
        let open = |fleet: &str, invite| {
            let root = Root {
                fleet: fleet.parse().unwrap(),
                ..root()
            };
            Withdrawal::open(&withdrawal(2, 2), invite, None, &root)
        };
        assert!(open("f", &other).is_err());
        assert!(open("g", &invite).is_err());
    }
}
