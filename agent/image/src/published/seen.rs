//! The newest list that was seen of each key: a file beside the user's settings, written before a list is used (rule 5).
//!
//! As everywhere (rule 12), a file that is damaged is suspicious, and not a first time.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use e3_client::files::{self, FileError};
use e3_core::digest::Digest;
use e3_core::document::Images;
use e3_core::envelope::Verified;
use e3_core::key::PublicKey;
use serde::{Deserialize, Serialize};

use super::PublishedError;
use crate::lock::Locked;

/// The file's name, beside the key.
pub const FILE: &str = "images-seen.json";
/// Bytes of it: some thousand publishers.
const LIMIT: usize = 1 << 20;

/// What was seen of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Newest {
    number: u64,
    list: Digest,
}

/// The file.
#[derive(Debug, Clone)]
pub struct Seen(pub PathBuf);

impl Seen {
    /// Judges a list by those that were seen, and remembers it if it is newer than all.
    pub fn judge(
        &self,
        from: &str,
        key: &PublicKey,
        list: &Verified<Images>,
    ) -> Result<(), PublishedError> {
        let Self(path) = self;
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            files::private_folder(folder)?;
        }
        // Of two commands at once, the one with the older list must not have the last word.
        let _lock = lock(&path.with_extension("lock"))?;
        Self::judge_alone(path, from, key, list)
    }

    fn judge_alone(
        path: &Path,
        from: &str,
        key: &PublicKey,
        list: &Verified<Images>,
    ) -> Result<(), PublishedError> {
        let mut all = read(path)?;
        let now = Newest {
            number: list.document.number,
            list: list.digest,
        };
        let from = || from.to_owned();
        match all.get(&key.to_string()) {
            Some(seen) if seen.number > now.number => {
                return Err(PublishedError::Old {
                    from: from(),
                    number: now.number,
                    seen: seen.number,
                });
            }
            Some(seen) if *seen == now => return Ok(()),
            Some(seen) if seen.number == now.number => {
                return Err(PublishedError::Twin {
                    from: from(),
                    number: now.number,
                });
            }
            _ => {}
        }
        all.insert(key.to_string(), now);
        let text = serde_json::to_vec_pretty(&all).expect("strings and numbers always serialise");
        Ok(files::write_private(path, &text)?)
    }
}

fn lock(path: &Path) -> Result<Locked, PublishedError> {
    let file = File::options().create(true).append(true).open(path);
    file.and_then(Locked::wait).map_err(|source| {
        PublishedError::File(FileError::Io {
            action: "cannot lock",
            path: path.to_owned(),
            source,
        })
    })
}

fn read(path: &Path) -> Result<BTreeMap<String, Newest>, PublishedError> {
    match files::read_bounded(path, LIMIT) {
        Err(error) if error.is_not_found() => Ok(BTreeMap::new()),
        Err(error) => Err(error.into()),
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| PublishedError::Forgotten {
            path: path.display().to_string(),
        }),
    }
}
