//! What can go wrong with published images.

use std::io;

use e3_client::files::FileError;
use e3_core::digest::Digest;
use e3_core::document::DocumentError;
use e3_core::envelope::EnvelopeError;

/// Why a list or an image is not taken.
#[derive(Debug, thiserror::Error)]
pub enum PublishedError {
    /// Neither an address nor a file.
    #[error("`{text}` is no address of http or https")]
    Address {
        /// What was said.
        text: String,
    },
    /// Nobody answers, or stops to.
    #[error("{from} cannot be reached: {detail}")]
    Unreachable {
        /// Where.
        from: String,
        /// Why.
        detail: String,
    },
    /// It answers with something else.
    #[error("{from} answers with status {status}")]
    Status {
        /// Where.
        from: String,
        /// The status of HTTP.
        status: u16,
    },
    /// A file of ours, or a list that is a file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not signed by the one who was named, or no list.
    #[error("the list at {from} is not taken")]
    List {
        /// Where it was.
        from: String,
        /// Why.
        #[source]
        source: EnvelopeError,
    },
    /// A list that is to be published makes no sense.
    #[error("the list cannot be signed")]
    Draft(#[source] DocumentError),
    /// An older list than one that was seen.
    #[error("the list at {from} is an old one: it has the number {number}, and {seen} was seen")]
    Old {
        /// Where it was.
        from: String,
        /// Its number.
        number: u64,
        /// The highest one that was seen.
        seen: u64,
    },
    /// Two lists of one number.
    #[error("the list at {from} has the number {number}, as another one has that was seen")]
    Twin {
        /// Where it was.
        from: String,
        /// The number.
        number: u64,
    },
    /// What was seen cannot be read any more.
    #[error("{path} does not say any more which lists were seen")]
    Forgotten {
        /// The file.
        path: String,
    },
    /// No such image.
    #[error("the list has no image `{name}`; it has: {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// More than one such image.
    #[error("there are several images `{name}`: {files}")]
    Several {
        /// What was asked for.
        name: String,
        /// What there is.
        files: String,
    },
    /// A file of another length than the list says.
    #[error("{from} has {found}, and the list says {expected} bytes")]
    Length {
        /// Where it is.
        from: String,
        /// What was told, or how many have come.
        found: String,
        /// What the list says.
        expected: u64,
    },
    /// Another file than the list says.
    #[error("{from} is not what the list says: its hash is {found}, not {expected}")]
    Digest {
        /// Where it is.
        from: String,
        /// Its digest.
        found: Digest,
        /// What the list says.
        expected: Digest,
    },
    /// Another command fetches the same file.
    #[error("another command is fetching {file} into the same folder")]
    Busy {
        /// The file's name.
        file: String,
    },
    /// The operating system gives no runtime.
    #[error("cannot wait for the network")]
    Runtime(#[source] io::Error),
}

impl PublishedError {
    /// The word for scripts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Address { .. } => "address",
            Self::Unreachable { .. } | Self::Status { .. } => "images-unreachable",
            Self::File(error) if error.is_disk_full() => "disk-full",
            Self::File(_) => "file",
            Self::List { .. } => "images-list",
            Self::Draft(_) => "images-draft",
            Self::Old { .. } | Self::Twin { .. } => "images-old",
            Self::Forgotten { .. } => "images-seen",
            Self::Unknown { .. } => "no-such-image",
            Self::Several { .. } => "several-images",
            Self::Length { .. } | Self::Digest { .. } => "image-altered",
            Self::Busy { .. } => "busy",
            Self::Runtime(_) => "runtime",
        }
    }

    /// Whether the network or the other end is at fault, and a later try may work.
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Status { .. })
    }

    /// Whether somebody may have meddled.
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::List { .. }
                | Self::Old { .. }
                | Self::Twin { .. }
                | Self::Forgotten { .. }
                | Self::Length { .. }
                | Self::Digest { .. }
                | Self::Busy { .. }
        )
    }

    /// What to do.
    pub fn remedy(&self) -> Option<String> {
        let remedy = match self {
            Self::Address { .. } => "Write it like https://host/images.json, or name a file.",
            Self::Unreachable { .. } => {
                "Look at the address and the network; the same command goes on where it stopped."
            }
            Self::Status { .. } => "Look at the address: --from, or E3_IMAGES.",
            Self::List {
                source: EnvelopeError::Threshold { .. },
                ..
            } => {
                "Another key has signed it, or somebody has changed it. Compare the key in --signed-by or E3_IMAGES_KEY with what its publisher says, by another way."
            }
            Self::List { .. } => "Get the list again; if it stays so, ask its publisher.",
            Self::Draft(_) => "Rename or leave out what is named.",
            Self::Old { .. } => {
                "Somebody serves an old list: a mirror that lags, or worse. Take it from its publisher's own address."
            }
            Self::Twin { .. } => {
                "One of them is not meant for you. Ask the publisher which one is good; a key may sign one list at a time."
            }
            Self::Forgotten { .. } => {
                "Find out who has changed it. When you remove it, the next list is taken as the first one."
            }
            Self::Unknown { .. } => "`e3 image list` shows what there is.",
            Self::Several { .. } => "Name the file, or the processor with --arch.",
            Self::Length { .. } | Self::Digest { .. } => {
                "Nothing of it was kept. Try again later; if it stays so, tell its publisher, for somebody may have changed the file."
            }
            Self::Busy { .. } => "Wait for it.",
            Self::File(_) | Self::Runtime(_) => return None,
        };
        Some(remedy.to_owned())
    }
}
