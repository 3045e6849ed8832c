//! The certificates that an authority has made and that are good still, kept beside its key.
//!
//! Nebula believes each of them until it ends or is revoked, whatever has been published since: the one before a renewal, one for a
//! key that was lost, one that still waits for signatures. Taking a party out of the mesh must name all of them, and what the hub
//! shows is only the newest. Each certificate is written here before anybody can have it, and what is published lists those before
//! it ([`e3_core::mesh::MeshGrant::earlier`]), for owners who have no authority.

use std::path::PathBuf;

use e3_client::files::{FileError, read_bounded, write_atomic};
use e3_core::key::PublicKey;
use e3_core::mesh::EARLIER;
use e3_core::time::Time;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::fleet_file::Fleet;

const FILE: &str = "mesh/nebula/issued.jsonl";
/// Some two hundred bytes for each of [`EARLIER`] certificates of a thousand parties.
const LIMIT: usize = 8 * 1024 * 1024;
/// Seconds that one is kept past its end: machines' clocks may be behind.
const SLACK: u64 = 24 * 3600;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    party: PublicKey,
    fingerprint: String,
    expires: Time,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Issued {
    path: PathBuf,
    entries: Vec<Entry>,
}

impl Issued {
    /// What was made in this fleet's folder; nothing if no authority was ever there.
    pub(super) fn of(fleet: &Fleet) -> Result<Self, Error> {
        Self::at(fleet.folder.join(FILE))
    }

    fn at(path: PathBuf) -> Result<Self, Error> {
        if !path.exists() {
            let entries = Vec::new();
            return Ok(Self { path, entries });
        }
        let bytes = read_bounded(&path, LIMIT)?;
        let lines = bytes.split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty());
        let entries = lines.map(serde_json::from_slice).collect::<Result<_, _>>();
        let entries = entries.map_err(|error| FileError::Io {
            action: "cannot read",
            path: path.clone(),
            source: error.into(),
        })?;
        Ok(Self { path, entries })
    }

    /// The fingerprints of a party's certificates, the oldest first.
    pub(super) fn of_party(&self, party: &PublicKey) -> Vec<String> {
        let mine = self.entries.iter().filter(|entry| entry.party == *party);
        mine.map(|entry| entry.fingerprint.clone()).collect()
    }

    /// Whether the party can be given one more: the list of those before it has an end.
    pub(super) fn has_room(&mut self, party: &PublicKey, now: Time) -> bool {
        let is_good = |entry: &Entry| now < entry.expires.plus(SLACK);
        self.entries.retain(is_good);
        self.of_party(party).len() <= EARLIER
    }

    /// Remembers one, on the disk.
    pub(super) fn add(
        &mut self,
        party: PublicKey,
        fingerprint: String,
        expires: Time,
    ) -> Result<(), Error> {
        self.entries.push(Entry {
            party,
            fingerprint,
            expires,
        });
        let mut text = String::new();
        for entry in &self.entries {
            text += &serde_json::to_string(entry).expect("plain data is JSON");
            text.push('\n');
        }
        Ok(write_atomic(&self.path, text.as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use e3_core::key::SecretKey;

    use super::*;

    #[test]
    fn each_is_remembered_until_all_clocks_agree_that_it_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("issued");
        let [alice, bob] = [11, 12].map(|n| SecretKey::from_seed(&[n; 32]).public());
        let now = Time::from_unix(1_800_000_000);
        let mut issued = Issued::at(path.clone()).unwrap();
        for (party, print, seconds) in
            [(alice, "a1", 60), (bob, "b1", 60), (alice, "a2", 9_000_000)]
        {
            issued
                .add(party, print.to_owned(), now.plus(seconds))
                .unwrap();
        }
        let mut again = Issued::at(path.clone()).unwrap();
        assert_eq!(again.of_party(&alice), ["a1", "a2"]);
        assert!(again.has_room(&alice, now.plus(3600)));
        assert_eq!(again.of_party(&alice), ["a1", "a2"]);
        assert!(again.has_room(&alice, now.plus(60 + SLACK)));
        assert_eq!(again.of_party(&alice), ["a2"]);
        assert!(again.of_party(&bob).is_empty());
    }

    #[test]
    fn a_machine_that_loses_its_key_again_and_again_is_given_no_more_than_can_be_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("issued");
        let party = SecretKey::from_seed(&[11; 32]).public();
        let now = Time::from_unix(1_800_000_000);
        let mut issued = Issued::at(path.clone()).unwrap();
        for n in 0..=EARLIER {
            assert!(issued.has_room(&party, now));
            issued.add(party, n.to_string(), now.plus(60)).unwrap();
        }
        assert!(!issued.has_room(&party, now));
        assert!(issued.has_room(&party, now.plus(60 + SLACK)));
    }
}
