//! The disks of this computer, from what the kernel shows, and which of them may be written over.
//!
//! A disk may be written over if it can be taken out (a card, a USB stick), nothing on it is in use, and nothing of the
//! running system is on it, by whatever detour: partitions, LVM, encryption, RAID. There is no flag that weakens this.

mod guard;
mod list;

use std::path::PathBuf;

pub use self::guard::check;
pub use self::list::{Disk, System, list};

/// Why a device is not written to.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// What the kernel shows cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is no such device.
    #[error("{path} is no disk of this computer")]
    None {
        /// What was named.
        path: PathBuf,
        /// The disks that could be meant.
        removable: Vec<String>,
    },
    /// A part of a disk.
    #[error("{path} is a partition, and an image is a whole disk")]
    Partition {
        /// What was named.
        path: PathBuf,
        /// The disk that it is on.
        disk: PathBuf,
    },
    /// The running system is on it.
    #[error("{path} holds the system of this computer ({what})")]
    System {
        /// The disk.
        path: PathBuf,
        /// What of it: `/`, `/boot`, swap.
        what: String,
    },
    /// Something on it is in use.
    #[error("{path} is in use: {part} is mounted at {at}")]
    Mounted {
        /// The disk.
        path: PathBuf,
        /// Its partition.
        part: PathBuf,
        /// Where.
        at: String,
    },
    /// Something is built on it.
    #[error("{path} is in use: {by} is built on it")]
    Held {
        /// The disk.
        path: PathBuf,
        /// LVM, encryption, RAID: the device above.
        by: String,
    },
    /// Built into the computer.
    #[error("{path} cannot be taken out of this computer: {model}, {size}")]
    Fixed {
        /// The disk.
        path: PathBuf,
        /// What it calls itself.
        model: String,
        /// How large it is, for people.
        size: String,
        /// The disks that could be meant.
        removable: Vec<String>,
    },
    /// The card's lock.
    #[error("{path} cannot be written to: it is locked")]
    ReadOnly {
        /// The disk.
        path: PathBuf,
    },
    /// A reader without a card.
    #[error("there is no card in {path}")]
    Empty {
        /// The reader.
        path: PathBuf,
    },
}

impl DeviceError {
    /// The word for scripts.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Read { .. } => "file",
            Self::None { .. } => "no-such-disk",
            Self::Partition { .. } => "disk-is-partition",
            Self::System { .. } => "disk-is-system",
            Self::Mounted { .. } => "disk-mounted",
            Self::Held { .. } => "disk-held",
            Self::Fixed { .. } => "disk-not-removable",
            Self::ReadOnly { .. } => "disk-read-only",
            Self::Empty { .. } => "disk-empty",
        }
    }

    /// What to do.
    pub fn remedy(&self) -> Option<String> {
        let those = |removable: &[String]| {
            if removable.is_empty() {
                "No disk that can be taken out is there: put the card in, and look with `e3 image flash`.".to_owned()
            } else {
                format!("Disks that can be taken out: {}.", removable.join("; "))
            }
        };
        Some(match self {
            Self::Read { .. } => return None,
            Self::None { removable, .. } | Self::Fixed { removable, .. } => those(removable),
            Self::Partition { disk, .. } => {
                format!("If everything on it may go: --to {}", disk.display())
            }
            Self::System { .. } => "Nothing can make e3 write there. Name the card.".to_owned(),
            Self::Mounted { part, .. } => {
                format!("If everything on it may go: `umount {}`, then run the command again.", part.display())
            }
            Self::Held { .. } => {
                "If everything on it may go, take that down first (`vgchange -an`, `cryptsetup close`, `mdadm --stop`).".to_owned()
            }
            Self::ReadOnly { .. } => "Push the small lock at the card's side up, and put it in again.".to_owned(),
            Self::Empty { .. } => "Put the card in.".to_owned(),
        })
    }
}
