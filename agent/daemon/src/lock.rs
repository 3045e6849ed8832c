//! One agent per state folder.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::error::AgentError;

/// Held as long as the agent runs; the kernel lets go of it when the agent dies, however it dies.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "holding the file holds the lock")] File);

/// Takes the state folder for this process.
pub fn take(state: &Path) -> Result<Lock, AgentError> {
    let path = state.join("lock");
    let open = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(&path);
    let file = open.map_err(|source| AgentError::Socket {
        path: path.clone(),
        source,
    })?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(_) => Err(AgentError::Running {
            path: state.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let first = take(folder.path()).unwrap();
        assert!(matches!(
            take(folder.path()),
            Err(AgentError::Running { .. })
        ));
        drop(first);
        take(folder.path()).unwrap();
    }
}
