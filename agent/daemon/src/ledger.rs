//! The state folder: which file is what, and JSON that is on the disk before it is believed.

use std::path::{Path, PathBuf};

use e3_client::files::{self, FileError};
use e3_core::digest::Digest;
use serde::{Serialize, de::DeserializeOwned};

/// Trust state with 200 sessions has 100 KiB.
const LIMIT: usize = 4 * 1024 * 1024;

/// Where everything lies below the state folder.
#[derive(Debug, Clone)]
pub struct Ledger {
    folder: PathBuf,
}

/// Why state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The disk.
    #[error("the state cannot be kept")]
    File(#[from] FileError),
    /// A file of another version, or damaged.
    #[error("{path} cannot be understood; it is damaged, or from a newer agent")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

impl Ledger {
    /// Opens the state folder and makes it private.
    pub fn open(folder: &Path) -> Result<Self, LedgerError> {
        for part in ["", "sessions"] {
            files::private_folder(&folder.join(part))?;
        }
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The identity key, born here.
    pub fn identity(&self) -> PathBuf {
        self.folder.join("identity.pem")
    }

    /// What the machine was joined by, without the token.
    pub fn joined(&self) -> PathBuf {
        self.folder.join("joined.json")
    }

    /// Root, head and floor.
    pub fn trust(&self) -> PathBuf {
        self.folder.join("trust.json")
    }

    /// The hash-chained journal (rule 13).
    pub fn journal(&self) -> PathBuf {
        self.folder.join("journal.jsonl")
    }

    /// All that belongs to one session.
    pub fn session(&self, manifest: &Digest) -> PathBuf {
        self.folder.join("sessions").join(manifest.hex())
    }

    /// The sessions that this party knows, oldest first.
    pub fn sessions(&self) -> Vec<Digest> {
        let Ok(entries) = std::fs::read_dir(self.folder.join("sessions")) else {
            return Vec::new();
        };
        let entries = entries.flatten().filter_map(|entry| {
            let digest = Digest::from_hex(entry.file_name().to_str()?).ok()?;
            let modified = entry
                .metadata()
                .and_then(|metadata| metadata.modified())
                .ok()?;
            Some((modified, digest))
        });
        let mut sessions: Vec<_> = entries.collect();
        sessions.sort();
        sessions.into_iter().map(|(_, digest)| digest).collect()
    }
}

/// Reads a JSON file; `None` if it is not there.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, LedgerError> {
    let bytes = match files::read_bounded(path, LIMIT) {
        Err(error) if error.is_not_found() => return Ok(None),
        other => other?,
    };
    let damaged = |source| LedgerError::Damaged {
        path: path.to_owned(),
        source,
    };
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

/// Writes a JSON file: when this returns it is on the disk, whole.
pub fn save<T: Serialize>(path: &Path, value: &T) -> Result<(), LedgerError> {
    let damaged = |source| LedgerError::Damaged {
        path: path.to_owned(),
        source,
    };
    let bytes = serde_json::to_vec(value).map_err(damaged)?;
    Ok(files::write_private(path, &bytes)?)
}
