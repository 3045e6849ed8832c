//! What can go wrong between a manifest and its signatures: a sentence that says what, a word for
//! scripts, and what to do.

use std::path::PathBuf;

use e3_client::files::FileError;
use e3_core::document::DocumentError;
use e3_core::key::PublicKey;
use e3_core::name::Name;
use e3_core::time::Time;

use super::bundle::BundleError;
use super::problem::Problems;
use crate::fleet_file::FleetError;
use crate::index::IndexError;

/// Why a manifest or a bundle cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Everything that is wrong in the file, as a screen of several lines.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// There is none.
    #[error("there is no manifest {path}")]
    NotFound {
        /// The file.
        path: PathBuf,
    },
    /// A signed session, where the manifest it was made from is wanted.
    #[error("{path} is a signed session, not a manifest")]
    Signed {
        /// The folder or envelope.
        path: PathBuf,
    },
    /// A new manifest may not replace one.
    #[error("{path} exists already")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// What was asked for cannot be the name of a session, party or input.
    #[error("`{0}` cannot be a name; use lower-case letters, digits and dashes")]
    BadName(String),
    /// A path that cannot be written into a manifest.
    #[error("the path {0} is not plain text, so it cannot stand in a manifest")]
    BadPath(PathBuf),
    /// Neither a key to sign with nor copies to merge.
    #[error("there is nothing to do: no key to sign with, and no copy to merge")]
    NothingToDo,
    /// Rule 9: the signature would count nowhere.
    #[error("{key} is no session key of the fleet {fleet}, so its signature would count nowhere")]
    NotASigner {
        /// The key.
        key: PublicKey,
        /// The fleet.
        fleet: Name,
    },
    /// The bundle is of another fleet.
    #[error("this session is of the fleet {found}, yours is {expected}")]
    OtherFleet {
        /// The fleet folder's.
        expected: Name,
        /// The session's.
        found: Name,
    },
    /// The fleet has started a new epoch.
    #[error("this session was signed under epoch {found}, the fleet is at {current}")]
    OtherEpoch {
        /// The newest root's.
        current: u64,
        /// The session's.
        found: u64,
    },
    /// Nobody would start it.
    #[error("this session expired at {expired}")]
    Expired {
        /// When.
        expired: Time,
    },
    /// The fleet folder.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// MPyC cannot be resolved.
    #[error("{}", .0.message())]
    Index(IndexError),
    /// The bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The document contradicts itself.
    #[error("the manifest makes no sense")]
    Document(#[from] DocumentError),
    /// A key or another file.
    #[error(transparent)]
    File(#[from] FileError),
}

// Written by hand because its text is shown without its remedy, which follows by itself.
impl From<IndexError> for ManifestError {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

impl ManifestError {
    /// The word for scripts.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Problems(_) | Self::Signed { .. } | Self::Fleet(FleetError::Problems(_)) => {
                "bad-manifest"
            }
            Self::NotFound { .. } => "no-manifest",
            Self::Exists { .. } | Self::Bundle(BundleError::Exists { .. }) => "exists",
            Self::BadName(_) | Self::BadPath(_) => "bad-name",
            Self::NothingToDo => "usage",
            Self::NotASigner { .. } => "key-not-allowed",
            Self::OtherFleet { .. } => "other-fleet",
            Self::OtherEpoch { .. } => "other-epoch",
            Self::Expired { .. } => "expired",
            Self::Fleet(_) => "no-fleet",
            Self::Index(error) if error.is_unreachable() => "index-unreachable",
            Self::Index(_) => "no-mpyc",
            Self::Bundle(BundleError::OtherSession { .. }) => "other-session",
            Self::Bundle(BundleError::Damaged { .. }) => "damaged",
            Self::Bundle(_) => "no-bundle",
            Self::Document(_) => "document",
            Self::File(FileError::Exposed { .. }) => "key-exposed",
            Self::File(_) => "file",
        }
    }

    /// Whether the cause lies in the network and not in what was typed.
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::Index(error) if error.is_unreachable())
    }

    /// What to do, where the message does not say it already.
    pub fn remedy(&self) -> Option<String> {
        let remedy = match self {
            Self::NotFound { path } => {
                return Some(format!(
                    "Write one with `e3 session new {}`.",
                    path.display()
                ));
            }
            Self::Signed { path } => {
                return Some(format!(
                    "Look at it with `e3 session show {}`.",
                    path.display()
                ));
            }
            Self::Exists { .. } => {
                "Choose another name, or move it away first; nothing is overwritten."
            }
            Self::BadName(_) => "Choose another name.",
            Self::BadPath(_) => "Rename it, with letters, digits and dashes.",
            Self::NothingToDo => {
                "Name your key with --key FILE or E3_KEY, or another copy with --merge."
            }
            Self::NotASigner { .. } => {
                "Use another key, with --key FILE or E3_KEY, or add this one to the root's session role."
            }
            Self::OtherFleet { .. } => {
                "Give the folder of that fleet with --fleet DIR or E3_FLEET."
            }
            Self::OtherEpoch { .. } => {
                "Sign its manifest again; `e3 fleet status` fetches the newest root."
            }
            Self::Expired { .. } => "Sign its manifest again.",
            Self::Index(error) => return Some(sentence(&error.remedy())),
            Self::Bundle(error) => return error.remedy().map(str::to_owned),
            Self::Document(_) => "Compare it with what `e3 session new` writes.",
            Self::Problems(_) | Self::Fleet(_) | Self::File(_) => return None,
        };
        Some(remedy.to_owned())
    }
}

/// `text` with a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        format!("{}{}.", first.to_uppercase(), chars.as_str())
    })
}
