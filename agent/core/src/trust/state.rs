//! What a party holds to be true: the newest root, the newest head, and the floor under both.

use serde::{Deserialize, Serialize};

use super::floor::Mark;
use super::{Floor, Refusal, TrustError, chain};
use crate::digest::Digest;
use crate::document::{Head, Release, Role, RoleName, Root, Session, SessionRef};
use crate::envelope::{Envelope, EnvelopeError, Verified};
use crate::limits;
use crate::time::Time;

/// How far a signed time may run ahead of this party's clock before it is doubted. Without this
/// bound one head with a wrong date would lift every floor past every expiry date.
const FUTURE_TOLERANCE: i64 = 24 * 3600;

/// The trust state of one party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// The newest root.
    pub root: Root,
    /// The newest head.
    pub head: Option<Head>,
    /// What it will not go back behind.
    pub floor: Floor,
}

impl Trust {
    /// First contact: the root that the join file pins.
    pub fn first(root: &[u8], pinned: &Digest, built: Time) -> Result<Self, TrustError> {
        let root = chain::first(root, pinned)?;
        Ok(Self {
            floor: Floor::new(&root, built),
            root: root.document,
            head: None,
        })
    }

    /// Rule 10: what time it is, given the system's clock.
    pub fn now(&self, system: Time) -> Time {
        crate::time::now(system, self.floor.time)
    }

    /// Rule 4: takes one step along the root chain.
    pub fn accept_root(&mut self, bytes: &[u8]) -> Result<(), TrustError> {
        let root = chain::next(&self.root, bytes)?;
        self.floor.raise_to_root(&root);
        if self
            .head
            .as_ref()
            .is_some_and(|head| head.epoch != root.document.epoch)
        {
            self.head = None;
        }
        self.root = root.document;
        Ok(())
    }

    /// The versions of the roots that a head asks for and this party does not hold yet.
    ///
    /// The head is only looked at, not believed: the walk is bounded and every step verifies itself.
    pub fn missing_roots(&self, head: &[u8]) -> Result<std::ops::RangeInclusive<u64>, TrustError> {
        let head: Head = parse("head", head, limits::HEAD)?
            .unverified()
            .map_err(refused("head"))?;
        let last = self
            .root
            .version
            .saturating_add(limits::ROOT_STEPS)
            .min(head.root.version);
        Ok(self.root.version.saturating_add(1)..=last)
    }

    /// Rule 5: takes a newer head. The state is unchanged if it is refused.
    ///
    /// Returns whether it was news; the same head again is no error.
    pub fn accept_head(&mut self, bytes: &[u8], system: Time) -> Result<bool, TrustError> {
        let head: Verified<Head> = open(&self.root, "head", RoleName::Head, bytes, limits::HEAD)?;
        let document = &head.document;
        same_fleet(&self.root, "head", &document.fleet)?;
        // Rule 5: a head says on which root it stands. Another version or epoch means that the chain
        // must be walked first, or that the head is from before.
        if document.root.version != self.root.version || document.epoch != self.root.epoch {
            return Err(TrustError::OtherRoot {
                current: self.root.version,
                found: document.root.version,
            });
        }
        if document.root.digest != self.floor.root_digest {
            return Err(TrustError::Equivocation {
                document: "root",
                counter: document.root.version,
            });
        }
        let news = rises("head", self.floor.head, document.counter, head.digest)?;
        let now = self.now(system);
        if document.expires <= now {
            return Err(TrustError::Expired {
                document: "head",
                expired: document.expires,
            });
        }
        // A clock behind the floor is proven wrong: a board that has none doubts nothing that is properly signed.
        let ahead = document.signed.since(now);
        if system >= self.floor.time && ahead > FUTURE_TOLERANCE {
            return Err(TrustError::FromTheFuture {
                signed: document.signed,
                ahead,
            });
        }
        self.floor.raise_to_head(&head);
        self.head = Some(head.document);
        Ok(news)
    }

    /// Whether the head that this party holds still allows new work (rules 5 and 11).
    pub fn head_is_fresh(&self, system: Time) -> bool {
        let now = self.now(system);
        self.head.as_ref().is_some_and(|head| now < head.expires)
    }

    /// Whether the newest head revokes this session (rule 8).
    pub fn revokes(&self, manifest: &Digest) -> bool {
        self.head
            .as_ref()
            .is_some_and(|head| head.revoked.contains(manifest))
    }

    /// Opens a session that the head names: the fleet's part of rule 7, and rules 6 and 9.
    ///
    /// Only keys of the `session` role count. Counters are not looked at: see [`session_counter`].
    pub fn open_session(
        &self,
        named: &SessionRef,
        bytes: &[u8],
    ) -> Result<Verified<Session>, Refusal> {
        // Rule 6: exactly the bytes that the head names, whatever else is validly signed.
        if !named.envelope.names(bytes) {
            return Err(Refusal::NotAsNamed);
        }
        let unreadable = |error: EnvelopeError| Refusal::Unreadable {
            detail: error.to_string(),
        };
        let envelope = Envelope::parse(bytes, limits::ENVELOPE).map_err(unreadable)?;
        let Role { keys, threshold } = &self.root.session;
        let session =
            envelope
                .verify::<Session>(keys, *threshold)
                .map_err(|error| match error {
                    EnvelopeError::Threshold { valid, threshold } => {
                        Refusal::FleetThreshold { valid, threshold }
                    }
                    other => unreadable(other),
                })?;
        let document = &session.document;
        if document.fleet != self.root.fleet {
            return Err(Refusal::OtherFleet {
                fleet: document.fleet.clone(),
            });
        }
        if document.epoch != self.root.epoch {
            return Err(Refusal::OtherEpoch {
                current: self.root.epoch,
                found: document.epoch,
            });
        }
        if session.digest != named.manifest
            || document.name != named.name
            || document.counter != named.counter
        {
            return Err(Refusal::NotAsNamed);
        }
        Ok(session)
    }

    /// Takes a newer release: its own role and its own counter (rule 9).
    pub fn accept_release(&mut self, bytes: &[u8], system: Time) -> Result<Release, TrustError> {
        let release = open_release(&self.root, bytes)?;
        let document = release.document;
        rises(
            "release",
            self.floor.release,
            document.counter,
            release.digest,
        )?;
        if document.expires <= self.now(system) {
            return Err(TrustError::Expired {
                document: "release",
                expired: document.expires,
            });
        }
        self.floor.release = Some(Mark {
            counter: document.counter,
            digest: release.digest,
        });
        Ok(document)
    }
}

/// Opens a release under `root`: the keys of the release role and no other (rule 9), of this fleet and
/// epoch. Counter and expiry are not looked at: an agent that was installed stays verifiable when it
/// has expired, but not when the root has dropped the keys that signed it.
pub fn open_release(root: &Root, bytes: &[u8]) -> Result<Verified<Release>, TrustError> {
    let release: Verified<Release> =
        open(root, "release", RoleName::Release, bytes, limits::ENVELOPE)?;
    same_fleet(root, "release", &release.document.fleet)?;
    if release.document.epoch != root.epoch {
        return Err(TrustError::RootEpoch {
            current: root.epoch,
            found: release.document.epoch,
        });
    }
    Ok(release)
}

fn same_fleet(
    root: &Root,
    document: &'static str,
    found: &crate::name::Name,
) -> Result<(), TrustError> {
    if *found == root.fleet {
        return Ok(());
    }
    Err(TrustError::OtherFleet {
        document,
        expected: root.fleet.clone(),
        found: found.clone(),
    })
}

/// Rule 9: each document is opened with the keys of its own role and no other.
fn open<T: crate::document::Document>(
    root: &Root,
    document: &'static str,
    role: RoleName,
    bytes: &[u8],
    limit: usize,
) -> Result<Verified<T>, TrustError> {
    let Role { keys, threshold } = root.role(role);
    parse(document, bytes, limit)?
        .verify(keys, *threshold)
        .map_err(refused(document))
}

/// Rule 8: whether this session is new here. The same session again is no replay, so that a party
/// that was interrupted before it started can go on.
pub fn session_counter(floor: &Floor, session: &Verified<Session>) -> Result<(), Refusal> {
    let Session { name, counter, .. } = &session.document;
    match floor.sessions.get(name) {
        Some(mark)
            if *counter < mark.counter
                || (*counter == mark.counter && session.digest != mark.digest) =>
        {
            Err(Refusal::Replayed {
                name: name.clone(),
                floor: mark.counter,
                found: *counter,
            })
        }
        _ => Ok(()),
    }
}

/// Rule 5: higher is news, equal and identical is not, anything else is refused.
fn rises(
    document: &'static str,
    floor: Option<Mark>,
    counter: u64,
    digest: Digest,
) -> Result<bool, TrustError> {
    match floor {
        Some(mark) if counter < mark.counter => Err(TrustError::Rollback {
            document,
            floor: mark.counter,
            found: counter,
        }),
        Some(mark) if counter == mark.counter && digest != mark.digest => {
            Err(TrustError::Equivocation { document, counter })
        }
        Some(mark) => Ok(counter > mark.counter),
        None => Ok(true),
    }
}

fn parse(document: &'static str, bytes: &[u8], limit: usize) -> Result<Envelope, TrustError> {
    Envelope::parse(bytes, limit).map_err(refused(document))
}

fn refused(document: &'static str) -> impl Fn(EnvelopeError) -> TrustError {
    move |source| TrustError::Envelope { document, source }
}
