//! The floor: what this party has accepted and will never go back behind (rules 5, 8 and 10).
//!
//! The daemon writes it to disk, with fsync, before anything that depends on it is used.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Trust, TrustError};
use crate::digest::Digest;
use crate::document::{Head, Root, Session};
use crate::envelope::Verified;
use crate::name::Name;
use crate::time::Time;

/// The highest of everything accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floor {
    /// The root's version.
    pub root_version: u64,
    /// The digest of that root.
    pub root_digest: Digest,
    /// The epoch all counters below belong to.
    pub epoch: u64,
    /// The newest head: its counter and its digest, so that a second one with the same counter is
    /// recognised (equivocation).
    pub head: Option<Mark>,
    /// The newest release.
    pub release: Option<Mark>,
    /// For each session name the newest session accepted.
    pub sessions: BTreeMap<Name, Mark>,
    /// Rule 10: the newest verified signed time, and never before the image was built.
    pub time: Time,
    /// When the image was built: where the floor starts again with a new epoch.
    pub built: Time,
}

/// A counter and the document that carried it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// The counter.
    pub counter: u64,
    /// The digest of the document's payload.
    pub digest: Digest,
}

/// Rule 12: what a machine may conclude at start from what it finds on its disk.
///
/// `identity` and `journal` tell whether the machine has an identity key, and a journal or anything
/// else that only a party has; `state` is the trust state that could be read. `None` is a first boot:
/// nothing is there at all. An identity or a journal without trust state is none: somebody, or a
/// failing disk, took the floor away, and starting over would accept every old document again.
///
/// For this to hold the daemon writes the trust state first, then the identity, then the journal.
pub fn found(
    identity: bool,
    journal: bool,
    state: Option<Trust>,
) -> Result<Option<Trust>, TrustError> {
    match state {
        None if identity || journal => Err(TrustError::StateMissing),
        state => Ok(state),
    }
}

impl Floor {
    /// The floor of a party that has just accepted its first root.
    pub fn new(root: &Verified<Root>, built: Time) -> Self {
        Self {
            root_version: root.document.version,
            root_digest: root.digest,
            epoch: root.document.epoch,
            head: None,
            release: None,
            sessions: BTreeMap::new(),
            time: built.max(root.document.signed),
            built,
        }
    }

    /// Raises the floor to a root that [`super::chain::next`] has accepted.
    ///
    /// With a new epoch every counter and the time start afresh: the root's keys outrank whoever ran
    /// the old ones to the end of the scale. Documents of the old epoch stay refused by their epoch.
    pub(super) fn raise_to_root(&mut self, root: &Verified<Root>) {
        if root.document.epoch > self.epoch {
            *self = Self::new(root, self.built);
        } else {
            self.root_version = root.document.version;
            self.root_digest = root.digest;
            self.time = self.time.max(root.document.signed);
        }
    }

    /// Raises the floor to a head that has been accepted.
    pub(super) fn raise_to_head(&mut self, head: &Verified<Head>) {
        self.head = Some(Mark {
            counter: head.document.counter,
            digest: head.digest,
        });
        self.time = self.time.max(head.document.signed);
    }

    /// Raises a first contact's floor to what is remembered elsewhere, after the owner has said that
    /// the trust state may be replaced (rule 12). Nothing is ever lowered.
    pub fn recall(&mut self, head: Option<Mark>, sessions: impl IntoIterator<Item = (Name, Mark)>) {
        let above = |mark: &Mark, floor: Option<&Mark>| {
            floor.is_none_or(|floor| floor.counter < mark.counter)
        };
        if let Some(mark) = head.filter(|mark| above(mark, self.head.as_ref())) {
            self.head = Some(mark);
        }
        for (name, mark) in sessions {
            if above(&mark, self.sessions.get(&name)) {
                self.sessions.insert(name, mark);
            }
        }
    }

    /// Rule 8: takes the session's counter, so that neither it nor an older one is accepted again.
    pub fn raise_to_session(&mut self, session: &Verified<Session>) {
        let mark = Mark {
            counter: session.document.counter,
            digest: session.digest,
        };
        self.sessions.insert(session.document.name.clone(), mark);
    }
}
