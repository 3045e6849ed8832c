//! One agent per state folder.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::AgentError;

/// How long somebody who is just leaving may take. A process that was being started when its agent ended holds the
/// agent's files until it runs its own program.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(10);

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
    let begin = Instant::now();
    while file.try_lock().is_err() {
        if begin.elapsed() > PATIENCE {
            return Err(AgentError::Running {
                path: state.to_owned(),
            });
        }
        std::thread::sleep(PAUSE);
    }
    Ok(Lock(file))
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

    #[test]
    fn somebody_who_is_just_leaving_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let first = take(folder.path()).unwrap();
        let leaving = std::thread::spawn(move || {
            std::thread::sleep(PAUSE * 3);
            drop(first);
        });
        take(folder.path()).unwrap();
        leaving.join().unwrap();
    }
}
