//! Why there is no wheel. Only what happened: what to do about it depends on who asked.

use std::path::PathBuf;

use e3_core::digest::Digest;

use crate::files::FileError;
use crate::human;

/// Versions named in one message.
const VERSIONS: usize = 24;

/// Why there is no wheel.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// A local file has another name or another kind of contents.
    #[error("{path} is not the wheel of MPyC {version}")]
    OtherFile {
        /// Which file.
        path: PathBuf,
        /// What was asked for.
        version: String,
    },
    /// It is not the one that is pinned.
    #[error("{file} has the digest {found}, the manifest pins {pinned}")]
    OtherDigest {
        /// Its name.
        file: String,
        /// What was asked for.
        pinned: Digest,
        /// What is there.
        found: Digest,
    },
    /// Nobody answers.
    #[error("the Python index {index} cannot be reached: {detail}")]
    Unreachable {
        /// The index.
        index: String,
        /// What the network said.
        detail: String,
    },
    /// It says no.
    #[error("the Python index {index} answered with status {status}")]
    Status {
        /// The index.
        index: String,
        /// The HTTP status.
        status: u16,
    },
    /// Somebody answers, but not such an index.
    #[error("the Python index {index} does not speak the simple JSON API (PEP 691): {detail}")]
    NotSimple {
        /// The index.
        index: String,
        /// What it says instead.
        detail: String,
    },
    /// More bytes than there may be (rule 3).
    #[error("the Python index {index} sends more than {} for {what}", human::binary(*.limit))]
    TooLarge {
        /// The index.
        index: String,
        /// Of what.
        what: String,
        /// The bound, in bytes.
        limit: u64,
    },
    /// It knows no such version.
    #[error("the Python index {index} has no wheel of MPyC {version}, it has {}", listed(.known))]
    NoSuchVersion {
        /// The index.
        index: String,
        /// What was asked for.
        version: String,
        /// What it has.
        known: Vec<String>,
    },
    /// It knows no such file.
    #[error("the Python index {index} has no {file}")]
    NoSuchFile {
        /// The index.
        index: String,
        /// What was asked for.
        file: String,
    },
    /// It does not say what the file hashes to.
    #[error("the Python index {index} names no SHA-256 for {file}")]
    NoDigest {
        /// The index.
        index: String,
        /// Its name.
        file: String,
    },
    /// It contradicts itself.
    #[error("the Python index {index} sent other bytes than it names for {file}")]
    NotAsNamed {
        /// The index.
        index: String,
        /// Its name.
        file: String,
    },
    /// Its file is not the one that was asked for by digest and length.
    #[error("the Python index {index} has another {file} than the one that is pinned")]
    NotAsPinned {
        /// The index.
        index: String,
        /// Its name.
        file: String,
    },
    /// The address makes no sense.
    #[error("{url} is not the URL of a Python index")]
    BadUrl {
        /// What was written, without what could be a password.
        url: String,
    },
    /// It would have to be believed, and is not reached safely.
    #[error(
        "the Python index {index} is not reached over TLS, so anybody on the way could choose what runs"
    )]
    NotSecure {
        /// The index.
        index: String,
    },
    /// A local file.
    #[error(transparent)]
    File(#[from] FileError),
}

impl IndexError {
    /// Whether the network or the index is to blame.
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Status { .. })
    }
}

/// `0.9, 0.10 and 0.11`; of very many only the first.
fn listed(versions: &[String]) -> String {
    let shown = &versions[..versions.len().min(VERSIONS)];
    match (shown, versions.len() - shown.len()) {
        ([], _) => "none".to_owned(),
        ([one], 0) => one.clone(),
        ([most @ .., last], 0) => format!("{} and {last}", most.join(", ")),
        (shown, more) => format!("{} and {more} more", shown.join(", ")),
    }
}
