//! Which agent is in effect, and which one is to follow: for everybody who asks how the agent stands.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use e3_core::digest::{Digest, Hasher};
use e3_core::update::{Candidate, Stage, State};
use serde::{Deserialize, Serialize};

use super::disk::Disk;
use super::{Entered, VERSION};
use crate::board::Board;

/// Read at a time.
const PIECE: usize = 64 * 1024;

/// Where an agent has come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// It was installed, as with the machine's image.
    #[default]
    Image,
    /// A signed release has brought it.
    Update,
}

impl Origin {
    /// The word of the JSON form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Update => "update",
        }
    }
}

/// The agent that runs, and the one that is to follow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InEffect {
    /// Its version: the release's, if a release has brought it.
    pub version: String,
    /// Its binary; nothing until that was read.
    pub sha256: Option<Digest>,
    /// Where it has come from.
    pub origin: Origin,
    /// What has not proved itself yet: this agent, or one to follow.
    pub candidate: Option<Coming>,
}

/// An agent that has not proved itself yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coming {
    /// The release's version.
    pub version: String,
    /// Its binary.
    pub sha256: Digest,
    /// How far it is; `trying` is a trial.
    pub stage: Stage,
    /// How often it was started without having proved itself.
    pub starts: u8,
}

impl InEffect {
    /// What runs, by what is remembered of updates.
    pub fn of(entered: &Entered, state: &State) -> Self {
        let candidate = state.candidate.as_ref();
        let on_trial = candidate.map(|candidate| &candidate.image);
        let known = [on_trial, state.committed.as_ref(), state.previous.as_ref()];
        let runs = entered.image.and_then(|file| {
            let mut images = known.into_iter().flatten();
            images.find(|image| image.file.digest == file)
        });
        Self {
            version: runs.map_or_else(|| VERSION.to_owned(), |image| image.version.clone()),
            sha256: entered.image,
            origin: entered.image.map_or(Origin::Image, |_| Origin::Update),
            candidate: candidate.map(Coming::of),
        }
    }

    /// The agent that runs, in one line.
    pub fn words(&self) -> String {
        let origin = match (self.origin, self.trial()) {
            (Origin::Image, _) => "of the image".to_owned(),
            (Origin::Update, None) => "an update".to_owned(),
            (Origin::Update, Some(trial)) => {
                let s = if trial.starts == 1 { "" } else { "s" };
                format!("an update on trial, started {} time{s}", trial.starts)
            }
        };
        told(&self.version, &origin, self.sha256.as_ref())
    }

    /// The agent that is to follow, in one line.
    pub fn next(&self) -> Option<String> {
        let next = self.candidate.as_ref().filter(|_| self.trial().is_none())?;
        let stage = match next.stage {
            Stage::Wanted => "being fetched and checked",
            Stage::Ready => "is tried as soon as no session runs",
            Stage::Trying => "its trial begins with the next start of the agent",
        };
        Some(told(&next.version, stage, Some(&next.sha256)))
    }

    /// The trial of the agent that runs.
    fn trial(&self) -> Option<&Coming> {
        let candidate = self.candidate.as_ref();
        candidate.filter(|c| c.stage == Stage::Trying && Some(c.sha256) == self.sha256)
    }
}

impl Coming {
    fn of(candidate: &Candidate) -> Self {
        Self {
            version: candidate.image.version.clone(),
            sha256: candidate.image.file.digest,
            stage: candidate.stage,
            starts: candidate.starts,
        }
    }
}

/// One line about an agent; its hash comes last, for whoever copies it.
fn told(version: &str, how: &str, file: Option<&Digest>) -> String {
    let version = e3_core::text::clean(version, e3_core::text::VERSION);
    let file = file.map(|file| format!(", sha256 {}", file.short()));
    format!("{version}, {how}{}", file.unwrap_or_default())
}

/// Puts on the board what runs, at once; the installed binary's hash follows when it was read.
pub fn announce(board: &Board, state: &Path, entered: &Entered) {
    // What cannot be read is the updater's to tell.
    let remembered = Disk::new(state).load().unwrap_or_default();
    board.release(InEffect::of(entered, &remembered));
    let Some(binary) = entered.binary.clone() else {
        return;
    };
    let board = board.clone();
    tokio::spawn(async move {
        match super::aside(move || hash(&binary)).await {
            Ok(Ok(file)) => board.release_is_file(file),
            Ok(Err(error)) => tracing::debug!(%error, "the agent cannot read its own binary"),
            Err(error) => tracing::debug!(%error, "the agent cannot read its own binary"),
        }
    });
}

fn hash(path: &Path) -> io::Result<Digest> {
    let (mut file, mut hasher, mut piece) = (File::open(path)?, Hasher::default(), vec![0; PIECE]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(&piece[..read]),
        }
    }
}
