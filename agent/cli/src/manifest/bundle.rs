//! A signed session as it goes from owner to owner and to the hub: a folder `NAME.session` with
//! `session.json` (the envelope), `program.pack`, and MPyC's wheel under its own name.
//!
//! Everything that is signed is in it, so whoever is asked for consent can look at what would run.
//! The envelope alone, as one file, is enough to sign or to merge signatures.

mod error;

use std::fs::{self, Permissions};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use e3_client::files::{FileError, read_bounded, write_atomic};
use e3_core::digest::{Blob, Digest};
use e3_core::document::Session;
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;
use e3_core::limits;
use e3_core::pack::{self, Files};

use crate::index::Wheel;

pub use error::BundleError;

/// The envelope in the folder.
pub const ENVELOPE: &str = "session.json";
/// The program in the folder.
pub const PACK: &str = "program.pack";

/// A signed session.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The folder, or the envelope where there is no more.
    pub path: PathBuf,
    /// The envelope.
    pub envelope: Envelope,
    /// What it holds. Its signatures are not weighed yet: see [`super::consent`].
    pub session: Session,
    is_folder: bool,
}

impl Bundle {
    /// Writes a new bundle into the folder `path`: whole, or not at all. Nothing is overwritten.
    pub fn create(
        path: &Path,
        session: Session,
        envelope: Envelope,
        pack: &[u8],
        wheel: &Wheel,
    ) -> Result<Self, BundleError> {
        if path.symlink_metadata().is_ok() {
            return Err(BundleError::Exists {
                path: path.to_owned(),
            });
        }
        let io = |action: &'static str| {
            move |source| {
                BundleError::File(FileError::Io {
                    action,
                    path: path.to_owned(),
                    source,
                })
            }
        };
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let folder = tempfile::Builder::new()
            .prefix(".new-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(parent)
            .map_err(io("cannot create"))?;
        write_atomic(&folder.path().join(PACK), pack)?;
        write_atomic(&folder.path().join(&wheel.file), &wheel.bytes)?;
        write_atomic(&folder.path().join(ENVELOPE), &envelope.to_bytes())?;
        // The folder is complete before it has its name; if the rename fails it is removed.
        fs::rename(folder.path(), path).map_err(io("cannot create"))?;
        let _ = folder.keep();
        fs::File::open(parent)
            .and_then(|parent| parent.sync_all())
            .map_err(io("cannot write"))?;
        Ok(Self {
            path: path.to_owned(),
            envelope,
            session,
            is_folder: true,
        })
    }

    /// Whether `path` looks like a bundle or an envelope rather than like a manifest: no TOML starts
    /// with a brace.
    pub fn is_at(path: &Path) -> bool {
        let named = path
            .extension()
            .is_some_and(|end| end == "json" || end == "session");
        let mut start = Vec::new();
        let read = fs::File::open(path).and_then(|file| file.take(64).read_to_end(&mut start));
        named || path.is_dir() || (read.is_ok() && start.trim_ascii_start().starts_with(b"{"))
    }

    /// Opens the folder or the envelope at `path`.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let is_folder = path.is_dir();
        let file = if is_folder {
            path.join(ENVELOPE)
        } else {
            path.to_owned()
        };
        let bytes = read_bounded(&file, limits::ENVELOPE).map_err(|error| match error {
            error if error.is_not_found() && is_folder => BundleError::NoBundle {
                path: path.to_owned(),
            },
            error if error.is_not_found() => BundleError::NotFound {
                path: path.to_owned(),
            },
            FileError::TooLarge { .. } => BundleError::NoBundle {
                path: path.to_owned(),
            },
            error => error.into(),
        })?;
        let wrong = |source| BundleError::Envelope {
            path: file.clone(),
            source,
        };
        let envelope = Envelope::parse(&bytes, limits::ENVELOPE).map_err(wrong)?;
        let session: Session = envelope.unverified().map_err(wrong)?;
        Ok(Self {
            path: path.to_owned(),
            envelope,
            session,
            is_folder,
        })
    }

    /// The digest of the manifest.
    pub fn manifest(&self) -> Digest {
        self.envelope.digest()
    }

    /// Whether program and MPyC are there, too.
    pub const fn is_folder(&self) -> bool {
        self.is_folder
    }

    /// The packed program, as the manifest names it.
    pub fn pack(&self) -> Result<Vec<u8>, BundleError> {
        self.part(PACK, &self.session.program.pack)
    }

    /// MPyC's wheel, as the manifest names it.
    pub fn wheel(&self) -> Result<Vec<u8>, BundleError> {
        // `Session::check` has made sure that the name stays in the folder.
        self.part(&self.session.mpyc.file, &self.session.mpyc.wheel)
    }

    /// The program's files.
    pub fn files(&self) -> Result<Files, BundleError> {
        let bytes = self.pack()?;
        pack::unpack(&bytes).map_err(|_| BundleError::Damaged {
            path: self.path.join(PACK),
            named: self.session.program.pack,
        })
    }

    /// Adds a signature; call [`Self::save`] afterwards. Whether it was not there yet.
    pub fn add_signature(&mut self, key: &SecretKey) -> Result<bool, BundleError> {
        let before = self.envelope.signature_count();
        self.envelope.add_signature(key);
        self.bounded()?;
        Ok(self.envelope.signature_count() > before)
    }

    /// Takes over the signatures of another copy; call [`Self::save`] afterwards. How many were new.
    pub fn merge(&mut self, other: &Self) -> Result<usize, BundleError> {
        let before = self.envelope.signature_count();
        if !self.envelope.merge(&other.envelope) {
            let (expected, found) = (self.manifest(), other.manifest());
            return Err(BundleError::OtherSession {
                other: other.path.clone(),
                expected,
                found,
            });
        }
        self.bounded()?;
        Ok(self.envelope.signature_count() - before)
    }

    /// Writes the envelope back: whole or not at all.
    pub fn save(&self) -> Result<(), BundleError> {
        let file = if self.is_folder {
            self.path.join(ENVELOPE)
        } else {
            self.path.clone()
        };
        Ok(write_atomic(&file, &self.envelope.to_bytes())?)
    }

    fn bounded(&self) -> Result<(), BundleError> {
        let count = self.envelope.signature_count();
        if count > limits::SIGNATURES {
            Err(BundleError::TooManySignatures { count })
        } else {
            Ok(())
        }
    }

    /// Rule 3: reads as many bytes as the manifest says and one more.
    fn part(&self, name: &str, named: &Blob) -> Result<Vec<u8>, BundleError> {
        if !self.is_folder {
            return Err(BundleError::EnvelopeOnly {
                path: self.path.clone(),
            });
        }
        let path = self.path.join(name);
        let damaged = |path: PathBuf| BundleError::Damaged {
            path,
            named: *named,
        };
        let limit = usize::try_from(named.size).unwrap_or(usize::MAX);
        match read_bounded(&path, limit) {
            Ok(bytes) if named.names(&bytes) => Ok(bytes),
            Ok(_) | Err(FileError::TooLarge { .. }) => Err(damaged(path)),
            Err(error) if error.is_not_found() => Err(damaged(path)),
            Err(error) => Err(error.into()),
        }
    }
}
