//! A release as it goes from one release key to the next and to the hub: a folder with `release.json`
//! (the envelope) and each binary as `e3-agent-<target>`.
//!
//! The envelope alone, as one file, is enough to sign or to merge signatures.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use e3_client::files::{FileError, read_bounded, write_atomic};
use e3_core::document::{Binary, Release};
use e3_core::envelope::Envelope;
use e3_core::limits;

use crate::error::Error;

const ENVELOPE: &str = "release.json";

/// A signed release.
#[derive(Debug, Clone)]
pub struct ReleaseBundle {
    /// The folder, or the envelope where there is no more.
    pub path: PathBuf,
    /// The envelope.
    pub envelope: Envelope,
    /// What it holds. Its signatures are not weighed yet.
    pub release: Release,
    is_folder: bool,
}

impl ReleaseBundle {
    /// Writes a new one into the folder `path`: whole, or not at all. Nothing is overwritten.
    pub fn create(
        path: &Path,
        release: Release,
        envelope: Envelope,
        binaries: &[(String, Vec<u8>)],
    ) -> Result<Self, Error> {
        if path.symlink_metadata().is_ok() {
            return Err(Error::Exists {
                path: path.to_owned(),
            });
        }
        let cannot = |source| Error::Folder {
            action: "make",
            path: path.to_owned(),
            source,
        };
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let folder = tempfile::Builder::new()
            .prefix(".new-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(parent)
            .map_err(cannot)?;
        for (target, bytes) in binaries {
            write_atomic(&folder.path().join(file_name(target)), bytes)?;
        }
        write_atomic(&folder.path().join(ENVELOPE), &envelope.to_bytes())?;
        // The folder is complete before it has its name; if the rename fails it is removed.
        fs::rename(folder.path(), path).map_err(cannot)?;
        let _ = folder.keep();
        Ok(Self {
            path: path.to_owned(),
            envelope,
            release,
            is_folder: true,
        })
    }

    /// Opens the folder or the envelope at `path`.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let is_folder = path.is_dir();
        let file = if is_folder {
            path.join(ENVELOPE)
        } else {
            path.to_owned()
        };
        let bytes = read_bounded(&file, limits::ENVELOPE)?;
        let wrong = |source| Error::Envelope {
            what: file.display().to_string(),
            source,
        };
        let envelope = Envelope::parse(&bytes, limits::ENVELOPE).map_err(wrong)?;
        let release: Release = envelope.unverified().map_err(wrong)?;
        Ok(Self {
            path: path.to_owned(),
            envelope,
            release,
            is_folder,
        })
    }

    /// Whether the binaries are there, too.
    pub const fn is_folder(&self) -> bool {
        self.is_folder
    }

    /// A binary, exactly as the release names it (rule 3: read no further than it says).
    pub fn binary(&self, binary: &Binary) -> Result<Vec<u8>, Error> {
        let path = self.path.join(file_name(&binary.target));
        let limit = usize::try_from(binary.file.size).unwrap_or(usize::MAX);
        match read_bounded(&path, limit) {
            Ok(bytes) if binary.file.names(&bytes) => Ok(bytes),
            Ok(_) | Err(FileError::TooLarge { .. }) => Err(Error::Usage {
                message: format!(
                    "{} is not the binary that the release names",
                    path.display()
                ),
                remedy: "Get the release again from whoever made it; do not sign or publish this copy.",
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes over the signatures of another copy. How many were new.
    pub fn merge(&mut self, other: &Self) -> Result<usize, Error> {
        let before = self.envelope.signature_count();
        if !self.envelope.merge(&other.envelope) {
            return Err(Error::Usage {
                message: format!("{} is another release", other.path.display()),
                remedy: "Merge copies of one release: `e3 release show` tells their digests.",
            });
        }
        Ok(self.envelope.signature_count() - before)
    }

    /// Writes the envelope back: whole or not at all.
    pub fn save(&self) -> Result<(), Error> {
        let file = if self.is_folder {
            self.path.join(ENVELOPE)
        } else {
            self.path.clone()
        };
        Ok(write_atomic(&file, &self.envelope.to_bytes())?)
    }
}

/// `Release::check` has made sure that a target has no slash in it.
fn file_name(target: &str) -> String {
    format!("e3-agent-{target}")
}
