//! A release of the agent: which binary each target should run.
//!
//! Signed by the `release` role alone (rule 9). How it is tried, committed and taken back is decided
//! in [`crate::update`].

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Document, DocumentError, ensure};
use crate::digest::Blob;
use crate::limits;
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
    /// The agent's semantic version. It is installed where the installed agent is older; among
    /// releases the counter decides.
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
            is_version(&self.version) && semver::Version::parse(&self.version).is_ok(),
            "version",
            "must be a semantic version like 1.2.3, of at most 64 characters",
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
            self.binaries
                .iter()
                .all(|b| (1..=limits::AGENT).contains(&b.file.size)),
            "binaries",
            "has one that is empty or has more than 64 MiB",
        )?;
        ensure(
            targets.iter().all(|t| is_version(t)),
            "binaries",
            "has something that is no target triple",
        )
    }
}
