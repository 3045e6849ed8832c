//! What a mesh's daemon reads. It lies where the folders of sessions lie: systemd takes it from there as root, on a file
//! system without symbolic links, and hands it on as the unit's credentials.
//!
//! A daemon that runs is given no new credentials. So what it can be told then, and what is no secret, is in a folder of its
//! own, which its unit may read.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use e3_client::files::{FileError, private_folder, publish, read_bounded, write_private};
use zeroize::Zeroizing;

use crate::supervisor::systemd::ROOT;

/// A certificate authority's bundle is the largest.
const LIMIT: usize = 64 * 1024;

/// The folder of what a daemon can be told while it runs.
const OPEN: &str = "open";

/// What of the files was not there yet as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// Only what the daemon can be told while it runs.
    Open,
    /// Something that it reads when it starts.
    Sealed,
}

/// The files of one daemon, by name.
pub(super) struct Files {
    folder: PathBuf,
    contents: Vec<(&'static str, Zeroizing<Vec<u8>>)>,
    open: Vec<(String, String)>,
}

impl Files {
    /// None yet.
    pub(super) fn of(backend: &str) -> Self {
        Self {
            folder: PathBuf::from(ROOT).join(format!("mesh-{backend}")),
            contents: Vec::new(),
            open: Vec::new(),
        }
    }

    /// With this file.
    pub(super) fn with(mut self, name: &'static str, contents: impl Into<Vec<u8>>) -> Self {
        self.contents.push((name, Zeroizing::new(contents.into())));
        self
    }

    /// With this file, which is no secret, and which the daemon reads while it runs.
    pub(super) fn with_open(mut self, name: impl Into<String>, contents: String) -> Self {
        self.open.push((name.into(), contents));
        self
    }

    /// Writes what is not there yet as it should be.
    pub(super) fn write(&self) -> Result<Change, FileError> {
        private_folder(&self.folder)?;
        let mut change = Change::None;
        if !self.open.is_empty() {
            let folder = self.folder.join(OPEN);
            private_folder(&folder)?;
            for (name, contents) in &self.open {
                if write(&folder.join(name), contents.as_bytes())? {
                    change = Change::Open;
                }
            }
            if self.sweep(&folder)? {
                change = Change::Open;
            }
            publish(&folder)?;
        }
        for (name, contents) in &self.contents {
            if write(&self.folder.join(name), contents)? {
                change = Change::Sealed;
            }
        }
        Ok(change)
    }

    /// Writes again what the daemon reads while it runs: it goes by when that was.
    pub(super) fn renew(&self) -> Result<(), FileError> {
        let folder = self.folder.join(OPEN);
        for (name, contents) in &self.open {
            write_private(&folder.join(name), contents.as_bytes())?;
        }
        publish(&folder)
    }

    /// Whether there are any.
    pub(super) fn are_there(&self) -> bool {
        self.folder.exists()
    }

    /// Removes what the daemon is not to read any more; returns whether there was anything.
    fn sweep(&self, folder: &Path) -> Result<bool, FileError> {
        let failed = |source| FileError::Io {
            action: "cannot tidy",
            path: folder.to_owned(),
            source,
        };
        let mut is_new = false;
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !self
                .open
                .iter()
                .any(|(name, _)| entry.file_name() == name.as_str())
            {
                fs::remove_file(entry.path()).map_err(failed)?;
                is_new = true;
            }
        }
        Ok(is_new)
    }

    /// Removes all of them; returns whether there were any.
    pub(super) fn remove(&self) -> bool {
        match fs::remove_dir_all(&self.folder) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => {
                tracing::warn!(path = %self.folder.display(), %error, "what a mesh's daemon has read cannot be removed");
                true
            }
        }
    }
}

/// Writes a file unless it is there already; returns whether it was not.
fn write(path: &Path, contents: &[u8]) -> Result<bool, FileError> {
    let there = read_bounded(path, LIMIT).map(Zeroizing::new);
    if there.is_ok_and(|there| *there == *contents) {
        return Ok(false);
    }
    write_private(path, contents)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn files(folder: &Path, key: &str, peers: &str) -> Files {
        let files = Files {
            folder: folder.to_owned(),
            ..Files::of("test")
        };
        files.with("key", key).with_open("peers", peers.to_owned())
    }

    #[test]
    fn what_a_daemon_can_be_told_while_it_runs_is_no_reason_to_start_it_anew() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("mesh-test");
        let write = |key, peers| files(&folder, key, peers).write().unwrap();
        assert_eq!(write("k", "p"), Change::Sealed);
        assert_eq!(write("k", "p"), Change::None);
        assert_eq!(write("k", "q"), Change::Open);
        assert_eq!(write("l", "r"), Change::Sealed);
        fs::write(folder.join("open/of-one-who-is-gone"), "").unwrap();
        assert_eq!(write("l", "r"), Change::Open);
        assert!(!folder.join("open/of-one-who-is-gone").exists());
        let mode = |path: &str| {
            let of = fs::metadata(folder.join(path)).unwrap();
            of.permissions().mode() & 0o777
        };
        assert_eq!(
            ["", "key", "open", "open/peers"].map(mode),
            [0o700, 0o600, 0o755, 0o644]
        );
    }
}
