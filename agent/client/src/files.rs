//! Files read with a bound and written so that a crash leaves either the old or the new contents.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use e3_core::key::{KeyError, SecretKey};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

/// A secret key file is a few hundred bytes.
const KEY_FILE: usize = 4096;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system says no.
    #[error("{action} {path}")]
    Io {
        /// `cannot read`, `cannot write`, …
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Longer than it may be.
    #[error("{path} has more than {limit} bytes")]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// The bound.
        limit: usize,
    },
    /// A secret that others can read.
    #[error(
        "{path} holds a secret and others can read it (mode {mode:03o}); run `chmod 600 {path}`"
    )]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file that must not be replaced is there.
    #[error("{path} exists already; move it away first, E3 never overwrites a key")]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// Not a key.
    #[error("{path} holds no key")]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: KeyError,
    },
}

impl FileError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// Whether the file is simply not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether the disk is full.
    pub fn is_disk_full(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, Self::Io { source, .. } if full.contains(&source.kind()))
    }
}

/// Reads a file of at most `limit` bytes (rule 3: nothing larger is even held in memory).
pub fn read_bounded(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(FileError::io("cannot open", path))?;
    let mut bytes = Vec::new();
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(bound)
        .read_to_end(&mut bytes)
        .map_err(FileError::io("cannot read", path))?;
    if bytes.len() > limit {
        return Err(FileError::TooLarge {
            path: path.to_owned(),
            limit,
        });
    }
    Ok(bytes)
}

/// Writes a file that appears whole or not at all, and is on the disk when this returns.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace(path, bytes, 0o644)
}

/// The same for contents that only the owner may read.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace(path, bytes, 0o600)
}

/// The same for what everybody may read and nobody needs after a crash: whole, but not synced.
pub fn write_volatile(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut file = new_beside(path, 0o644)?;
    file.write_all(bytes)
        .map_err(FileError::io("cannot write", path))?;
    file.persist(path)
        .map(drop)
        .map_err(|error| FileError::io("cannot replace", path)(error.error))
}

/// Writes a file that only the owner may read, into a folder that is made anew after a crash: not synced, and not there yet.
pub fn write_fresh(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(bytes))
        .map_err(FileError::io("cannot write", path))
}

/// Writes a secret that must not exist yet. It appears whole or not at all.
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let file = beside(path, bytes, 0o600)?;
    file.persist_noclobber(path)
        .map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => FileError::Exists {
                path: path.to_owned(),
            },
            _ => FileError::io("cannot create", path)(error.error),
        })?;
    sync_folder(path)
}

/// Removes a file if it is there. When this returns it is gone from the disk.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(FileError::io("cannot remove", path)(error)),
    }
}

/// Reads a secret, and refuses one that others could have read, too.
pub fn read_secret(path: &Path) -> Result<Zeroizing<String>, FileError> {
    let metadata = fs::metadata(path).map_err(FileError::io("cannot open", path))?;
    let mode = metadata.mode() & 0o777;
    let others = if is_credential(path) { 0o007 } else { 0o077 };
    if mode & others != 0 {
        return Err(FileError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let bytes = Zeroizing::new(read_bounded(path, KEY_FILE)?);
    Ok(Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Whether systemd has put it there for this service. The folder is closed to everybody else, and what looks like the group's
/// right to the file is the mask of an access list.
fn is_credential(path: &Path) -> bool {
    std::env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|folder| path.starts_with(folder))
}

/// Reads a secret key file.
pub fn read_key(path: &Path) -> Result<SecretKey, FileError> {
    let text = read_secret(path)?;
    SecretKey::from_pem(&text).map_err(|source| FileError::Key {
        path: path.to_owned(),
        source,
    })
}

/// Makes a folder, and those above it, that only the owner may enter.
pub fn private_folder(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(FileError::io("cannot create", path))?;
    fs::set_permissions(path, Permissions::from_mode(0o700))
        .map_err(FileError::io("cannot protect", path))
}

/// Lets everybody read all files of a folder, whatever the umask was when they were written. Whether anybody gets that
/// far is decided by the folders above it.
pub fn publish(path: &Path) -> Result<(), FileError> {
    let is_folder = fs::symlink_metadata(path)
        .map_err(FileError::io("cannot open", path))?
        .is_dir();
    let mode = if is_folder { 0o755 } else { 0o644 };
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(FileError::io("cannot publish", path))?;
    if is_folder {
        for entry in fs::read_dir(path).map_err(FileError::io("cannot list", path))? {
            publish(&entry.map_err(FileError::io("cannot list", path))?.path())?;
        }
    }
    Ok(())
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let file = beside(path, bytes, mode)?;
    file.persist(path)
        .map_err(|error| FileError::io("cannot replace", path)(error.error))?;
    sync_folder(path)
}

/// A temporary file in the same folder with these contents, on the disk.
fn beside(path: &Path, bytes: &[u8], mode: u32) -> Result<NamedTempFile, FileError> {
    let mut file = new_beside(path, mode)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| file.as_file().sync_all());
    written.map_err(FileError::io("cannot write", path))?;
    Ok(file)
}

fn new_beside(path: &Path, mode: u32) -> Result<NamedTempFile, FileError> {
    tempfile::Builder::new()
        .prefix(".new-")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder_of(path))
        .map_err(FileError::io("cannot write beside", path))
}

/// A rename is on the disk only when its folder is.
fn sync_folder(path: &Path) -> Result<(), FileError> {
    let folder = folder_of(path);
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(FileError::io("cannot write", folder))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_others_can_read_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let key = crate::random::key();
        write_secret(&path, key.to_pem().as_bytes()).unwrap();
        assert_eq!(read_key(&path).unwrap().public(), key.public());
        assert!(matches!(
            write_secret(&path, b"x"),
            Err(FileError::Exists { .. })
        ));
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let text = read_key(&path).unwrap_err().to_string();
        assert!(text.contains("chmod 600"), "{text}");
    }

    #[test]
    fn files_are_bounded_and_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        write_atomic(&path, b"first").unwrap();
        write_private(&path, b"second").unwrap();
        assert_eq!(read_bounded(&path, 6).unwrap(), b"second");
        assert!(matches!(
            read_bounded(&path, 5),
            Err(FileError::TooLarge { .. })
        ));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no temporary file stays behind"
        );
        assert!(
            read_bounded(&folder.path().join("none"), 1)
                .unwrap_err()
                .is_not_found()
        );
    }
}
