//! What the agent tells of itself: to its owner by the status socket, to the fleet by presence.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use e3_core::digest::Digest;
use e3_core::document::{Progress, SessionPresence};
use e3_core::name::Name;
use e3_core::session::{Failure, Reason};
use e3_core::update::Trouble;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Sessions kept on the board: what fits on a screen, and into a presence.
const SESSIONS: usize = 24;

/// The board. Cheap to clone.
#[derive(Clone)]
pub struct Board {
    notes: Arc<Mutex<Notes>>,
    changed: watch::Sender<u64>,
}

/// What stands on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    /// Why no new session is taken, if none is (rule 11).
    pub degraded: Option<Reason>,
    /// Whether the hub answered last time; the error if not.
    pub hub_error: Option<String>,
    /// What is wrong with the agent's update, if something is.
    #[serde(default)]
    pub update: Option<Trouble>,
    /// The latest sessions, newest last.
    pub sessions: Vec<SessionNote>,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionNote {
    /// Its name.
    pub name: Name,
    /// Its manifest.
    pub manifest: Digest,
    /// How far it is.
    pub progress: Progress,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// The parties' names, in order: what `failure.party` refers to.
    pub parties: Vec<Name>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            notes: Arc::default(),
            changed: watch::Sender::new(0),
        }
    }
}

impl Board {
    /// A copy of what stands there now.
    pub fn notes(&self) -> Notes {
        self.lock().clone()
    }

    /// Wakes whenever something changes.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Puts a session up, or changes it.
    pub fn session(&self, note: SessionNote) {
        self.change(|notes| {
            match notes
                .sessions
                .iter_mut()
                .find(|other| other.manifest == note.manifest)
            {
                Some(other) => *other = note,
                None => notes.sessions.push(note),
            }
            let surplus = notes.sessions.len().saturating_sub(SESSIONS);
            notes.sessions.drain(..surplus);
        });
    }

    /// Says why no new session is taken, or that they are again.
    pub fn degraded(&self, reason: Option<Reason>) {
        self.change(|notes| notes.degraded = reason);
    }

    /// Says whether the hub answers.
    pub fn hub(&self, error: Option<String>) {
        self.change(|notes| notes.hub_error = error);
    }

    /// Says what is wrong with the agent's update, or that nothing is.
    pub fn update(&self, trouble: Option<Trouble>) {
        self.change(|notes| notes.update = trouble);
    }

    fn change(&self, change: impl FnOnce(&mut Notes)) {
        let mut notes = self.lock();
        let before = notes.clone();
        change(&mut notes);
        if *notes != before {
            drop(notes);
            self.changed.send_modify(|version| *version += 1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    /// The sessions as a presence carries them.
    pub fn presences(&self) -> Vec<SessionPresence> {
        let presence = |note: &SessionNote| SessionPresence {
            manifest: note.manifest,
            progress: note.progress,
            failure: note.failure.as_ref().map(Failure::cleaned),
        };
        self.sessions.iter().map(presence).collect()
    }
}
