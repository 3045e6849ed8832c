//! The state folder: which file is what, and JSON that is on the disk before it is believed.

use std::path::{Path, PathBuf};

use e3_client::files::{self, FileError};
use e3_core::digest::Digest;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Trust state with 200 sessions has 100 KiB.
const LIMIT: usize = 4 * 1024 * 1024;

/// The format of the files that are JSON objects, in their field `format`. Raised when an older agent
/// would misunderstand a file; files without the field have format 1.
const FORMAT: u64 = 1;

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
    /// A file that is no JSON, or not what it should be.
    #[error("{path} is damaged")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A file of a newer agent. It is left as it is.
    #[error("{path} was written by a newer agent (format {format}, this one knows {FORMAT})")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its format.
        format: u64,
    },
}

impl Ledger {
    /// Opens the state folder and makes it private.
    pub fn open(folder: &Path) -> Result<Self, LedgerError> {
        for part in ["", "sessions"] {
            files::private_folder(&folder.join(part))?;
        }
        Ok(Self::at(folder))
    }

    /// The state folder as it is, for whoever only looks.
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Whether this machine has been a party before, whatever else is gone (rule 12).
    pub fn has_served(&self) -> bool {
        let tail = self.journal().with_extension("tail");
        let files = [self.journal(), tail, self.joined()];
        files.iter().any(|path| path.exists()) || !self.sessions().is_empty()
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The identity key, born here.
    pub fn identity(&self) -> PathBuf {
        self.folder.join("identity.pem")
    }

    /// The owner's word that missing trust state may be replaced: see [`crate::reset`].
    pub fn reset(&self) -> PathBuf {
        self.folder.join("trust.reset")
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
    let mut value: Value = serde_json::from_slice(&bytes).map_err(damaged)?;
    if let Some(format) = value.as_object_mut().and_then(|file| file.remove("format")) {
        let format = format.as_u64().unwrap_or(u64::MAX);
        if format > FORMAT {
            let path = path.to_owned();
            return Err(LedgerError::Newer { path, format });
        }
    }
    serde_json::from_value(value).map(Some).map_err(damaged)
}

/// Writes a JSON file: when this returns it is on the disk, whole.
pub fn save<T: Serialize>(path: &Path, value: &T) -> Result<(), LedgerError> {
    let damaged = |source| LedgerError::Damaged {
        path: path.to_owned(),
        source,
    };
    let mut value = serde_json::to_value(value).map_err(damaged)?;
    if let Some(file) = value.as_object_mut() {
        file.insert("format".to_owned(), FORMAT.into());
    }
    let bytes = serde_json::to_vec(&value).map_err(damaged)?;
    Ok(files::write_private(path, &bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_newer_agent_is_told_from_a_damaged_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.json");
        let value = std::collections::BTreeMap::from([("a".to_owned(), u64::MAX)]);
        save(&path, &value).unwrap();
        assert_eq!(load(&path).unwrap(), Some(value.clone()));
        // As agents wrote it before there were formats.
        files::write_private(&path, br#"{"a":18446744073709551615}"#).unwrap();
        assert_eq!(load(&path).unwrap(), Some(value));
        files::write_private(&path, br#"{"format":2,"b":[]}"#).unwrap();
        let newer = load::<std::collections::BTreeMap<String, u64>>(&path);
        assert!(matches!(newer, Err(LedgerError::Newer { format: 2, .. })));
        files::write_private(&path, b"{").unwrap();
        let damaged = load::<std::collections::BTreeMap<String, u64>>(&path);
        assert!(matches!(damaged, Err(LedgerError::Damaged { .. })));
    }
}
