//! The fleet's root chain as the hub holds it: walked from the store, verified again (rule 4).
//!
//! The hub is no party and has no floor of its own: it believes the first root of its own store, and
//! its floor is the head that is stored there. It refuses what a party would refuse, so that a stolen
//! connection cannot fill the store; parties verify everything again.

use std::sync::{Arc, PoisonError, RwLock};

use e3_core::digest::Digest;
use e3_core::document::{Head, Root, Session};
use e3_core::envelope::{Envelope, EnvelopeError, Verified};
use e3_core::limits;
use e3_core::time::Time;
use e3_core::trust::floor::Mark;
use e3_core::trust::{Trust, TrustError};

use crate::names;
use crate::store::{Store, StoreError};

/// The chain up to the newest root.
#[derive(Debug, Clone)]
pub(crate) struct Roots {
    /// The digest of the first root's payload: what join files pin.
    first: Digest,
    /// Stands on the newest root; holds no head.
    trust: Trust,
    /// All roots, oldest first.
    all: Vec<Root>,
}

impl Roots {
    /// Believes this first root.
    pub(crate) fn first(bytes: &[u8]) -> Result<Self, TrustError> {
        let envelope = Envelope::parse(bytes, limits::ENVELOPE);
        let pinned = envelope.map_or(Digest::of(bytes), |envelope| envelope.digest());
        let trust = Trust::first(bytes, &pinned, Time::MIN)?;
        Ok(Self {
            first: pinned,
            all: vec![trust.root.clone()],
            trust,
        })
    }

    /// What tells this fleet from all others.
    pub(crate) const fn first_digest(&self) -> &Digest {
        &self.first
    }

    /// The newest root.
    pub(crate) fn newest(&self) -> &Root {
        &self.trust.root
    }

    /// Takes the next root, or leaves everything as it is.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Result<(), TrustError> {
        self.trust.accept_root(bytes)?;
        self.all.push(self.trust.root.clone());
        Ok(())
    }

    /// Rule 5 against the stored head: whether `new` may replace it; false if it is the same head.
    pub(crate) fn judge_head(
        &self,
        stored: Option<&[u8]>,
        new: &[u8],
        now: Time,
    ) -> Result<bool, TrustError> {
        let mut trust = self.trust.clone();
        if let Some((head, digest)) = stored.and_then(open_head)
            && head.epoch == trust.root.epoch
        {
            trust.floor.head = Some(Mark {
                counter: head.counter,
                digest,
            });
            trust.floor.time = trust.floor.time.max(head.signed);
        }
        trust.accept_head(new, now)
    }

    /// Opens a session that the newest root's session keys have signed, for its fleet and epoch.
    pub(crate) fn open_session(&self, bytes: &[u8]) -> Result<Verified<Session>, EnvelopeError> {
        open_session(self.newest(), bytes)
    }

    /// Opens a session that was good under any root: its receipts come after a key was replaced, too.
    pub(crate) fn open_old_session(
        &self,
        bytes: &[u8],
    ) -> Result<Verified<Session>, EnvelopeError> {
        let older = self.all.iter().rev().skip(1);
        let newest = self.open_session(bytes);
        older.fold(newest, |found, root| {
            found.or_else(|error| open_session(root, bytes).map_err(|_| error))
        })
    }
}

/// A stored head. It was verified when it came in; here it is only read.
pub(crate) fn open_head(bytes: &[u8]) -> Option<(Head, Digest)> {
    let envelope = Envelope::parse(bytes, limits::HEAD).ok()?;
    Some((envelope.unverified().ok()?, envelope.digest()))
}

fn open_session(root: &Root, bytes: &[u8]) -> Result<Verified<Session>, EnvelopeError> {
    let envelope = Envelope::parse(bytes, limits::ENVELOPE)?;
    let session: Verified<Session> = envelope.verify(&root.session.keys, root.session.threshold)?;
    let field = |field: &str, problem: &str| {
        let (field, problem) = (field.to_owned(), problem.to_owned());
        Err(EnvelopeError::Document(
            e3_core::document::DocumentError::Field { field, problem },
        ))
    };
    if session.document.fleet != root.fleet {
        return field("fleet", "is another one");
    }
    if session.document.epoch != root.epoch {
        return field("epoch", "is not the fleet's; sign the session again");
    }
    Ok(session)
}

/// The chain, shared by all requests and read on from the store when it has grown.
pub(crate) struct Chain(RwLock<Arc<Roots>>);

impl Chain {
    /// Reads the whole chain; `None` if the store has no first root.
    pub(crate) async fn load(
        store: &Store,
    ) -> Result<Option<Result<Self, TrustError>>, StoreError> {
        let Some(first) = store.get(&names::root(1), limits::ENVELOPE).await? else {
            return Ok(None);
        };
        let chain = match Roots::first(&first.bytes) {
            Ok(roots) => Self(RwLock::new(Arc::new(roots))),
            Err(error) => return Ok(Some(Err(error))),
        };
        chain.refresh(store).await?;
        Ok(Some(Ok(chain)))
    }

    /// The chain as it was read last.
    pub(crate) fn current(&self) -> Arc<Roots> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes what has been added since, by this hub or another one: bounded, one step at a time.
    pub(crate) async fn refresh(&self, store: &Store) -> Result<Arc<Roots>, StoreError> {
        let mut roots = self.current();
        for _ in 0..limits::ROOT_STEPS {
            let next = names::root(roots.newest().version.saturating_add(1));
            let Some(next) = store.get(&next, limits::ENVELOPE).await? else {
                break;
            };
            let mut longer = Roots::clone(&roots);
            if let Err(error) = longer.step(&next.bytes) {
                // No hub has written this. The fleet goes on with the last good root (rule 11).
                tracing::error!(%error, "a root in the store does not follow its predecessor");
                break;
            }
            roots = Arc::new(longer);
        }
        let mut shared = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Another request may have walked further in the meantime.
        if shared.newest().version < roots.newest().version {
            *shared = Arc::clone(&roots);
        }
        Ok(Arc::clone(&shared))
    }
}

/// Reads an envelope in the one form that the hub stores: exactly what [`Envelope::to_bytes`] writes,
/// on one line, as an event must be.
pub(crate) fn canonical(bytes: &[u8], limit: usize) -> Result<Envelope, EnvelopeError> {
    let envelope = Envelope::parse(bytes, limit)?;
    if envelope.to_bytes() == bytes {
        return Ok(envelope);
    }
    Err(EnvelopeError::Malformed(
        "it has been reformatted; send it exactly as it was signed".to_owned(),
    ))
}
