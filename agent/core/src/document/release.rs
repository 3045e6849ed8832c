//! A release of the agent: which binary each target should run.
//!
//! Signed by the `release` role alone (rule 9). How it is fetched, tried and rolled back is the
//! daemon's business.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Document, DocumentError, ensure};
use crate::digest::Blob;
use crate::name::Name;
use crate::text::is_version;
use crate::time::Time;

/// One version of the agent for every target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The fleet.
    pub fleet: Name,
    /// The epoch of the root it stands on.
    pub epoch: u64,
    /// Rises with every release; an older one is refused.
    pub counter: u64,
    /// The agent's version, for people.
    pub version: String,
    /// When it was signed.
    pub signed: Time,
    /// After this it is not installed any more.
    pub expires: Time,
    /// One binary per target.
    pub binaries: Vec<Binary>,
}

/// The agent for one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Binary {
    /// The Rust target triple, for example `aarch64-unknown-linux-musl`.
    pub target: String,
    /// The static binary.
    pub file: Blob,
}

impl Document for Release {
    const KIND: &'static str = "release";

    fn check(&self) -> Result<(), DocumentError> {
        ensure(self.counter >= 1, "counter", "starts at 1")?;
        ensure(
            self.signed < self.expires,
            "expires",
            "must be later than `signed`",
        )?;
        ensure(
            is_version(&self.version),
            "version",
            "must be 1 to 64 letters, digits and .+-_!~",
        )?;
        ensure(
            (1..=64).contains(&self.binaries.len()),
            "binaries",
            "must name 1 to 64 binaries",
        )?;
        let targets: BTreeSet<_> = self.binaries.iter().map(|b| b.target.as_str()).collect();
        ensure(
            targets.len() == self.binaries.len(),
            "binaries",
            "names a target twice",
        )?;
        ensure(
            targets.iter().all(|t| is_version(t)),
            "binaries",
            "has something that is no target triple",
        )
    }
}
