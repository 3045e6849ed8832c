//! The state folder: which file is what, and JSON that is on the disk before it is believed.

use std::path::{Path, PathBuf};

use e3_client::files::{self, FileError};
use e3_core::digest::Digest;
use e3_core::update::is_later;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::update::VERSION;

/// Trust state with 200 sessions has 100 KiB.
const LIMIT: usize = 4 * 1024 * 1024;

/// The format of the files that are JSON objects, in their field `format`. Raised when an older agent
/// would misunderstand a file; files without the field have format 1.
///
/// An agent that is taken back leaves what it has written to an older one. What that one cannot read is not
/// damaged then: the field `writer` tells, which is the version of whoever wrote the file.
const FORMAT: u64 = 1;
/// The two fields, which no type has.
const FORMAT_FIELD: &str = "format";
const WRITER_FIELD: &str = "writer";

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
    /// A file that belongs to others, and is not there.
    #[error("{path} is gone")]
    Gone {
        /// Which file.
        path: PathBuf,
    },
    /// A file of a newer agent. It is left as it is.
    #[error("{path} was written by a newer agent ({detail})")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Which agent, and what this one does not know of it.
        detail: String,
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

    /// Whom this machine has answered last.
    pub fn asked(&self) -> PathBuf {
        self.folder.join("asked.json")
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

/// Reads a JSON file; `None` if it is not there. What a newer agent has written is taken only if this one knows all of it:
/// whatever it does not know would be lost when it writes the file.
pub fn load<T: DeserializeOwned + Serialize>(path: &Path) -> Result<Option<T>, LedgerError> {
    let Some((value, newer)) = read(path)? else {
        return Ok(None);
    };
    let Some(writer) = newer else {
        return parse(path, value, None).map(Some);
    };
    let known: T = parse(path, value.clone(), Some(&writer))?;
    let again = serde_json::to_value(&known).unwrap_or_default();
    match unknown(&value, &again) {
        Some(field) => Err(LedgerError::Newer {
            path: path.to_owned(),
            detail: format!("agent {writer}: unknown field `{field}`"),
        }),
        None => Ok(Some(known)),
    }
}

/// Reads a part of a JSON file, whatever else is in it: for whoever does not write it, or keeps what it does not know.
pub fn load_part<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, LedgerError> {
    let Some((value, newer)) = read(path)? else {
        return Ok(None);
    };
    parse(path, value, newer.as_deref()).map(Some)
}

fn parse<T: DeserializeOwned>(
    path: &Path,
    value: Value,
    newer: Option<&str>,
) -> Result<T, LedgerError> {
    let path = path.to_owned();
    serde_json::from_value(value).map_err(|source| match newer {
        Some(writer) => {
            let detail = format!("agent {writer}: {source}");
            LedgerError::Newer { path, detail }
        }
        None => LedgerError::Damaged { path, source },
    })
}

/// A field that `file` has and `known` has not, at any depth.
fn unknown<'a>(file: &'a Value, known: &Value) -> Option<&'a str> {
    match (file, known) {
        (Value::Object(file), Value::Object(known)) => {
            file.iter().find_map(|(name, value)| match known.get(name) {
                Some(known) => unknown(value, known),
                None => Some(name.as_str()),
            })
        }
        (Value::Array(file), Value::Array(known)) => {
            let mut pairs = file.iter().zip(known);
            pairs.find_map(|(file, known)| unknown(file, known))
        }
        _ => None,
    }
}

/// The version of whoever wrote a JSON file, if that is newer than this agent's.
pub fn newer_writer(path: &Path) -> Option<String> {
    read(path).ok().flatten().and_then(|(_, newer)| newer)
}

/// A JSON file without the two fields, and the version of its writer if that is newer than this agent's.
fn read(path: &Path) -> Result<Option<(Value, Option<String>)>, LedgerError> {
    let bytes = match files::read_bounded(path, LIMIT) {
        Err(error) if error.is_not_found() => return Ok(None),
        other => other?,
    };
    let value = serde_json::from_slice(&bytes);
    let mut value: Value = value.map_err(|source| LedgerError::Damaged {
        path: path.to_owned(),
        source,
    })?;
    let mut take = |field| value.as_object_mut().and_then(|file| file.remove(field));
    let format = take(FORMAT_FIELD).map_or(FORMAT, |format| format.as_u64().unwrap_or(u64::MAX));
    let writer = take(WRITER_FIELD).and_then(|writer| writer.as_str().map(str::to_owned));
    if format > FORMAT {
        let detail = format!("its format is {format}, this agent knows {FORMAT}");
        let path = path.to_owned();
        return Err(LedgerError::Newer { path, detail });
    }
    let newer = writer.filter(|writer| is_later(writer, VERSION));
    Ok(Some((value, newer)))
}

/// Writes a JSON file: when this returns it is on the disk, whole.
pub fn save<T: Serialize>(path: &Path, value: &T) -> Result<(), LedgerError> {
    let damaged = |source| LedgerError::Damaged {
        path: path.to_owned(),
        source,
    };
    let mut value = serde_json::to_value(value).map_err(damaged)?;
    if let Some(file) = value.as_object_mut() {
        file.insert(FORMAT_FIELD.to_owned(), FORMAT.into());
        file.insert(WRITER_FIELD.to_owned(), VERSION.into());
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
        assert!(matches!(newer, Err(LedgerError::Newer { .. })));
        // What cannot be read is a newer agent's only if a newer agent wrote it.
        for (writer, is_newer) in [
            (VERSION, false),
            ("0.0.1", false),
            ("99.0.0", true),
            ("x", false),
        ] {
            let text = format!(r#"{{"format":1,"writer":"{writer}","b":[]}}"#);
            files::write_private(&path, text.as_bytes()).unwrap();
            match load::<std::collections::BTreeMap<String, u64>>(&path) {
                Err(LedgerError::Newer { detail, .. }) if is_newer => {
                    assert!(detail.starts_with("agent 99.0.0: invalid type"), "{detail}");
                }
                Err(LedgerError::Damaged { .. }) if !is_newer => {}
                other => panic!("{writer}: {other:?}"),
            }
            assert_eq!(newer_writer(&path).is_some(), is_newer);
        }
        files::write_private(&path, b"{").unwrap();
        let damaged = load::<std::collections::BTreeMap<String, u64>>(&path);
        assert!(matches!(damaged, Err(LedgerError::Damaged { .. })));
    }
}
