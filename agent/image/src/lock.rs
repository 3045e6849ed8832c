//! A file that one command at a time works on.

use std::fs::{File, TryLockError};
use std::io;
use std::ops::{Deref, DerefMut};

/// The file, held until this is dropped.
#[derive(Debug)]
pub(crate) struct Locked(File);

impl Locked {
    /// Takes it, unless another command has it.
    pub(crate) fn take(file: File) -> io::Result<Option<Self>> {
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Waits until no other command has it.
    pub(crate) fn wait(file: File) -> io::Result<Self> {
        file.lock()?;
        Ok(Self(file))
    }
}

impl Deref for Locked {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl DerefMut for Locked {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.0
    }
}

impl Drop for Locked {
    /// A process that was being started meanwhile has the file open too until it runs its own program: closing it here
    /// would not give it back.
    fn drop(&mut self) {
        // What cannot be given back ends with the process.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_done_with_it_lets_go_though_a_child_still_has_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let take = || {
            Locked::take(
                File::options()
                    .create(true)
                    .append(true)
                    .open(&path)
                    .unwrap(),
            )
            .unwrap()
        };
        let held = take().unwrap();
        assert!(take().is_none());
        let child = held.try_clone().unwrap();
        drop(held);
        assert!(take().is_some());
        drop(child);
    }
}
