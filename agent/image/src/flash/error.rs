//! What can go wrong with a disk, and what to do.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use e3_client::human;

use crate::error::ImageError;

/// Why a disk is not what the image is.
#[derive(Debug, thiserror::Error)]
pub enum FlashError {
    /// It cannot be opened.
    #[error("cannot open {path}")]
    Open {
        /// The disk.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody else has it.
    #[error("{path} is in use")]
    Busy {
        /// The disk.
        path: PathBuf,
    },
    /// The image is longer.
    #[error("{path} is too small: it has {}, and the image needs {}{}", human::size(*.has), if *.begun { "more than " } else { "" }, human::size(*.needs))]
    TooSmall {
        /// The disk.
        path: PathBuf,
        /// Its bytes.
        has: u64,
        /// The image's bytes, as far as they are known.
        needs: u64,
        /// Whether something was written already.
        begun: bool,
    },
    /// It was pulled out.
    #[error("{path} is gone, after {} were written", human::size(*.at))]
    Gone {
        /// The disk.
        path: PathBuf,
        /// How much was.
        at: u64,
    },
    /// It does not take it.
    #[error("{path} cannot be written to beyond {}", human::size(*.at))]
    Write {
        /// The disk.
        path: PathBuf,
        /// Where.
        at: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It does not give it back.
    #[error("{path} cannot be read beyond {}", human::size(*.at))]
    Read {
        /// The disk.
        path: PathBuf,
        /// Where.
        at: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It gives back something else.
    #[error("{path} does not keep what is written to it: there is something else at byte {at}")]
    Mismatch {
        /// The disk.
        path: PathBuf,
        /// The first piece that differs.
        at: u64,
    },
}

impl FlashError {
    /// The word for scripts.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Open { .. } => "disk-open",
            Self::Busy { .. } => "disk-busy",
            Self::TooSmall { .. } => "disk-too-small",
            Self::Gone { .. } => "disk-gone",
            Self::Write { .. } => "disk-write",
            Self::Read { .. } => "disk-read",
            Self::Mismatch { .. } => "disk-mismatch",
        }
    }

    /// What to do.
    pub fn remedy(&self) -> Option<String> {
        let remedy = match self {
            Self::Open { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "Run the command with sudo."
            }
            Self::Open { .. } => return None,
            Self::Busy { .. } => {
                "Close what uses it, a file manager for example, and run the command again."
            }
            Self::TooSmall { begun: false, .. } => {
                "Take a larger card. Nothing was written to this one."
            }
            Self::TooSmall { .. } => {
                "Take a larger card. This one was written over and starts nothing."
            }
            Self::Gone { .. } => {
                "It was pulled out, or its reader failed; as it is, it starts nothing. Put it in again and run the same command: it goes on where it stopped."
            }
            Self::Write { .. } | Self::Read { .. } => {
                "Try another reader or port first: the same command goes on where it stopped. If it fails at the same place, the card is worn out. As it is, it starts nothing."
            }
            Self::Mismatch { .. } => {
                "The card is worn out, or smaller than it says: take another one."
            }
        };
        Some(remedy.to_owned())
    }
}

/// Something other than the disk ended the writing: the disk is not what it was, and not what it should be.
#[derive(Debug)]
pub struct HalfWritten {
    /// The disk.
    pub path: PathBuf,
    /// What happened.
    pub error: Box<ImageError>,
}

impl HalfWritten {
    /// What to do, and how the disk is.
    pub fn remedy(&self) -> String {
        let disk = format!(
            "{} was written over in part, and starts nothing.",
            self.path.display()
        );
        let remedy = self.error.remedy();
        remedy.map_or_else(|| disk.clone(), |remedy| format!("{remedy} {disk}"))
    }
}

impl fmt::Display for HalfWritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for HalfWritten {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}
