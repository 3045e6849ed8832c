//! The trust state in a fleet's folder, `.e3/trust.json`: what this folder has accepted and will not
//! go back behind (rule 5).
//!
//! Commands may run side by side, so every change happens under a lock, on what is on the disk, and is
//! on the disk before anything that depends on it is used.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use e3_client::files;
use e3_core::digest::Digest;
use e3_core::trust::Trust;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A trust state with hundreds of sessions takes 100 KiB.
const LIMIT: usize = 4 * 1024 * 1024;
/// The folder for what the command keeps for itself.
pub(super) const FOLDER: &str = ".e3";
const FILE: &str = "trust.json";
const LOCK: &str = "lock";
/// Tells that there has been a trust state in this folder.
const SEEN: &str = "seen";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    /// The first root that this trust began with, so that another fleet.toml is noticed.
    first: Digest,
    trust: Trust,
}

/// Where the trust state of one fleet lies.
#[derive(Debug, Clone)]
pub(super) struct TrustState {
    folder: PathBuf,
    first: Digest,
}

impl TrustState {
    /// The state of the fleet in `folder`, whose first root has the digest `first`.
    pub(super) fn new(folder: &Path, first: Digest) -> Self {
        Self {
            folder: folder.join(FOLDER),
            first,
        }
    }

    /// Reads it; nothing if there is none yet.
    pub(super) fn load(&self) -> Result<Option<Trust>, Error> {
        let path = self.folder.join(FILE);
        let bytes = match files::read_bounded(&path, LIMIT) {
            // Rule 12: what has been there and is gone is not a first contact.
            Err(error) if error.is_not_found() && self.folder.join(SEEN).exists() => {
                return Err(Error::TrustStateGone { path });
            }
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        let stored: Stored =
            serde_json::from_slice(&bytes).map_err(|source| Error::TrustState {
                path: path.clone(),
                source,
            })?;
        if stored.first == self.first {
            Ok(Some(stored.trust))
        } else {
            Err(Error::OtherRoot { path })
        }
    }

    /// Changes it: reads what is there (or takes `start`), applies `change`, writes, and returns the new
    /// state. If `change` fails, nothing is written.
    pub(super) fn change<T>(
        &self,
        start: &Trust,
        change: impl FnOnce(&mut Trust) -> Result<T, Error>,
    ) -> Result<(Trust, T), Error> {
        let _lock = self.lock()?;
        let before = self.load()?;
        let mut trust = before.clone().unwrap_or_else(|| start.clone());
        let result = change(&mut trust)?;
        if before.as_ref() != Some(&trust) {
            let path = self.folder.join(FILE);
            let stored = Stored {
                first: self.first,
                trust,
            };
            let bytes = serde_json::to_vec(&stored).map_err(|source| Error::TrustState {
                path: path.clone(),
                source,
            })?;
            files::write_private(&path, &bytes)?;
            if before.is_none() {
                files::write_private(&self.folder.join(SEEN), b"")?;
            }
            trust = stored.trust;
        }
        Ok((trust, result))
    }

    /// Held for the time of one small write, never while the network is waited for.
    fn lock(&self) -> Result<Flock<File>, Error> {
        files::private_folder(&self.folder)?;
        let path = self.folder.join(LOCK);
        let failed = |source| Error::Folder {
            action: "lock",
            path: path.clone(),
            source,
        };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| failed(errno.into()))
    }
}
