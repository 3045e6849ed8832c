//! What the importer remembers from one look to the next, in a folder that is root's.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use e3_client::join::secrets;
use e3_core::digest::Digest;
use serde::{Deserialize, Serialize};

/// The record.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Where the join file lies that is in use.
    pub taken: Option<String>,
    /// What each place held when it was last looked at, as it is left there: burnt, if it could be.
    pub seen: BTreeMap<String, Seen>,
    /// What is to be burnt and may be half done. It is on the disk before anything is written to the medium.
    pub pending: Vec<Pending>,
}

/// What a place held.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// The bytes, with their secrets.
    pub whole: Digest,
    /// The same without.
    pub burnt: Digest,
    /// Whether it has been in use. Then a newer one that takes its place is no contradiction.
    pub used: bool,
}

impl Seen {
    /// Whether it is what is there now.
    pub fn is(&self, bytes: &[u8]) -> bool {
        let now = Digest::of(bytes);
        now == self.whole || now == self.burnt
    }
}

/// A file whose secrets are to be written over.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// Which file.
    pub path: PathBuf,
    /// All of it, as it shall be.
    pub burnt: String,
    /// Where it differs from what it was, in bytes.
    pub places: Vec<(usize, usize)>,
}

impl Pending {
    /// What is to be done to a file with this text.
    pub fn new(path: PathBuf, text: &str, places: &[Range<usize>]) -> Self {
        Self {
            path,
            burnt: secrets::burn(text, places),
            places: places.iter().map(|p| (p.start, p.end)).collect(),
        }
    }

    /// Whether these bytes are that file: not burnt yet, half burnt, or burnt.
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        let inside = |at: usize| {
            self.places
                .iter()
                .any(|(from, upto)| (*from..*upto).contains(&at))
        };
        bytes.len() == self.burnt.len()
            && std::iter::zip(bytes, self.burnt.as_bytes())
                .enumerate()
                .all(|(at, (now, burnt))| now == burnt || inside(at))
    }
}

/// Where the record lies.
pub fn path(folder: &Path) -> PathBuf {
    folder.join("record.json")
}
