//! Whose child is whose: the agent's own helpers, the main processes of its jobs, and everything else.
//!
//! The agent adopts what its jobs leave without a parent. So that it can tell those from children that it has
//! started itself, every start goes through here.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// All children of this process that were started on purpose.
#[derive(Debug, Default)]
pub(super) struct Registry {
    own: BTreeSet<u32>,
    /// Main process → the id of its job.
    jobs: BTreeMap<u32, String>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry {
    own: BTreeSet::new(),
    jobs: BTreeMap::new(),
});

impl Registry {
    /// Whether this child was started on purpose.
    pub(super) fn knows(&self, pid: u32) -> bool {
        self.own.contains(&pid) || self.jobs.contains_key(&pid)
    }

    /// Whether a job with this id runs.
    pub(super) fn runs(&self, id: &str) -> bool {
        self.jobs.values().any(|job| job == id)
    }
}

/// The registry. Held while a child is started, so that nobody sees it before it is in the list.
pub(super) fn lock() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the main process of a job.
pub(super) fn spawn_main(
    command: &mut std::process::Command,
    id: &str,
) -> io::Result<std::process::Child> {
    let mut registry = lock();
    let child = command.spawn()?;
    registry.jobs.insert(child.id(), id.to_owned());
    Ok(child)
}

/// Forgets the main process of a job.
pub(super) fn forget_main(pid: u32) {
    lock().jobs.remove(&pid);
}

/// A child of the agent's own; forgotten when dropped.
#[derive(Debug)]
pub(crate) struct Own(u32);

impl Drop for Own {
    fn drop(&mut self) {
        lock().own.remove(&self.0);
    }
}

/// Starts a helper of the agent's own, which is no part of any job. Keep the second value as long as the child.
pub(crate) fn spawn_own(
    command: &mut tokio::process::Command,
) -> io::Result<(tokio::process::Child, Own)> {
    let mut registry = lock();
    let child = command.spawn()?;
    let pid = child.id().unwrap_or_default();
    registry.own.insert(pid);
    Ok((child, Own(pid)))
}
