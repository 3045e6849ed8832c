//! What is remembered of updates, what happens to them, and what is to be done.

use std::collections::{BTreeMap, BTreeSet};

use semver::Version;
use serde::{Deserialize, Deserializer, Serialize};

use super::Trouble;
use crate::digest::{Blob, Digest};
use crate::document::Release;
use crate::time::Time;

/// A binary that an accepted release names for this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The release's epoch.
    pub epoch: u64,
    /// The release's counter: among releases it alone says which one is newer.
    pub counter: u64,
    /// The release's version: it says whether the image is newer than the installed binary.
    pub version: String,
    /// After this it is not tried any more.
    pub expires: Time,
    /// The binary.
    pub file: Blob,
}

impl Image {
    /// What `release` has for a machine of this target triple.
    pub fn of(release: &Release, target: &str) -> Result<Self, Trouble> {
        let binary = release.binaries.iter().find(|b| b.target == target);
        let binary = binary.ok_or_else(|| Trouble::NoBinary {
            version: release.version.clone(),
            target: target.to_owned(),
        })?;
        Ok(Self {
            epoch: release.epoch,
            counter: release.counter,
            version: release.version.clone(),
            expires: release.expires,
            file: binary.file,
        })
    }

    /// How new it is among releases. A new epoch starts its counters afresh.
    pub const fn age(&self) -> (u64, u64) {
        (self.epoch, self.counter)
    }

    /// Whether it is of a later version than `other`. A version that is none is never later.
    pub fn is_later_than(&self, other: &str) -> bool {
        is_later(&self.version, other)
    }
}

/// Whether `version` is later than `other`. A version that is none is never later.
pub fn is_later(version: &str, other: &str) -> bool {
    match (Version::parse(version), Version::parse(other)) {
        (Ok(own), Ok(other)) => own.cmp_precedence(&other).is_gt(),
        _ => false,
    }
}

/// Everything that is remembered of updates on one machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The newest image that has proved itself; what runs unless something is under trial.
    pub committed: Option<Image>,
    /// The one before: what runs if the newest is not whole any more.
    pub previous: Option<Image>,
    /// What is on its way to be committed.
    pub candidate: Option<Candidate>,
    /// Files that have failed here. One entry for each failed release that the fleet's release keys
    /// have signed, so it is not cut: a file that was forgotten would be tried again.
    pub bad: BTreeMap<Digest, Bad>,
    /// What goes to the journal and is not there yet: stage 0 has none to write to.
    pub news: Vec<News>,
    /// What is wrong now, if something is.
    #[serde(deserialize_with = "if_known")]
    pub trouble: Option<Trouble>,
    /// What a newer agent has written beside all that. Stage 0 is often older than what it starts, so it
    /// keeps what it does not know.
    #[serde(flatten)]
    pub rest: BTreeMap<String, serde_json::Value>,
}

/// Trouble that a newer agent has noted and this one knows no words for. An agent of long ago must not stumble over it:
/// it could neither start what the newer one has left nor remember what is bad.
fn if_known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Trouble>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(Trouble::deserialize(value).ok())
}

impl State {
    /// The files that are still needed.
    pub fn keeps(&self) -> BTreeSet<Digest> {
        let candidate = self.candidate.as_ref().map(|candidate| &candidate.image);
        [self.committed.as_ref(), self.previous.as_ref(), candidate]
            .into_iter()
            .flatten()
            .map(|image| image.file.digest)
            .collect()
    }
}

/// An image that has not proved itself yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The image.
    pub image: Image,
    /// How far it is.
    pub stage: Stage,
    /// Starts without proof.
    pub starts: u8,
}

/// How far a candidate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// To be fetched and checked.
    Wanted,
    /// It lies on the disk, checked; it is tried as soon as no session runs.
    Ready,
    /// Under trial: every start of the agent starts it.
    Trying,
}

/// What has failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bad {
    /// The version of the release that brought it.
    pub version: String,
    /// How it failed.
    #[serde(default, deserialize_with = "if_known")]
    pub trouble: Option<Trouble>,
}

/// A decision that the journal shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// `tried`, `committed`, `rolled-back`, `spoilt` or `superseded`.
    pub verdict: String,
    /// The file it is about.
    pub file: Digest,
    /// More of it, in words.
    pub detail: String,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The newest head names an accepted release, which has this for the machine.
    Released {
        /// The image.
        image: Image,
        /// The version of the installed binary.
        installed: String,
    },
    /// The newest head names no release any more.
    Withdrawn,
    /// This file lies on the disk, is what the release names, and has passed its self-check.
    Checked(Digest),
    /// This file is what the release names, and does not pass its self-check.
    Unfit {
        /// The file.
        file: Digest,
        /// What it said.
        detail: String,
    },
    /// No session runs or is about to, and the running agent has verified a head since it started.
    Idle {
        /// What time it is by rule 10.
        now: Time,
    },
    /// Stage 0: the agent starts.
    Start {
        /// The version of the installed binary.
        installed: String,
    },
    /// This file is not there any more, or not what its release names.
    Spoilt {
        /// The file.
        file: Digest,
        /// What is wrong with it.
        detail: String,
    },
    /// The running agent, which is this file, has worked for the length of a trial and has verified a
    /// head.
    Healthy(Digest),
    /// The same, but it has not been able to verify a head for a long time.
    Unproven(Digest),
    /// The running agent, which is this file, had started well and is told to end.
    Stopped(Digest),
    /// So many of the news are in the journal.
    Told(usize),
}

/// What is to be done, once the state is on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Fetch it, check it, let it check itself.
    Fetch(Image),
    /// The same file under a newer release: keep that release beside it.
    Adopt(Image),
    /// End, so that stage 0 chooses anew.
    Restart,
    /// Stage 0: execute this file.
    Execute(Image),
    /// Stage 0: go on as the installed binary.
    GoOn,
}
