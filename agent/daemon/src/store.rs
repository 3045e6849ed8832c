//! Immutable files under their SHA-256: packed programs, MPyC wheels, whatever else a manifest names.
//!
//! A file is looked for in the read-only folders first (what the image ships), then in the agent's own.
//! What is found is checked every time, length before contents (rule 3), and a file that is not what its
//! name says is never used, replaced or healed in silence: it is moved aside for its owner to look at, the
//! session that met it fails with the reason, and the next one fetches it afresh.
//!
//! Fetching is not done here.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use e3_client::files::{self, FileError};
use e3_core::digest::{Blob, Digest};
use e3_core::limits;

/// How much of a file of the wrong length is hashed for the report. A sparse file may claim any length.
const HASHED_AT_MOST: u64 = limits::PROGRAM;

/// Why a file cannot be had from the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The bytes under this name are others.
    #[error("{} is not what its name says (it hashes to {has}); it is now at {}, look into it", path.display(), kept.display())]
    Tampered {
        /// What its name says.
        pinned: Digest,
        /// What it hashes to, over at most 64 MiB.
        has: Digest,
        /// Where it was found.
        path: PathBuf,
        /// Where it is now: the same place if that is read-only.
        kept: PathBuf,
    },
    /// Reading failed.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Moving or removing failed.
    #[error("cannot move or remove {}", path.display())]
    Change {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Writing failed.
    #[error(transparent)]
    Write(#[from] FileError),
}

/// The store.
#[derive(Debug)]
pub struct BlobStore {
    dir: PathBuf,
    quarantine: PathBuf,
    lower: Vec<PathBuf>,
    /// Bad files in read-only folders: reported once, then passed over so that a good copy can be fetched.
    distrusted: Mutex<BTreeSet<PathBuf>>,
}

impl BlobStore {
    /// Opens the store of the agent with this state folder. `lower` are read-only folders of the same form.
    pub fn open(state: &Path, lower: Vec<PathBuf>) -> Result<Self, StoreError> {
        let dir = state.join("blobs");
        files::private_folder(&dir)?;
        Ok(Self {
            dir,
            quarantine: state.join("quarantine"),
            lower,
            distrusted: Mutex::default(),
        })
    }

    /// The bytes of `blob`, checked; `None` if they have to be fetched.
    pub fn get(&self, blob: &Blob) -> Result<Option<Vec<u8>>, StoreError> {
        let name = blob.digest.hex();
        for folder in &self.lower {
            let path = folder.join(&name);
            let passed_over = self.distrusted().contains(&path);
            match if passed_over {
                None
            } else {
                read(&path, blob)?
            } {
                None => {}
                Some(Ok(bytes)) => return Ok(Some(bytes)),
                Some(Err(has)) => {
                    self.distrusted().insert(path.clone());
                    return Err(StoreError::Tampered {
                        pinned: blob.digest,
                        has,
                        kept: path.clone(),
                        path,
                    });
                }
            }
        }
        let path = self.dir.join(&name);
        match read(&path, blob)? {
            None => Ok(None),
            Some(Ok(bytes)) => Ok(Some(bytes)),
            Some(Err(has)) => {
                let kept = quarantine(&self.quarantine, &path)?;
                Err(StoreError::Tampered {
                    pinned: blob.digest,
                    has,
                    path,
                    kept,
                })
            }
        }
    }

    /// Adds these bytes; they are on the disk when this returns.
    ///
    /// A bad file in their place is put aside without an error: whoever puts has the right bytes in hand.
    pub fn put(&self, bytes: &[u8]) -> Result<Blob, StoreError> {
        let blob = Blob::of(bytes);
        match self.get(&blob) {
            Ok(Some(_)) => return Ok(blob),
            Ok(None) => {}
            Err(error @ StoreError::Tampered { .. }) => tracing::warn!("{error}"),
            Err(error) => return Err(error),
        }
        files::write_atomic(&self.dir.join(blob.digest.hex()), bytes)?;
        Ok(blob)
    }

    /// Removes everything but these from the agent's own folder, leftovers of interrupted writes too.
    /// Returns how many files went. Not to be called while something is being put.
    pub fn retain(&self, keep: &BTreeSet<Digest>) -> Result<usize, StoreError> {
        let failed = |source| StoreError::Read {
            path: self.dir.clone(),
            source,
        };
        let mut removed = 0;
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let digest = entry
                .file_name()
                .to_str()
                .and_then(|name| Digest::from_hex(name).ok());
            if digest.is_none_or(|digest| !keep.contains(&digest)) {
                let path = entry.path();
                fs::remove_file(&path).map_err(|source| StoreError::Change { path, source })?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn distrusted(&self) -> std::sync::MutexGuard<'_, BTreeSet<PathBuf>> {
        self.distrusted
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Reads a file that should be `blob`: nothing there, its bytes, or what is there instead.
fn read(path: &Path, blob: &Blob) -> Result<Option<Result<Vec<u8>, Digest>>, StoreError> {
    let failed = |source| StoreError::Read {
        path: path.to_owned(),
        source,
    };
    // A link is not followed, a pipe does not block: neither is ever written by the store.
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file = match File::options().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(nix::libc::ELOOP) => {
            return Ok(Some(Err(Digest::of(b""))));
        }
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Ok(Some(Err(Digest::of(b""))));
    }
    let fits = metadata.len() == blob.size;
    let limit = if fits { blob.size + 1 } else { HASHED_AT_MOST };
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    let has = Digest::of(&bytes);
    let good = bytes.len() as u64 == blob.size && has == blob.digest;
    Ok(Some(if good { Ok(bytes) } else { Err(has) }))
}

/// Moves a file or folder to `<quarantine>/<its name>-<n>` and returns where it is now.
pub(crate) fn quarantine(quarantine: &Path, path: &Path) -> Result<PathBuf, StoreError> {
    files::private_folder(quarantine)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut number = 1_u32;
    let kept = loop {
        let path = quarantine.join(format!("{name}-{number}"));
        if path.symlink_metadata().is_err() {
            break path;
        }
        number += 1;
    };
    fs::rename(path, &kept).map_err(|source| StoreError::Change {
        path: path.to_owned(),
        source,
    })?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(lower: Vec<PathBuf>) -> (tempfile::TempDir, BlobStore) {
        let state = tempfile::tempdir().unwrap();
        let store = BlobStore::open(state.path(), lower).unwrap();
        (state, store)
    }

    #[test]
    fn what_is_put_is_there_and_what_is_not_kept_is_removed() {
        let (state, store) = store(Vec::new());
        let (a, b) = (store.put(b"a").unwrap(), store.put(b"b").unwrap());
        store.put(b"a").unwrap();
        assert_eq!(store.get(&a).unwrap().as_deref(), Some(&b"a"[..]));
        fs::File::create(state.path().join("blobs/.tmp123")).unwrap();
        assert_eq!(store.retain(&[a.digest].into()).unwrap(), 2);
        assert_eq!(store.get(&b).unwrap(), None);
        assert!(store.get(&a).unwrap().is_some());
    }

    #[test]
    fn a_changed_file_is_reported_moved_aside_and_then_fetched_afresh() {
        let (state, store) = store(Vec::new());
        let blob = store.put(b"good").unwrap();
        let path = state.path().join("blobs").join(blob.digest.hex());
        for (n, bad) in [(1, &b"evil"[..]), (2, b"longer than it was"), (3, b"")] {
            fs::File::create(&path)
                .and_then(|mut f| io::Write::write_all(&mut f, bad))
                .unwrap();
            let Err(StoreError::Tampered {
                pinned, has, kept, ..
            }) = store.get(&blob)
            else {
                panic!("{n}")
            };
            assert_eq!((pinned, has), (blob.digest, Digest::of(bad)));
            assert_eq!(
                kept,
                state
                    .path()
                    .join(format!("quarantine/{}-{n}", blob.digest.hex()))
            );
            assert_eq!(fs::read(kept).unwrap(), bad);
            assert_eq!(
                store.get(&blob).unwrap(),
                None,
                "the next session fetches it"
            );
            store.put(b"good").unwrap();
            assert!(store.get(&blob).unwrap().is_some());
        }
    }

    #[test]
    fn links_and_pipes_are_never_read() {
        let (state, store) = store(Vec::new());
        let blob = Blob::of(b"good");
        let path = state.path().join("blobs").join(blob.digest.hex());
        let elsewhere = state.path().join("elsewhere");
        files::write_atomic(&elsewhere, b"good").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(matches!(store.get(&blob), Err(StoreError::Tampered { .. })));
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(store.get(&blob), Err(StoreError::Tampered { .. })));
    }

    #[test]
    fn the_images_own_store_comes_first_and_a_bad_file_in_it_is_reported_once() {
        let image = tempfile::tempdir().unwrap();
        let (_state, store) = store(vec![image.path().to_owned()]);
        let (good, bad) = (Blob::of(b"good"), Blob::of(b"bad"));
        files::write_atomic(&image.path().join(good.digest.hex()), b"good").unwrap();
        files::write_atomic(&image.path().join(bad.digest.hex()), b"rot").unwrap();
        assert!(store.get(&good).unwrap().is_some());
        let Err(StoreError::Tampered { path, kept, .. }) = store.get(&bad) else {
            panic!("not seen")
        };
        assert_eq!(path, kept);
        assert_eq!(store.get(&bad).unwrap(), None);
        store.put(b"bad").unwrap();
        assert!(store.get(&bad).unwrap().is_some());
    }
}
