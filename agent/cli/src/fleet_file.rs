//! An owner's fleet folder: `fleet.toml`, which a person may edit, and `root/<N>.json`, the root chain.
//!
//! The file names the fleet, its hub, the digest of its first root, and its parties; comments and
//! order survive every change that E3 makes. Nothing in it is secret and nothing in it is trusted by
//! a machine: what counts is signed. Fetching newer roots from the hub is left to the commands.

mod error;
mod read;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use e3_client::files::{FileError, read_bounded, write_atomic};
use e3_core::digest::Digest;
use e3_core::document::{Role, Root};
use e3_core::envelope::Verified;
use e3_core::key::PublicKey;
use e3_core::limits;
use e3_core::name::Name;
use e3_core::trust::chain;
use toml_edit::{DocumentMut, Item, Table};

use crate::manifest::text::{list, nearest};

pub use error::FleetError;

/// The file in the folder.
pub const FILE: &str = "fleet.toml";
/// Bytes in a fleet file: thousands of parties.
const LIMIT: usize = 1024 * 1024;

/// A fleet folder.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// The folder.
    pub folder: PathBuf,
    /// The fleet's name.
    pub name: Name,
    /// Where its hub is: `https://…`, `http://…` or `file://…`.
    pub hub: String,
    /// The hub's certificate authority as a PEM file, if it has one of its own.
    pub hub_ca: Option<PathBuf>,
    /// The digest of the first root's payload, which join files pin.
    pub root: Digest,
    /// The parties, in the order of the file.
    pub parties: Vec<Member>,
    document: DocumentMut,
}

/// A party of a fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: Name,
    /// Its identity.
    pub key: PublicKey,
    /// Whose it is.
    pub owner: PublicKey,
}

/// What a manifest needs to know of its fleet.
#[derive(Debug, Clone)]
pub struct View {
    /// The fleet's name.
    pub name: Name,
    /// The epoch of its newest root.
    pub epoch: u64,
    /// The session role of its newest root: whose signatures count on a manifest at all.
    pub session: Role,
    /// Its parties.
    pub parties: Vec<Member>,
}

impl Fleet {
    /// The fleet folder: the one that was given (`--fleet`, `E3_FLEET`), or the first with a fleet file
    /// from the folder `start` upwards.
    pub fn find(given: Option<&Path>, start: &Path) -> Result<PathBuf, FleetError> {
        if let Some(given) = given {
            // People also give the file itself.
            let folder = if given.ends_with(FILE) {
                given.parent().unwrap_or(given)
            } else {
                given
            };
            let folder = if folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                folder
            };
            let there = folder.join(FILE).is_file();
            return if there {
                Ok(folder.to_owned())
            } else {
                Err(FleetError::NoFleet {
                    folder: folder.to_owned(),
                })
            };
        }
        let mut folders = start.ancestors();
        let found = folders.find(|folder| folder.join(FILE).is_file());
        found
            .map(Path::to_owned)
            .ok_or_else(|| FleetError::NotFound {
                start: start.to_owned(),
            })
    }

    /// Reads the fleet file in `folder`.
    pub fn open(folder: &Path) -> Result<Self, FleetError> {
        let path = folder.join(FILE);
        let bytes = read_bounded(&path, LIMIT).map_err(|error| match error {
            error if error.is_not_found() => FleetError::NoFleet {
                folder: folder.to_owned(),
            },
            error => error.into(),
        })?;
        Ok(read::read(
            folder,
            &path.display().to_string(),
            &String::from_utf8_lossy(&bytes),
        )?)
    }

    /// Makes the folder, if it is not there, with a new fleet file in it.
    pub fn create(
        folder: &Path,
        name: &Name,
        hub: &str,
        hub_ca: Option<&Path>,
        root: &Digest,
    ) -> Result<Self, FleetError> {
        let path = folder.join(FILE);
        if path.exists() {
            return Err(FleetError::Exists { path });
        }
        fs::create_dir_all(folder).map_err(|source| FileError::Io {
            action: "cannot create",
            path: folder.to_owned(),
            source,
        })?;
        let fleet = read::read(folder, FILE, &read::first_text(name, hub, hub_ca, root))?;
        fleet.save()?;
        Ok(fleet)
    }

    /// Writes the file: whole or not at all, with its comments.
    pub fn save(&self) -> Result<(), FleetError> {
        Ok(write_atomic(
            &self.folder.join(FILE),
            self.document.to_string().as_bytes(),
        )?)
    }

    /// Waits until no other command changes the folder; let go of by dropping. Open the file after that.
    pub fn lock(&self) -> Result<fs::File, FleetError> {
        let folder = self.folder.join(".e3");
        e3_client::files::private_folder(&folder)?;
        let path = folder.join("fleet.lock");
        let locked = fs::File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .and_then(|file| file.lock().map(|()| file));
        locked.map_err(|source| {
            let action = "cannot lock";
            FileError::Io {
                action,
                path,
                source,
            }
            .into()
        })
    }

    /// Adds a party, or replaces the one of that name. Call [`Self::save`] afterwards.
    pub fn set_party(&mut self, member: Member) {
        let parties = self.document.entry("parties").or_insert_with(|| {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        });
        if let Some(parties) = parties.as_table_like_mut() {
            let entry = parties
                .entry(member.name.as_str())
                .or_insert_with(|| Item::Table(Table::new()));
            entry["key"] = toml_edit::value(member.key.to_string());
            entry["owner"] = toml_edit::value(member.owner.to_string());
        }
        match self
            .parties
            .iter_mut()
            .find(|party| party.name == member.name)
        {
            Some(party) => *party = member,
            None => self.parties.push(member),
        }
    }

    /// Forgets a party; whether there was one. Call [`Self::save`] afterwards.
    pub fn remove_party(&mut self, name: &Name) -> bool {
        let parties = self
            .document
            .get_mut("parties")
            .and_then(Item::as_table_like_mut);
        let removed = parties.is_some_and(|parties| parties.remove(name.as_str()).is_some());
        self.parties.retain(|party| party.name != *name);
        removed
    }

    /// Points the fleet to another hub. Call [`Self::save`] afterwards.
    pub fn set_hub(&mut self, url: &str) {
        self.document["hub"] = toml_edit::value(url);
        url.clone_into(&mut self.hub);
    }

    /// Where the envelope of root version `version` lies.
    pub fn root_path(&self, version: u64) -> PathBuf {
        self.folder.join("root").join(format!("{version}.json"))
    }

    /// Keeps the envelope of a root that the caller has verified.
    pub fn put_root(&self, version: u64, envelope: &[u8]) -> Result<(), FleetError> {
        let path = self.root_path(version);
        let folder = self.folder.join("root");
        fs::create_dir_all(&folder).map_err(|source| FileError::Io {
            action: "cannot create",
            path: folder,
            source,
        })?;
        Ok(write_atomic(&path, envelope)?)
    }

    /// The newest root in the folder, after walking the whole chain from the pinned one (rule 4).
    pub fn newest_root(&self) -> Result<Verified<Root>, FleetError> {
        let path = self.root_path(1);
        let first = read_bounded(&path, limits::ENVELOPE).map_err(|error| match error {
            error if error.is_not_found() => FleetError::NoRoot { path: path.clone() },
            error => error.into(),
        })?;
        let mut newest =
            chain::first(&first, &self.root).map_err(|source| FleetError::Root { path, source })?;
        for version in 2..=limits::ROOT_STEPS {
            let path = self.root_path(version);
            let bytes = match read_bounded(&path, limits::ENVELOPE) {
                Ok(bytes) => bytes,
                Err(error) if error.is_not_found() => break,
                Err(error) => return Err(error.into()),
            };
            let next = chain::next(&newest.document, &bytes);
            newest = next.map_err(|source| FleetError::Root { path, source })?;
        }
        Ok(newest)
    }

    /// What manifests need: the file's parties and the newest root's epoch and session role.
    pub fn view(&self) -> Result<View, FleetError> {
        let root = self.newest_root()?.document;
        Ok(View {
            name: self.name.clone(),
            epoch: root.epoch,
            session: root.session,
            parties: self.parties.clone(),
        })
    }

    /// The hub's certificate authority, as bytes.
    pub fn hub_ca_pem(&self) -> Result<Option<Vec<u8>>, FleetError> {
        let read = |path: &PathBuf| read_bounded(&self.folder.join(path), LIMIT);
        Ok(self.hub_ca.as_ref().map(read).transpose()?)
    }
}

impl View {
    /// The party of that name.
    pub fn party(&self, name: &str) -> Option<&Member> {
        self.parties
            .iter()
            .find(|party| party.name.as_str() == name)
    }

    /// `alice, bob and carol`, or that there are none.
    pub fn names(&self) -> String {
        if self.parties.is_empty() {
            "none yet".to_owned()
        } else {
            list(self.parties.iter().map(|p| &p.name))
        }
    }

    /// The party that `word` was probably meant to be.
    pub fn nearest(&self, word: &str) -> Option<&str> {
        nearest(word, self.parties.iter().map(|party| party.name.as_str()))
    }
}
