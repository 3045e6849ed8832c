//! What can go wrong with an image: what happened, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use e3_core::name::Name;
use e3_core::time::Time;

/// Why an image is left as it was.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The operating system says no.
    #[error("cannot {action} {path}")]
    Io {
        /// `open`, `read`, `write`, …
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The compressed data end too early, or are not what their checksum says.
    #[error("{path} is damaged: it cannot be unpacked beyond byte {at} of the image")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// How much could be unpacked.
        at: u64,
        /// What the decoder says.
        #[source]
        source: io::Error,
    },
    /// Compressed in a way that is not read here.
    #[error("{path} is compressed with {how}, which e3 does not unpack")]
    Compression {
        /// Which file.
        path: PathBuf,
        /// The program that does.
        how: &'static str,
    },
    /// Another kind of file than what is needed.
    #[error("{path} is no image for that: {why}")]
    NotAnImage {
        /// Which file.
        path: PathBuf,
        /// What was looked for.
        why: &'static str,
    },
    /// A partition table or file system that contradicts itself.
    #[error("{path} is damaged: {what}")]
    Broken {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The FAT partition has no room.
    #[error("the FAT partition of {path} has no room for the join file")]
    Full {
        /// Which file.
        path: PathBuf,
    },
    /// Not a join file.
    #[error("{path} is no join file: {what}")]
    Join {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with the line.
        what: String,
    },
    /// The join file's token is void.
    #[error("the token in {path} expired at {expired}")]
    Expired {
        /// Which file.
        path: PathBuf,
        /// The machine that it is for.
        name: Name,
        /// When.
        expired: Time,
    },
    /// The join file has served, or never had a token.
    #[error("{path} has no token: it was used already, or its token was taken out")]
    NoToken {
        /// Which file.
        path: PathBuf,
    },
    /// The image is for other boards.
    #[error("{path} is for {has}, and the board is a {board}")]
    Board {
        /// Which file.
        path: PathBuf,
        /// What it is for.
        has: &'static str,
        /// What it was meant for.
        board: String,
    },
    /// A wireless network for an image that has no radio.
    #[error("{path} sets no wireless network up: only images for the Raspberry Pi do")]
    NoRadio {
        /// Which file.
        path: PathBuf,
    },
    /// A key for ssh that is none.
    #[error("{path} is not taken as a key for ssh")]
    SshKey {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: e3_client::join::SshKeyError,
    },
    /// A wireless network that is none.
    #[error("the wireless network makes no sense: {what}")]
    Wifi {
        /// What is wrong.
        what: &'static str,
    },
    /// A key for ssh, for an image that nobody logs in to by ssh.
    #[error("{path} has no ssh")]
    NoSsh {
        /// Which file.
        path: PathBuf,
    },
    /// Something is there already.
    #[error("{path} exists already")]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// A device that must not be written over.
    #[error(transparent)]
    Device(#[from] crate::device::DeviceError),
    /// A device that was written to.
    #[error(transparent)]
    Flash(#[from] crate::flash::FlashError),
    /// An image that could not be read to its end, and a disk that has the beginning.
    #[error(transparent)]
    HalfWritten(#[from] crate::flash::HalfWritten),
    /// An image that did not get to a cloud.
    #[error(transparent)]
    Upload(#[from] crate::upload::UploadError),
    /// A published list or image that is not taken.
    #[error(transparent)]
    Published(#[from] crate::published::PublishedError),
    /// Somebody pressed Ctrl-C.
    #[error("interrupted; {left}")]
    Stopped {
        /// How things are now.
        left: String,
    },
}

impl ImageError {
    /// For `map_err`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// The word for scripts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Io { source, .. } if is_full(source) => "disk-full",
            Self::Io { .. } => "file",
            Self::Damaged { .. } | Self::Broken { .. } => "image-damaged",
            Self::Compression { .. } => "image-compression",
            Self::NotAnImage { .. } => "not-an-image",
            Self::Full { .. } => "image-full",
            Self::Join { .. } => "join-file",
            Self::Expired { .. } => "join-expired",
            Self::NoToken { .. } => "join-used",
            Self::Board { .. } => "wrong-board",
            Self::NoRadio { .. } => "no-radio",
            Self::SshKey { .. } => "ssh-key",
            Self::Wifi { .. } => "wifi",
            Self::NoSsh { .. } => "no-ssh",
            Self::Exists { .. } => "exists",
            Self::Stopped { .. } => "interrupted",
            Self::Device(error) => error.kind(),
            Self::Flash(error) => error.kind(),
            Self::HalfWritten(half) => half.error.kind(),
            Self::Upload(error) => error.kind(),
            Self::Published(error) => error.kind(),
        }
    }

    /// What to do.
    pub fn remedy(&self) -> Option<String> {
        let remedy = match self {
            Self::Io { source, .. } if is_full(source) => {
                "Make room on that disk, or name a file on another one with --out."
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "Run the command as somebody who may, for example with sudo."
            }
            Self::Io { .. } | Self::Stopped { .. } => return None,
            Self::Damaged { .. } => {
                "Get the file again, and compare its SHA-256 with the published one."
            }
            Self::Compression { how, .. } => {
                return Some(format!(
                    "Unpack it first with `{how} -d`, then give e3 what comes out."
                ));
            }
            Self::NotAnImage { .. } => {
                "Give one that `nix build .#raspberrypi`, `.#wsl`, `.#qemu` or `.#iso` made; `e3 image list` shows what there is."
            }
            Self::Broken { .. } => {
                "Get or build the image again; this one does not start a machine."
            }
            Self::Full { .. } => "Remove files from that partition, or build the image again.",
            Self::Join { .. } => {
                "Take the file that `e3 fleet invite NAME` writes, and change nothing but [wifi], [policy] and ssh_keys."
            }
            Self::Expired { name, .. } => {
                return Some(format!(
                    "Ask the fleet's owner for a new one: `e3 fleet invite {name}`. If it should be valid still, is this computer's clock right?"
                ));
            }
            Self::NoToken { .. } => {
                "Each machine needs a join file of its own: ask the fleet's owner for `e3 fleet invite NAME`."
            }
            Self::Board { .. } => {
                "`raspberrypi` is for the Pi 3, 4, 400 and Zero 2 W, `raspberrypi5` for the Pi 5."
            }
            Self::SshKey { .. } => {
                "Give the public half: the file that ends in .pub, which `ssh-keygen -t ed25519` makes."
            }
            Self::Wifi { .. } => "Correct --wifi, --wifi-country or the password.",
            Self::NoSsh { .. } => {
                "Leave --ssh-key out: on Windows, `wsl -d e3` opens a shell in it."
            }
            Self::NoRadio { .. } => "Leave --wifi out: this machine's network is its host's.",
            Self::Device(error) => return error.remedy(),
            Self::Flash(error) => return error.remedy(),
            Self::HalfWritten(half) => return Some(half.remedy()),
            Self::Upload(error) => return error.remedy(),
            Self::Published(error) => return error.remedy(),
            Self::Exists { .. } => "Name another file with --out, or move it away first.",
        };
        Some(remedy.to_owned())
    }
}

fn is_full(error: &io::Error) -> bool {
    [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded].contains(&error.kind())
}
