//! How far an upload has come, on this computer's disk: so that the same command goes on after whatever has ended it. There
//! are no secrets in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use e3_client::files;
use serde::{Deserialize, Serialize};

use super::error::Fault;
use crate::lock::Locked;

/// An image of 100 GB has 9,000 parts of 80 bytes each.
const LIMIT: usize = 4 << 20;

/// How far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stage {
    /// Parts are being sent.
    Sending {
        /// What the store calls the upload.
        upload: String,
        /// Bytes of each part but the last.
        part: u64,
        /// What the store calls the parts that it has.
        parts: BTreeMap<usize, String>,
    },
    /// The object is there.
    Sent,
    /// The cloud is fetching it.
    Importing {
        /// The image's number at the cloud.
        image: u64,
    },
}

/// What is in the Space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Held {
    /// The object's name.
    pub(super) key: String,
    /// How far it is.
    pub(super) stage: Stage,
}

/// The file, held by one command at a time.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    /// What is in the Space, as far as this computer knows.
    pub(super) held: Option<Held>,
    _lock: Locked,
}

impl Record {
    /// The record of one image's way to one Space.
    pub(super) fn open(folder: &Path, blake3: &str, space: &str) -> Result<Self, Fault> {
        files::private_folder(folder)?;
        let to = e3_core::digest::Digest::of(space.as_bytes());
        let path = folder.join(format!(
            "{}-{}.json",
            &blake3[..32.min(blake3.len())],
            to.short()
        ));
        let lock = path.with_extension("lock");
        let failed = |source| Fault::Io {
            action: "open",
            path: lock.clone(),
            source,
        };
        let file = File::options().create(true).append(true).open(&lock);
        let taken = Locked::take(file.map_err(failed)?).map_err(failed)?;
        let taken = taken.ok_or(Fault::Busy)?;
        let held = match files::read_bounded(&path, LIMIT) {
            // One that makes no sense is none: the image is sent from its beginning.
            Ok(bytes) => serde_json::from_slice(&bytes).ok(),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            path,
            held,
            _lock: taken,
        })
    }

    /// Keeps what is in the Space now. When this returns it is on the disk.
    pub(super) fn keep(&mut self, key: &str, stage: Stage) -> Result<(), Fault> {
        let key = key.to_owned();
        self.held = Some(Held { key, stage });
        self.save()
    }

    /// Keeps that these parts are there: their numbers, and what the store calls them.
    pub(super) fn keep_parts(
        &mut self,
        arrived: impl IntoIterator<Item = (usize, String)>,
    ) -> Result<(), Fault> {
        if let Some(Held {
            stage: Stage::Sending { parts, .. },
            ..
        }) = &mut self.held
        {
            parts.extend(arrived);
        }
        self.save()
    }

    /// There is nothing in the Space any more.
    pub(super) fn forget(&mut self) -> Result<(), Fault> {
        self.held = None;
        Ok(files::remove(&self.path)?)
    }

    fn save(&self) -> Result<(), Fault> {
        let bytes = serde_json::to_vec(&self.held).unwrap_or_default();
        Ok(files::write_private(&self.path, &bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_there_again_and_only_one_command_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Record::open(folder.path(), &"ab".repeat(32), "https://host/bucket");
        let mut record = open().unwrap();
        assert!(matches!(open(), Err(Fault::Busy)));
        let stage = Stage::Sending {
            upload: "u".to_owned(),
            part: 8,
            parts: BTreeMap::new(),
        };
        record.keep("key", stage).unwrap();
        record.keep_parts([(3, "etag".to_owned())]).unwrap();
        let kept = record.held.clone();
        drop(record);
        let mut record = open().unwrap();
        assert_eq!(record.held, kept);
        record.forget().unwrap();
        drop(record);
        assert_eq!(open().unwrap().held, None);
    }

    #[test]
    fn a_damaged_record_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Record::open(folder.path(), "abcd", "https://host/bucket").unwrap();
        let record = open();
        files::write_private(&record.path, b"{\"key\": 1").unwrap();
        drop(record);
        assert_eq!(open().held, None);
    }
}
