//! Keeps the trust state: every change is journalled and on the disk before anybody acts on it
//! (rules 5 and 13). What is accepted is decided in `e3_core::trust`.

use std::collections::BTreeSet;
use std::time::Instant;

use e3_client::clock::Clock;
use e3_core::digest::Digest;
use e3_core::document::{Head, Release, Session, SessionRef};
use e3_core::envelope::Verified;
use e3_core::key::PublicKey;
use e3_core::time::Time;
use e3_core::trust::policy::Judgement;
use e3_core::trust::{Policy, Refusal, Trust, TrustError, floor, session_counter};

use crate::journal::{Journal, JournalFileError};
use crate::ledger::{self, Ledger, LedgerError};
use crate::refusals::Refusals;
use crate::reset;

/// The trust state of this party, and its journal.
pub struct Keeper {
    ledger: Ledger,
    trust: Trust,
    journal: Journal,
    refusals: Refusals,
    /// Sessions that start later, and are asked about again and again until then.
    postponed: BTreeSet<Digest>,
    /// Has the floor; TLS judges the hub's certificate by it, too.
    clock: Clock,
}

/// Why trust state could not be advanced.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The rules say no.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The disk says no; nothing was accepted.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The journal says no; nothing was accepted.
    #[error(transparent)]
    Journal(#[from] JournalFileError),
}

impl Keeper {
    /// The trust state that is there; `None` only on a first boot (rule 12).
    pub fn load(ledger: &Ledger) -> Result<Option<Trust>, KeeperError> {
        let trust = ledger::load(&ledger.trust())?;
        let has_served = ledger.has_served();
        Ok(floor::found(ledger.identity().exists(), has_served, trust)?)
    }

    /// First contact: the root that the join file pins. On the disk when this returns, and before
    /// the identity and the journal are (rule 12).
    pub fn first(
        ledger: &Ledger,
        root: &[u8],
        pinned: &Digest,
        built: Time,
    ) -> Result<Trust, KeeperError> {
        let mut trust = Trust::first(root, pinned, built)?;
        if reset::is_asked(ledger) {
            reset::recall(ledger, &mut trust)?;
        }
        ledger::save(&ledger.trust(), &trust)?;
        Ok(trust)
    }

    /// Keeps `trust`, which is on the disk, and lifts `clock` to its floor from now on.
    pub fn open(ledger: &Ledger, trust: Trust, clock: Clock) -> Result<Self, KeeperError> {
        let is_new = !ledger.journal().exists();
        let journal = Journal::open(&ledger.journal())?;
        let mut keeper = Self {
            ledger: ledger.clone(),
            trust,
            journal,
            refusals: Refusals::default(),
            postponed: BTreeSet::new(),
            clock,
        };
        keeper.clock.set_floor(keeper.trust.floor.time);
        if let Some(damage) = keeper.journal.damage().map(str::to_owned) {
            tracing::error!(error = %damage, "the journal was changed behind the agent's back");
            keeper.note("journal", "damaged", None, &damage)?;
        }
        if is_new {
            let root = keeper.trust.floor.root_digest;
            keeper.note("root", "accepted", Some(root), "pinned by the join file")?;
        }
        Ok(keeper)
    }

    /// What is held to be true.
    pub const fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Rule 10.
    pub fn now(&self) -> Time {
        self.trust.now(self.clock.now())
    }

    /// Takes one step along the root chain.
    pub fn accept_root(&mut self, bytes: &[u8]) -> Result<(), KeeperError> {
        let mut trust = self.trust.clone();
        match trust.accept_root(bytes) {
            Ok(()) => self.advance("root", trust),
            Err(error) => Err(self.refuse("root", bytes, error)),
        }
    }

    /// Takes a newer head. Returns whether it was news.
    pub fn accept_head(&mut self, bytes: &[u8]) -> Result<bool, KeeperError> {
        let mut trust = self.trust.clone();
        // The system's clock as it is: one that is behind the floor is no measure for what is "from the future".
        match trust.accept_head(bytes, e3_client::clock::now()) {
            // The same head again, as every poll shows it: nothing to write.
            Ok(false) => Ok(false),
            Ok(true) => self.advance("head", trust).map(|()| true),
            Err(error) => Err(self.refuse("head", bytes, error)),
        }
    }

    /// Takes the release that the head names. The same one again is no news.
    pub fn accept_release(&mut self, bytes: &[u8]) -> Result<Release, KeeperError> {
        let mut trust = self.trust.clone();
        match trust.accept_release(bytes, self.now()) {
            Ok(release) if trust == self.trust => Ok(release),
            Ok(release) => self.advance("release", trust).map(|()| release),
            Err(error) => Err(self.refuse("release", bytes, error)),
        }
    }

    /// Whether the newest head still allows new work (rules 5 and 11).
    pub fn head_is_fresh(&self) -> bool {
        self.trust.head_is_fresh(self.now())
    }

    /// The newest head.
    pub const fn head(&self) -> Option<&Head> {
        self.trust.head.as_ref()
    }

    /// Opens a session by the fleet's rules and judges it by the owner's policy. If both accept,
    /// the session's counter is taken: neither it nor an older one will be accepted again (rule 8).
    pub fn judge(
        &mut self,
        session: &Verified<Session>,
        policy: &Policy,
        me: &PublicKey,
    ) -> Result<Result<Judgement, Refusal>, KeeperError> {
        let now = self.now();
        let judged = if self.trust.revokes(&session.digest) {
            Err(Refusal::Revoked)
        } else {
            session_counter(&self.trust.floor, session)
                .and_then(|()| policy.judge(me, session, now))
        };
        if matches!(judged, Ok(Judgement::Accepted)) {
            let mut floor = self.trust.floor.clone();
            floor.raise_to_session(session);
            if floor != self.trust.floor {
                let trust = Trust {
                    floor,
                    ..self.trust.clone()
                };
                ledger::save(&self.ledger.trust(), &trust)?;
                self.trust = trust;
            }
        }
        let (verdict, detail) = match &judged {
            Ok(Judgement::Accepted) => ("accepted", String::new()),
            Ok(Judgement::NotBefore(time)) => ("postponed", format!("not before {time}")),
            Err(refusal) => ("refused", refusal.to_string()),
        };
        let is_known = if let Ok(Judgement::NotBefore(_)) = &judged {
            !self.postponed.insert(session.digest)
        } else {
            self.postponed.remove(&session.digest);
            false
        };
        if !is_known {
            self.note("session", verdict, Some(session.digest), &detail)?;
        }
        Ok(judged)
    }

    /// Opens an envelope that the head names.
    pub fn open_session(
        &self,
        named: &SessionRef,
        bytes: &[u8],
    ) -> Result<Verified<Session>, Refusal> {
        self.trust.open_session(named, bytes)
    }

    /// Adds a line to the journal.
    pub fn note(
        &mut self,
        subject: &str,
        verdict: &str,
        digest: Option<Digest>,
        detail: &str,
    ) -> Result<(), KeeperError> {
        let now = self.now();
        Ok(self.journal.append(now, subject, verdict, digest, detail)?)
    }

    /// Adds a line for something of the hub's that is refused, unless there are too many of them.
    pub fn refused(
        &mut self,
        subject: &str,
        bytes: &[u8],
        detail: &str,
    ) -> Result<(), KeeperError> {
        let digest = Digest::of(bytes);
        let told = format!("{subject}: {detail}");
        match self.refusals.tell(Instant::now(), &digest, &told) {
            Some(untold) => {
                let detail = format!("{detail}{untold}");
                self.note(subject, "refused", Some(digest), &detail)
            }
            None => Ok(()),
        }
    }

    /// The same for what the trust rules refuse; returns the error.
    fn refuse(&mut self, subject: &str, bytes: &[u8], error: TrustError) -> KeeperError {
        let noted = self.refused(subject, bytes, &error.to_string());
        noted.err().unwrap_or_else(|| error.into())
    }

    fn advance(&mut self, subject: &str, trust: Trust) -> Result<(), KeeperError> {
        // Rule 5: on the disk first, believed second.
        ledger::save(&self.ledger.trust(), &trust)?;
        self.clock.set_floor(trust.floor.time);
        self.trust = trust;
        let floor = &self.trust.floor;
        let (digest, detail) = match (subject, floor.head) {
            ("root", _) => (Some(floor.root_digest), String::new()),
            ("release", _) => (floor.release.map(|mark| mark.digest), String::new()),
            (_, Some(mark)) => (
                Some(mark.digest),
                format!("{}{}", reset::COUNTER, mark.counter),
            ),
            (_, None) => (None, String::new()),
        };
        self.note(subject, "accepted", digest, &detail)
    }
}

#[cfg(test)]
mod tests {
    use e3_core::document::{Role, Root};
    use e3_core::envelope::Envelope;
    use e3_core::key::SecretKey;
    use e3_testkit::sim::{manifest, party_key};

    use super::*;

    /// A machine that has just met its fleet; the owner has every role but the release's.
    fn keeper(folder: &std::path::Path) -> (Keeper, SecretKey) {
        let owner = SecretKey::from_seed(&[1; 32]);
        let of = |key: &SecretKey| Role {
            keys: vec![key.public()],
            threshold: 1,
        };
        let root = Root {
            fleet: manifest(1).fleet,
            version: 1,
            epoch: 1,
            signed: Time::MIN,
            root: of(&owner),
            head: of(&owner),
            session: of(&owner),
            release: of(&SecretKey::from_seed(&[2; 32])),
        };
        let root = Envelope::sign(&root, &[&owner]).unwrap();
        let ledger = Ledger::open(folder).unwrap();
        let trust = Keeper::first(&ledger, &root.to_bytes(), &root.digest(), Time::MIN).unwrap();
        let keeper = Keeper::open(&ledger, trust, Clock::default()).unwrap();
        (keeper, owner)
    }

    /// How many lines of the journal have this verdict; the journal is whole.
    fn lines(keeper: &Keeper, verdict: &str) -> usize {
        let mut found = 0;
        let count = |entry: e3_core::journal::Entry| found += usize::from(entry.verdict == verdict);
        crate::journal::read(&keeper.ledger.journal(), count).unwrap();
        found
    }

    #[test]
    fn a_hub_that_sends_nonsense_does_not_fill_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let (mut keeper, _) = keeper(folder.path());
        for n in 0..300_u32 {
            let nonsense = [b'x'; 300][..n as usize].to_vec();
            keeper.accept_head(&nonsense).unwrap_err();
            keeper.accept_root(&nonsense).unwrap_err();
            keeper.accept_release(&nonsense).unwrap_err();
        }
        assert!((1..40).contains(&lines(&keeper, "refused")));
    }

    #[test]
    fn a_session_that_starts_later_is_noted_once_however_often_it_is_asked_about() {
        let folder = tempfile::tempdir().unwrap();
        let (mut keeper, owner) = keeper(folder.path());
        let mut later = manifest(1);
        later.not_before = keeper.now().plus(86_400);
        let envelope = Envelope::sign(&later, &[&owner]).unwrap();
        let named = SessionRef::of(&later, &envelope);
        let session = keeper.open_session(&named, &envelope.to_bytes()).unwrap();
        let policy = toml::from_str(&format!("owner = \"{}\"", owner.public())).unwrap();
        for _ in 0..100 {
            let judged = keeper.judge(&session, &policy, &party_key(0).public());
            assert!(
                matches!(judged, Ok(Ok(Judgement::NotBefore(_)))),
                "{judged:?}"
            );
        }
        assert_eq!(lines(&keeper, "postponed"), 1);
    }
}
