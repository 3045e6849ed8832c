//! What the agent tells of itself: the phase it is in, what it knows of itself and its fleet, and
//! the latest sessions. Status socket, presence, login banner, D-Bus and metrics all read it here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use e3_client::clock::Clock;
use e3_core::degraded::Degraded;
use e3_core::digest::Digest;
use e3_core::document::{Mesh, Progress, SessionPresence};
use e3_core::key::PublicKey;
use e3_core::name::Name;
use e3_core::session::Failure;
use e3_core::time::Time;
use e3_core::trust::Trust;
use e3_core::update::{State, Trouble};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::phase::Phase;
use crate::update::{Entered, InEffect};
use e3_client::join::Join;

/// Sessions kept on the board: what fits on a screen, and into a presence.
pub const SESSIONS: usize = 24;

/// The board. Cheap to clone.
#[derive(Clone)]
pub struct Board {
    content: Arc<Mutex<Content>>,
    /// Rule 10: no signed time that was verified is later.
    clock: Clock,
    changed: watch::Sender<u64>,
    /// For how many seconds more this machine shows which one it is. The fleet need not hear of it.
    identifying: watch::Sender<Option<u32>>,
}

/// Where trouble comes from; each source has its own, and the first is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Coming up.
    Boot,
    /// What must be written.
    Disk,
    /// Who starts programs.
    Supervisor,
    /// What an earlier run has kept of sessions.
    Sessions,
    /// What the hub shows.
    Head,
}

/// Everything that stands on the board.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    way: Phase,
    troubles: BTreeMap<Source, Degraded>,
    known: Known,
    notes: Notes,
    counts: Counts,
    release: InEffect,
}

/// What the agent knows of itself and its fleet so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The party's name.
    pub name: Option<Name>,
    /// Its identity.
    pub party: Option<PublicKey>,
    /// The fleet.
    pub fleet: Option<Name>,
    /// Whose policy it follows.
    pub owner: Option<PublicKey>,
    /// The hub, without user and password.
    pub hub: Option<String>,
    /// Where other agents reach it.
    pub addresses: Vec<String>,
    /// How it stands with each mesh that the fleet wants, by backend.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub meshes: BTreeMap<String, Mesh>,
    /// Its public keys on meshes, by backend.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub mesh_keys: BTreeMap<String, String>,
    /// Where the daemons of its meshes may be reached without an anchor, by backend.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub mesh_endpoints: BTreeMap<String, Vec<String>>,
    /// The newest root.
    pub root: Option<u64>,
    /// The newest head.
    pub head: Option<u64>,
    /// When that head was signed.
    pub head_signed: Option<Time>,
    /// When it expires.
    pub head_expires: Option<Time>,
}

/// What has happened lately.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    /// Whether the hub answered last time; the error if not.
    pub hub_error: Option<String>,
    /// What is wrong with the agent's update, if something is.
    #[serde(default)]
    pub update: Option<Trouble>,
    /// The latest sessions, newest last.
    pub sessions: Vec<SessionNote>,
}

/// What has been counted since the agent was started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sessions that have ended: why they failed, or nothing.
    pub ended: BTreeMap<Option<String>, u64>,
    /// Times that the hub did not answer.
    pub hub_errors: u64,
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
            content: Arc::new(Mutex::new(Content {
                way: Phase::Starting,
                troubles: BTreeMap::new(),
                known: Known::default(),
                notes: Notes::default(),
                counts: Counts::default(),
                release: InEffect::of(&Entered::default(), &State::default()),
            })),
            clock: Clock::default(),
            changed: watch::Sender::new(0),
            identifying: watch::Sender::new(None),
        }
    }
}

impl Board {
    /// What the agent is doing. Trouble goes before everything else.
    pub fn phase(&self) -> Phase {
        let content = self.lock();
        content.troubles.values().next().map_or_else(
            || content.way.clone(),
            |reason| Phase::Degraded {
                reason: reason.clone(),
            },
        )
    }

    /// What the agent knows so far.
    pub fn known(&self) -> Known {
        self.lock().known.clone()
    }

    /// What has happened lately.
    pub fn notes(&self) -> Notes {
        self.lock().notes.clone()
    }

    /// What has been counted.
    pub fn counts(&self) -> Counts {
        self.lock().counts.clone()
    }

    /// Which agent runs.
    pub fn in_effect(&self) -> InEffect {
        self.lock().release.clone()
    }

    /// Wakes whenever something changes that people or the fleet should hear of.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Has the machine show which one it is, for so many seconds more.
    pub fn identifies(&self, seconds: Option<u32>) {
        self.identifying.send_replace(seconds);
    }

    /// Whether it does.
    pub fn identifying(&self) -> Option<u32> {
        *self.identifying.borrow()
    }

    /// Wakes whenever that changes.
    pub fn identifications(&self) -> watch::Receiver<Option<u32>> {
        self.identifying.subscribe()
    }

    /// Says how far the agent has come.
    pub fn phase_is(&self, phase: Phase) {
        self.change(|content| content.way = phase);
    }

    /// Says why no new session is taken, or that this is over.
    pub fn degraded(&self, source: Source, reason: Option<Degraded>) {
        self.change(|content| match reason {
            // They may hold words of the operating system or of a hub.
            Some(reason) => drop(content.troubles.insert(source, reason.cleaned())),
            None => drop(content.troubles.remove(&source)),
        });
    }

    /// Whether something is wrong there.
    pub fn is_degraded(&self, source: Source) -> bool {
        self.lock().troubles.contains_key(&source)
    }

    /// The machine's identity.
    pub fn identity(&self, party: PublicKey) {
        self.change(|content| content.known.party = Some(party));
    }

    /// What the join file says.
    pub fn joins(&self, join: &Join) {
        self.change(|content| {
            let known = &mut content.known;
            known.name = Some(join.name.clone());
            known.fleet = Some(join.fleet.clone());
            known.owner = Some(join.owner);
            known.hub = Some(e3_core::text::without_credentials(&join.hub));
        });
    }

    /// Where other agents reach this one.
    pub fn addresses(&self, addresses: &[String]) {
        self.change(|content| content.known.addresses = addresses.to_vec());
    }

    /// How it stands with a mesh, or that the fleet does not want it.
    pub fn mesh(&self, backend: &str, mesh: Option<Mesh>) {
        self.change(|content| {
            let meshes = &mut content.known.meshes;
            match mesh {
                Some(mesh) => drop(meshes.insert(backend.to_owned(), mesh)),
                None => drop(meshes.remove(backend)),
            }
        });
    }

    /// Its public key for a mesh backend.
    pub fn mesh_key(&self, backend: &str, key: &str) {
        self.change(|content| {
            let keys = &mut content.known.mesh_keys;
            keys.insert(backend.to_owned(), key.to_owned());
        });
    }

    /// Where the daemon of a mesh may be reached; nowhere if the fleet does not want the mesh.
    pub fn mesh_endpoints(&self, backend: &str, endpoints: Vec<String>) {
        self.change(|content| {
            let told = &mut content.known.mesh_endpoints;
            if endpoints.is_empty() {
                told.remove(backend);
            } else {
                told.insert(backend.to_owned(), endpoints);
            }
        });
    }

    /// What is trusted now. Nobody is woken for it: a fleet of thousands must not answer every head.
    pub fn trusts(&self, trust: &Trust) {
        self.clock.set_floor(trust.floor.time);
        let mut content = self.lock();
        let known = &mut content.known;
        known.root = Some(trust.root.version);
        known.head = trust.head.as_ref().map(|head| head.counter);
        known.head_signed = trust.head.as_ref().map(|head| head.signed);
        known.head_expires = trust.head.as_ref().map(|head| head.expires);
    }

    /// Rule 10: what time it is.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Puts a session up, or changes it.
    pub fn session(&self, note: SessionNote) {
        self.change(|content| {
            let sessions = &mut content.notes.sessions;
            let known = sessions.iter_mut().find(|s| s.manifest == note.manifest);
            let is_over = |progress| matches!(progress, Progress::Done | Progress::Failed);
            if is_over(note.progress) && !known.as_ref().is_some_and(|s| is_over(s.progress)) {
                let why = note.failure.as_ref().map(|failure| failure.reason.kind());
                *content.counts.ended.entry(why).or_default() += 1;
            }
            match known {
                Some(other) => *other = note,
                None => sessions.push(note),
            }
            while sessions.len() > SESSIONS {
                // What goes on is not forgotten for what has ended, however long it takes.
                let ended = sessions.iter().position(|s| is_over(s.progress));
                sessions.remove(ended.unwrap_or(0));
            }
        });
    }

    /// Puts up a session that ended before this agent was started: known, but not counted.
    pub fn recall(&self, note: SessionNote) {
        self.change(|content| content.notes.sessions.push(note));
    }

    /// Says whether the hub answers.
    pub fn hub(&self, error: Option<String>) {
        if error.is_some() {
            self.lock().counts.hub_errors += 1;
        }
        self.change(|content| content.notes.hub_error = error);
    }

    /// Says what is wrong with the agent's update, or that nothing is.
    pub fn update(&self, trouble: Option<Trouble>) {
        self.change(|content| content.notes.update = trouble);
    }

    /// Says which agent runs, and which one is to follow.
    pub fn release(&self, mut release: InEffect) {
        self.change(|content| {
            release.sha256 = release.sha256.or(content.release.sha256);
            content.release = release;
        });
    }

    /// Says which file the agent is that runs.
    pub fn release_is_file(&self, file: Digest) {
        self.change(|content| content.release.sha256 = Some(file));
    }

    fn change(&self, change: impl FnOnce(&mut Content)) {
        let mut content = self.lock();
        let before = content.clone();
        change(&mut content);
        if *content != before {
            drop(content);
            self.changed.send_modify(|version| *version += 1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
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

impl SessionNote {
    /// How it stands in one line: `failed: party 2 (carol): …`.
    pub fn standing(&self) -> String {
        let progress = self.progress.as_str();
        let Some(failure) = &self.failure else {
            return progress.to_owned();
        };
        let name = self.parties.get(failure.party);
        let name = name.map_or("?", |name| name.as_str());
        format!(
            "{progress}: party {} ({name}): {}",
            failure.party, failure.reason
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_session_is_shown_for_as_long_as_it_goes_on() {
        let board = Board::default();
        let note = |manifest: usize, progress| SessionNote {
            name: "count".parse().unwrap(),
            manifest: Digest::of(&manifest.to_be_bytes()),
            progress,
            failure: None,
            parties: Vec::new(),
        };
        board.session(note(0, Progress::Running));
        for short in 1..=2 * SESSIONS {
            board.session(note(short, Progress::Running));
            board.session(note(short, Progress::Done));
        }
        let shown = board.notes().sessions;
        assert_eq!(shown.len(), SESSIONS);
        assert_eq!(shown[0], note(0, Progress::Running));
        assert_eq!(shown[SESSIONS - 1], note(2 * SESSIONS, Progress::Done));
        board.session(note(0, Progress::Done));
        assert_eq!(board.counts().ended[&None], 1 + 2 * SESSIONS as u64);
    }
}
