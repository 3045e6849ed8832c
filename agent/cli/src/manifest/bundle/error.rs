//! Why a bundle cannot be used, and what to do then.

use std::path::PathBuf;

use e3_client::files::FileError;
use e3_core::digest::{Blob, Digest};
use e3_core::envelope::EnvelopeError;
use e3_core::limits;

use super::ENVELOPE;

/// Why a bundle cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// There is something else.
    #[error("{path} is no session: neither a folder with {ENVELOPE}, nor an envelope")]
    NoBundle {
        /// Where.
        path: PathBuf,
    },
    /// There is nothing.
    #[error("{path} is not there")]
    NotFound {
        /// Where.
        path: PathBuf,
    },
    /// Nothing is overwritten.
    #[error("{path} exists already")]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// The envelope cannot be read.
    #[error("{path} holds no session")]
    Envelope {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: EnvelopeError,
    },
    /// A part is not what the manifest names.
    #[error("{path} is not what the manifest names: it needs {} bytes with {}", named.size, named.digest)]
    Damaged {
        /// Which part.
        path: PathBuf,
        /// What it should be.
        named: Blob,
    },
    /// Only the envelope is there.
    #[error(
        "{path} is the envelope alone; the program and MPyC are in the folder that `e3 session sign` made"
    )]
    EnvelopeOnly {
        /// The envelope.
        path: PathBuf,
    },
    /// Signatures of two different sessions cannot be merged.
    #[error("{other} is another session: it holds {found}, not {expected}")]
    OtherSession {
        /// The other one.
        other: PathBuf,
        /// The digest of this manifest.
        expected: Digest,
        /// The digest of the other one.
        found: Digest,
    },
    /// Rule 3: nobody would read it.
    #[error(
        "it would carry {count} signatures, and may carry {}",
        limits::SIGNATURES
    )]
    TooManySignatures {
        /// How many.
        count: usize,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl BundleError {
    /// What to do.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::NoBundle { .. } | Self::NotFound { .. } => {
                Some("Name the folder NAME.session that `e3 session sign` has made.")
            }
            Self::Exists { .. } => Some(
                "Name another one with --output, or move it away. To add a signature, sign the bundle itself.",
            ),
            Self::Envelope { path, .. } if path.extension().is_some_and(|end| end == "toml") => {
                Some(
                    "A manifest is signed first, with `e3 session sign`; name the folder NAME.session that it makes.",
                )
            }
            Self::Envelope { .. } | Self::Damaged { .. } => {
                Some("Get a new copy from whoever made it.")
            }
            Self::EnvelopeOnly { .. } => Some("Name the folder NAME.session instead."),
            Self::OtherSession { .. } => {
                Some("Merge copies of one session only; each signs one manifest.")
            }
            Self::TooManySignatures { .. } => {
                Some("Get a copy without foreign signatures, and sign that.")
            }
            Self::File(_) => None,
        }
    }
}
