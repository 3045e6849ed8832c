//! What a mesh's daemon reads. It lies where the folders of sessions lie: systemd takes it from there as root, on a file
//! system without symbolic links, and hands it on as the unit's credentials.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use e3_client::files::{FileError, private_folder, read_bounded, write_private};
use zeroize::Zeroizing;

use crate::supervisor::systemd::ROOT;

/// A certificate authority's bundle is the largest.
const LIMIT: usize = 64 * 1024;

/// The files of one daemon, by name.
pub(super) struct Files {
    folder: PathBuf,
    contents: Vec<(&'static str, Zeroizing<Vec<u8>>)>,
}

impl Files {
    /// None yet.
    pub(super) fn of(backend: &str) -> Self {
        Self {
            folder: PathBuf::from(ROOT).join(format!("mesh-{backend}")),
            contents: Vec::new(),
        }
    }

    /// With this file.
    pub(super) fn with(mut self, name: &'static str, contents: impl Into<Vec<u8>>) -> Self {
        self.contents.push((name, Zeroizing::new(contents.into())));
        self
    }

    /// Writes what is not there yet as it should be; returns whether something was.
    pub(super) fn write(&self) -> Result<bool, FileError> {
        private_folder(&self.folder)?;
        let mut is_new = false;
        for (name, contents) in &self.contents {
            let path = self.folder.join(name);
            let there = read_bounded(&path, LIMIT).map(Zeroizing::new);
            if !there.is_ok_and(|there| *there == **contents) {
                write_private(&path, contents)?;
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
