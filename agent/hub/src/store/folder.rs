//! A folder as the store: fsync before every rename, a file lock between processes, and the
//! leftovers of killed processes swept away.
//!
//! `object_store` writes to `NAME#1` and links or renames it into place; with its `fsync` on, the
//! file and the folder are on the disk before a put returns.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use e3_core::time::Time;
use object_store::local::LocalFileSystem;
use tokio::time::{Instant, sleep};

use super::Class;
use crate::ServeError;

/// Beside the tree, not of it: nothing in here is a document.
const PRIVATE: &str = ".e3-hub";
/// A staged file that has not been touched for so long belongs to a process that is gone. No upload
/// takes an hour, see `Limits::body_rate`; bodies are only written once they are whole.
const LEFTOVER_SECONDS: u64 = 3600;
/// No object lies deeper than `receipts/<manifest>/<i>.json`.
const DEPTH: usize = 3;

/// A hub that was stopped while it held a lock must not stop the others for ever.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries. Only replacing waits for it, and only while another process replaces, too.
const TRY: Duration = Duration::from_millis(2);

/// What the hub keeps of its folder besides the objects.
pub(super) struct Folder {
    head: Arc<File>,
    parties: Arc<File>,
}

/// A taken file lock; dropping it gives it back, and so does the death of the process.
pub(super) struct FileLock(Arc<File>);

impl Drop for FileLock {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::error!(%error, "a lock of the store cannot be given back");
        }
    }
}

impl Folder {
    /// Opens the folder, made if needed.
    pub(super) fn open(path: &Path, now: Time) -> Result<(LocalFileSystem, Self), ServeError> {
        let failed = |source: io::Error| ServeError::Folder {
            path: path.to_owned(),
            source,
        };
        let private = path.join(PRIVATE);
        std::fs::create_dir_all(&private).map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        sweep(&path, DEPTH, now);
        let lock = |name: &str| {
            let file = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(private.join(name));
            file.map(Arc::new).map_err(failed)
        };
        let folder = Self {
            head: lock("head.lock")?,
            parties: lock("parties.lock")?,
        };
        let objects = LocalFileSystem::new_with_prefix(&path)
            .map_err(|source| ServeError::Store { source })?;
        Ok((objects.with_fsync(true), folder))
    }

    /// Takes the lock of `class`, which nobody else in this process may hold or wait for. It is tried
    /// for rather than waited for: a thread that waits for a file lock cannot be called back.
    pub(super) async fn lock(&self, class: Class) -> io::Result<FileLock> {
        let file = match class {
            Class::Head => &self.head,
            Class::Parties => &self.parties,
        };
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(FileLock(Arc::clone(file))),
                Err(TryLockError::WouldBlock) if started.elapsed() < PATIENCE => sleep(TRY).await,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Removes staged files (`NAME#NUMBER`) that no living process can still be writing. Failing to is
/// no reason not to start.
fn sweep(folder: &Path, depth: usize, now: Time) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() && depth > 1 {
            sweep(&entry.path(), depth - 1, now);
        } else if kind.is_file() && is_staged(&entry.file_name().to_string_lossy()) {
            let modified = entry.metadata().and_then(|meta| meta.modified()).ok();
            let modified = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let since = modified
                .and_then(|time| u64::try_from(now.unix()).ok()?.checked_sub(time.as_secs()));
            if since.is_some_and(|seconds| seconds > LEFTOVER_SECONDS) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

fn is_staged(name: &str) -> bool {
    let number = name.rsplit_once('#').map_or("", |(_, number)| number);
    !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_of_a_killed_hub_are_swept_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("receipts/00");
        std::fs::create_dir_all(&deep).unwrap();
        for name in ["0.json", "0.json#1", "x#y"] {
            std::fs::write(deep.join(name), b"x").unwrap();
        }
        let names = || {
            let mut names: Vec<_> = deep
                .read_dir()
                .unwrap()
                .map(|e| e.unwrap().file_name())
                .collect();
            names.sort();
            names
        };
        // By this clock the file comes from the future: perhaps it is being written.
        Folder::open(folder.path(), Time::MIN).unwrap();
        assert_eq!(names(), ["0.json", "0.json#1", "x#y"]);
        Folder::open(folder.path(), Time::MAX).unwrap();
        assert_eq!(names(), ["0.json", "x#y"]);
    }

    #[tokio::test(start_paused = true)]
    async fn two_processes_cannot_hold_one_lock_and_nobody_waits_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = [(), ()].map(|()| Folder::open(folder.path(), Time::MIN).unwrap().1);
        let held = a.lock(Class::Head).await.unwrap();
        // Another class is free; the same one is not.
        drop(b.lock(Class::Parties).await.unwrap());
        assert!(b.lock(Class::Head).await.is_err());
        drop(held);
        drop(b.lock(Class::Head).await.unwrap());
    }
}
