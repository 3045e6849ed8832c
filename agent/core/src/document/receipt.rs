//! Receipts: what a party signs after a session.
//!
//! A receipt proves what ran and how it ended without giving away the result: see [`OutputHash`].
//! Whether all receipts of a session together make it a good one is told by
//! [`crate::session::verdict`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Document, DocumentError, Machine, ensure};
use crate::digest::Digest;
use crate::key::PublicKey;
use crate::limits;
use crate::name::Name;
use crate::session::Failure;
use crate::text::is_plain;
use crate::time::Time;

/// One party's account of one session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The fleet.
    pub fleet: Name,
    /// The session's name.
    pub session: Name,
    /// The session itself, by the digest of its manifest.
    pub manifest: Digest,
    /// The party's place in the manifest.
    pub party: usize,
    /// The party, whose key must have signed this.
    pub key: PublicKey,
    /// How it ended.
    pub outcome: Outcome,
    /// How the program ended, if it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// Hashes of the outputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputHash>,
    /// The program that ran, packed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<Digest>,
    /// The MPyC file that ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mpyc: Option<Digest>,
    /// The machine that ran it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
    /// The digest of all parties' `Ready`, in order: all good receipts of a session agree on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub barrier: Option<Digest>,
    /// Round trips to the parties it could measure before the start, in microseconds, by place in the manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rtt_us: BTreeMap<usize, u64>,
    /// When the party first saw the session.
    pub started: Time,
    /// When it ended.
    pub finished: Time,
    /// Where the time went.
    pub timings: Timings,
    /// The program's standard output, if the manifest and the policy both publish it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<String>,
}

/// How a session ended for a party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    /// Every party's program exited with 0, as far as this party was told.
    Done,
    /// It failed.
    Failed {
        /// Whose fault, and why.
        failure: Failure,
    },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// Whether it exited with 0.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Code(0))
    }
}

/// The keyed hash of one output.
///
/// A short result can be guessed from a plain hash, so there is none. An output that the manifest
/// declares equal is hashed with a key that the parties derive together at the barrier: equal
/// outputs have equal hashes, and nobody else can guess. Any other output is hashed with a random
/// key of its own party, which only its owner can open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputHash {
    /// `stdout`.
    pub name: String,
    /// Under which key it was hashed.
    pub comparison: Comparison,
    /// HMAC-SHA-256.
    pub hmac: Digest,
}

/// Whether an output can be compared between parties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Comparison {
    /// Declared equal: hashed under the session's key.
    Equal,
    /// Hashed under the party's own key.
    Own,
}

/// Milliseconds since the party learnt of the session; absent if it did not get so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timings {
    /// The manifest was judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_ms: Option<u64>,
    /// Program, runtime and inputs were there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub staged_ms: Option<u64>,
    /// Python stood at the gate with everything imported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate_ms: Option<u64>,
    /// The barrier opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub barrier_ms: Option<u64>,
    /// The own program had ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exited_ms: Option<u64>,
    /// All parties had ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_ms: Option<u64>,
}

impl Document for Receipt {
    const KIND: &'static str = "receipt";

    fn check(&self) -> Result<(), DocumentError> {
        ensure(
            self.started <= self.finished,
            "finished",
            "is earlier than `started`",
        )?;
        ensure(
            self.party < limits::PARTIES,
            "party",
            "is beyond the 64 that a session can have",
        )?;
        ensure(
            self.outputs.len() <= 16,
            "outputs",
            "has more than 16 entries",
        )?;
        ensure(
            self.outputs.iter().all(|o| is_plain(&o.name, 100)),
            "outputs",
            "has a name that is none",
        )?;
        ensure(
            self.rtt_us.len() <= limits::PARTIES
                && self.rtt_us.keys().all(|party| *party < limits::PARTIES),
            "rtt_us",
            "names places beyond the 64 that a session can have",
        )?;
        if let Outcome::Failed { failure } = &self.outcome {
            failure.check("outcome.failure")?;
        }
        if let Some(machine) = &self.machine {
            machine.check()?;
        }
        ensure(
            self.published
                .iter()
                .all(|text| text.len() <= limits::PUBLISHED),
            "published",
            "is longer than 64 KiB",
        )
    }
}
