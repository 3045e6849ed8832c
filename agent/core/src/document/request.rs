//! What an owner asks of a machine from afar, and the machine's answer: show who you are, look for what is wrong, say what you
//! have logged.
//!
//! The request is signed by its asker, meant for one machine, and names a one-time public key; the answer is signed by the machine
//! and sealed to that key (`e3_client::seal`). So the hub that carries both can read neither journal nor report, nobody makes a
//! machine answer by repeating a request, and what was said can be read by nobody once the asker has forgotten the key. Who may
//! ask is the machine's own business: [`crate::trust::asked`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Document, DocumentError, Root, ensure};
use crate::checkup::Check;
use crate::digest::Digest;
use crate::envelope::{Envelope, EnvelopeError, Verified};
use crate::key::PublicKey;
use crate::limits;
use crate::name::Name;
use crate::time::Time;

/// Seconds that a request may be older or newer than the clock of whoever gets it.
pub const FRESH: i64 = 300;
/// Lines of a log that can be asked for.
pub const LINES: u16 = 1000;

/// Somebody asks a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartyRequest {
    /// The fleet.
    pub fleet: Name,
    /// The machine, and no other one.
    pub party: PublicKey,
    /// Who asks, and must have signed this.
    pub by: PublicKey,
    /// What for.
    pub ask: Ask,
    /// The one-time X25519 key that the answer is sealed to, in base64.
    pub seal: String,
    /// When it was signed, in milliseconds since 1970. Each request of an asker to a machine is later than the one before.
    pub millis: u64,
}

/// What a machine can be asked. Nothing of it changes what the machine does for its fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "what", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// To be told from the others in the room: its console, and its light if it has one.
    Identify,
    /// What is wrong with it.
    Doctor,
    /// The last lines of its agent's log.
    Logs {
        /// How many.
        lines: u16,
    },
}

impl Ask {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identify => "identify",
            Self::Doctor => "doctor",
            Self::Logs { .. } => "logs",
        }
    }
}

impl PartyRequest {
    /// Reads an envelope that is no larger than one may be.
    pub fn parse(bytes: &[u8]) -> Result<Envelope, EnvelopeError> {
        Envelope::parse(bytes, limits::REQUEST)
    }

    /// What this envelope asks for: signed by the owner that it names, for this machine of the fleet. Owners are the keys of the
    /// session role; whether the machine answers this one is its own business, and so is whether it is fresh.
    pub fn open(
        envelope: &Envelope,
        root: &Root,
        party: &PublicKey,
    ) -> Result<Verified<Self>, EnvelopeError> {
        // Whose signature it must bear stands inside.
        let claimed: Self = envelope.unverified()?;
        let request = envelope.verify::<Self>(&[claimed.by], 1)?;
        let document = &request.document;
        let problem = if document.fleet != root.fleet {
            ("fleet", "is another one")
        } else if document.party != *party {
            ("party", "is another one")
        } else if !root.session.keys.contains(&document.by) {
            ("by", "is no owner of this fleet")
        } else {
            return Ok(request);
        };
        Err(DocumentError::field(problem.0, problem.1).into())
    }

    /// When it was signed.
    pub fn signed(&self) -> Time {
        Time::from_unix(i64::try_from(self.millis / 1000).unwrap_or(i64::MAX))
    }

    /// Whether it was signed at about `now`.
    pub fn is_fresh(&self, now: Time) -> bool {
        now.since(self.signed()).abs() <= FRESH
    }

    /// What goes into the seal besides the keys: an answer fits one request and no other.
    pub fn about(digest: &Digest) -> Vec<u8> {
        [b"e3 party answer\n".as_slice(), digest.as_bytes()].concat()
    }
}

impl Document for PartyRequest {
    const KIND: &'static str = "party-request";

    fn check(&self) -> Result<(), DocumentError> {
        let is_key = self.seal.len() <= 64 && self.seal.is_ascii();
        ensure(is_key, "seal", "is no key in base64")?;
        let lines = match self.ask {
            Ask::Logs { lines } => lines,
            Ask::Identify | Ask::Doctor => 1,
        };
        ensure(
            (1..=LINES).contains(&lines),
            "ask.lines",
            "is not 1 to 1000",
        )
    }
}

/// A machine's answer to one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartyAnswer {
    /// The fleet.
    pub fleet: Name,
    /// The machine, whose key must have signed this.
    pub party: PublicKey,
    /// The request, by the digest of its payload.
    pub request: Digest,
    /// A [`Report`] as JSON, sealed to the request's one-time key, in base64.
    pub sealed: String,
}

impl Document for PartyAnswer {
    const KIND: &'static str = "party-answer";

    fn check(&self) -> Result<(), DocumentError> {
        let fits = self.sealed.len() <= limits::REPORT * 3 / 2 && self.sealed.is_ascii();
        ensure(fits, "sealed", "is larger than a report may be")
    }
}

/// What a machine reports to whoever has asked it. It comes from the machine alone, and is as true as the machine is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Report {
    /// It shows who it is.
    Identified {
        /// Where it can be seen: `console`, `light`.
        shown: Vec<String>,
        /// For how long.
        seconds: u32,
    },
    /// What it found.
    Doctor {
        /// The agent's version.
        agent: String,
        /// One by one.
        checks: Vec<Check>,
    },
    /// What it has logged, oldest first.
    Logs {
        /// One by one.
        lines: Vec<String>,
    },
    /// It does not do that.
    Refused {
        /// Why.
        reason: AskRefusal,
        /// What time it is for the machine.
        now: Time,
    },
}

/// Why a machine does not do what it was asked by somebody who belongs to its fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum AskRefusal {
    /// Its owner has not allowed it.
    #[error("it answers its own owner, and nobody else whom its settings do not name")]
    NotAllowed,
    /// The request is of another time.
    #[error("the request is not of this time by the machine's clock")]
    Stale,
}
