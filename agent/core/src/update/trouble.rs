//! What is wrong with an update, as a type. The words for people are made here and nowhere else.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::{DETAIL, VERSION, clean, is_plain};

/// What is wrong with an update. The agent works all the same (rule 11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Trouble {
    /// The trust rules refuse the release that the head names.
    Refused {
        /// The rule.
        detail: String,
    },
    /// The release has nothing for this machine.
    NoBinary {
        /// The release's version.
        version: String,
        /// The target triple that this machine needs.
        target: String,
    },
    /// The binary cannot be had, or what came is not what was signed.
    NotFetched {
        /// The release's version.
        version: String,
        /// Why.
        detail: String,
    },
    /// This machine does not execute what lies in the state folder.
    NotExecutable {
        /// The release's version.
        version: String,
        /// What the system says.
        detail: String,
    },
    /// The binary did not pass its own check on this machine. It is never tried again.
    Unfit {
        /// The release's version.
        version: String,
        /// What it said.
        detail: String,
    },
    /// The binary was started and did not prove itself. It is never tried again.
    Failed {
        /// The release's version.
        version: String,
        /// How often.
        starts: u8,
    },
    /// A release names a binary that has failed here before.
    KnownBad {
        /// The release's version.
        version: String,
    },
    /// The binary worked, but could not verify a head; it is tried again when the hub is back.
    Unproven {
        /// The release's version.
        version: String,
    },
    /// A file on the disk is not what was signed. It is fetched again.
    Spoilt {
        /// The release's version.
        version: String,
        /// What is wrong with it.
        detail: String,
    },
    /// What is remembered of updates cannot be read or written, so the installed binary runs.
    State {
        /// Why.
        detail: String,
    },
}

impl Trouble {
    /// The word that scripts compare: the `kind` of the JSON form.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::NoBinary { .. } => "no-binary",
            Self::NotFetched { .. } => "not-fetched",
            Self::NotExecutable { .. } => "not-executable",
            Self::Unfit { .. } => "unfit",
            Self::Failed { .. } => "failed",
            Self::KnownBad { .. } => "known-bad",
            Self::Unproven { .. } => "unproven",
            Self::Spoilt { .. } => "spoilt",
            Self::State { .. } => "state",
        }
    }

    /// Whether its texts are short and plain enough to travel.
    pub(crate) fn is_plain(&self) -> bool {
        let plain = |version: &str, detail: &str| {
            is_plain(version, VERSION) && is_plain(detail, 4 * DETAIL + 4)
        };
        match self {
            Self::Refused { detail } | Self::State { detail } => plain("", detail),
            Self::NoBinary { version, target } => plain(version, target),
            Self::NotFetched { version, detail }
            | Self::NotExecutable { version, detail }
            | Self::Unfit { version, detail }
            | Self::Spoilt { version, detail } => plain(version, detail),
            Self::Failed { version, .. }
            | Self::KnownBad { version }
            | Self::Unproven { version } => plain(version, ""),
        }
    }

    /// The same with its words of strangers cleaned and cut. Versions come out of verified releases
    /// and need none of that.
    #[must_use]
    pub fn cleaned(mut self) -> Self {
        match &mut self {
            Self::Refused { detail }
            | Self::State { detail }
            | Self::NotFetched { detail, .. }
            | Self::NotExecutable { detail, .. }
            | Self::Unfit { detail, .. }
            | Self::Spoilt { detail, .. } => *detail = clean(detail, DETAIL),
            Self::NoBinary { .. }
            | Self::Failed { .. }
            | Self::KnownBad { .. }
            | Self::Unproven { .. } => {}
        }
        self
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { detail } => write!(f, "the release is refused: {detail}"),
            Self::NoBinary { version, target } => {
                write!(f, "release {version} has no binary for {target}")
            }
            Self::NotFetched { version, detail } => {
                write!(f, "release {version} cannot be fetched: {detail}")
            }
            Self::NotExecutable { version, detail } => write!(
                f,
                "release {version} cannot be executed from the state folder: {detail}"
            ),
            Self::Unfit { version, detail } => write!(
                f,
                "release {version} does not pass its self-check here and is not tried: {detail}"
            ),
            Self::Failed { version, starts } => write!(
                f,
                "release {version} was started {starts} times and did not prove itself; it was \
                 taken back and is not tried again"
            ),
            Self::KnownBad { version } => write!(
                f,
                "release {version} names a binary that has failed here before; it is not tried again"
            ),
            Self::Unproven { version } => write!(
                f,
                "release {version} works but could not verify a head; it is tried again when the \
                 hub is back"
            ),
            Self::Spoilt { version, detail } => write!(
                f,
                "the binary of release {version} is not what was signed and is fetched again: {detail}"
            ),
            Self::State { detail } => write!(
                f,
                "what is remembered of updates cannot be used, so nothing is updated (if it is damaged, \
                 remove update.json from the state folder): {detail}"
            ),
        }
    }
}
