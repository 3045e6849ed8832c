//! Enrolment: how a fresh machine becomes a party, without the hub being able to take its place.
//!
//! The owner signs an [`Invite`] that names a one-time public key; the join file carries the invite
//! and the one-time secret. The machine signs its [`Enrolment`] with the one-time key *and* with the
//! identity key born on it. The hub never sees the one-time secret, so it can neither enrol a machine
//! of its own nor swap one; anybody can check the pair of documents afterwards. The hub only keeps
//! the first enrolment of each invite.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Document, DocumentError};
use crate::digest::Digest;
use crate::envelope::{Envelope, EnvelopeError};
use crate::key::{PublicKey, SecretKey};
use crate::limits;
use crate::name::Name;
use crate::time::Time;

/// An owner's promise to accept one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Invite {
    /// The fleet.
    pub fleet: Name,
    /// The name that the party will have.
    pub name: Name,
    /// Who will own it; must have signed this.
    pub owner: PublicKey,
    /// The one-time key.
    pub key: PublicKey,
    /// After this the invite is void.
    pub expires: Time,
}

/// A machine's answer to an invite, signed by the one-time key and by the party's identity key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// The fleet.
    pub fleet: Name,
    /// The invite, by the digest of its payload.
    pub invite: Digest,
    /// The identity born on the machine.
    pub party: PublicKey,
    /// When it was signed.
    pub signed: Time,
}

impl Document for Invite {
    const KIND: &'static str = "invite";
    fn check(&self) -> Result<(), DocumentError> {
        Ok(())
    }
}

impl Document for Enrolment {
    const KIND: &'static str = "enrolment";
    fn check(&self) -> Result<(), DocumentError> {
        Ok(())
    }
}

impl Enrolment {
    /// Checks an enrolment against its invite: the invite signed by the owner it names, and by a key
    /// of `owners`; the enrolment by the one-time key and by the party it names.
    ///
    /// Expiry is left to the caller: it binds when a machine enrols, not when somebody checks later.
    pub fn verify(
        enrolment: &Envelope,
        invite: &Envelope,
        fleet: &Name,
        owners: &[PublicKey],
    ) -> Result<(Self, Invite), EnvelopeError> {
        let invited = invite.verify::<Invite>(owners, 1)?;
        let claimed: Self = enrolment.unverified()?;
        let enrolled = enrolment
            .verify::<Self>(&[invited.document.key, claimed.party], 2)?
            .document;
        let problem = if !invited.signers.contains(&invited.document.owner) {
            Some(("owner", "is not who signed the invite"))
        } else if invited.document.fleet != *fleet || enrolled.fleet != *fleet {
            Some(("fleet", "is another one"))
        } else if enrolled.invite != invited.digest {
            Some(("invite", "is another one"))
        } else if enrolled.party == invited.document.key {
            Some((
                "party",
                "is the one-time key; an identity must be born on the machine",
            ))
        } else {
            None
        };
        match problem {
            Some((field, text)) => Err(DocumentError::field(field, text).into()),
            None => Ok((enrolled, invited.document)),
        }
    }
}

/// The secret part of a join file: an invite and its one-time key, in one line of text.
pub struct Token {
    /// The signed invite.
    pub invite: Envelope,
    /// The one-time key.
    pub key: SecretKey,
}

/// Why a text is not a join token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not of the form `e3-join-…`.
    #[error("this is not a join token; it starts with e3-join- and is one long line")]
    Malformed,
    /// The invite inside cannot be read.
    #[error("the invite in the join token is damaged")]
    Invite(#[source] EnvelopeError),
}

const TOKEN: &str = "e3-join-";

impl Token {
    /// The one-line text.
    pub fn to_text(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new([self.key.seed().as_slice(), &self.invite.to_bytes()].concat());
        Zeroizing::new(format!("{TOKEN}{}", URL_SAFE_NO_PAD.encode(&*bytes)))
    }

    /// Reads the text. The invite is not verified: the machine has nobody to ask yet, the hub and
    /// the fleet's owners verify it.
    pub fn from_text(text: &str) -> Result<Self, TokenError> {
        let body = text
            .trim()
            .strip_prefix(TOKEN)
            .ok_or(TokenError::Malformed)?;
        if body.len() > limits::ENVELOPE {
            return Err(TokenError::Malformed);
        }
        let bytes = Zeroizing::new(
            URL_SAFE_NO_PAD
                .decode(body)
                .map_err(|_| TokenError::Malformed)?,
        );
        let (seed, invite) = bytes
            .split_first_chunk::<32>()
            .ok_or(TokenError::Malformed)?;
        let invite = Envelope::parse(invite, limits::ENVELOPE).map_err(TokenError::Invite)?;
        Ok(Self {
            invite,
            key: SecretKey::from_seed(seed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_invited_machine_can_enrol() {
        let [owner, once, party, thief] = [1, 2, 3, 4].map(|n| SecretKey::from_seed(&[n; 32]));
        let fleet: Name = "f".parse().unwrap();
        let invite = Invite {
            fleet: fleet.clone(),
            name: "p".parse().unwrap(),
            owner: owner.public(),
            key: once.public(),
            expires: Time::MAX,
        };
        let invite = Envelope::sign(&invite, &[&owner]).unwrap();
        let token = Token {
            invite: invite.clone(),
            key: once,
        };
        let token = Token::from_text(&token.to_text()).unwrap();
        let enrol = |key: &SecretKey, keys: &[&SecretKey]| {
            let e = Enrolment {
                fleet: fleet.clone(),
                invite: invite.digest(),
                party: key.public(),
                signed: Time::MIN,
            };
            Envelope::sign(&e, keys).unwrap()
        };
        let check = |e: &Envelope| Enrolment::verify(e, &invite, &fleet, &[owner.public()]);
        assert!(check(&enrol(&party, &[&party, &token.key])).is_ok());
        // The hub has seen everything but the one-time secret.
        assert!(check(&enrol(&thief, &[&thief])).is_err());
        // The one-time key alone is no identity.
        assert!(check(&enrol(&token.key, &[&token.key])).is_err());
        // Enrolling somebody else's key takes that key.
        assert!(check(&enrol(&party, &[&token.key])).is_err());
        assert!(
            Enrolment::verify(
                &enrol(&party, &[&party, &token.key]),
                &invite,
                &fleet,
                &[thief.public()]
            )
            .is_err()
        );
    }
}
