//! What an agent finds of sessions when it starts: it takes up what was under way, and shows what is over.
//!
//! What it cannot read it leaves alone, says which file that is, and looks again: nothing is begun twice,
//! and nothing is lost that an owner or a newer agent can read.

use e3_core::digest::Digest;
use e3_core::document::{Progress, Session, SessionRef};
use e3_core::envelope::Envelope;
use e3_core::limits;
use e3_core::session::Checkpoint;

use serde::de::Error as _;

use super::Agent;
use crate::board::{self, SessionNote, Source};
use crate::boot::trouble;
use crate::ledger::LedgerError;
use crate::session::conclude::Facts;
use crate::session::folder::Folder;

impl Agent {
    /// Takes up what was under way when the agent ended.
    pub(super) fn resume(&mut self) {
        let mut over = Vec::new();
        for manifest in self.shared.ledger.sessions() {
            over.extend(self.take_in(manifest));
        }
        let surplus = over.len().saturating_sub(board::SESSIONS);
        for (checkpoint, named, envelope) in over.drain(surplus..) {
            self.recall(&checkpoint, named, &envelope);
        }
        self.tell_unreadable();
    }

    /// Looks again at what could not be read: its owner, or a newer agent, may have put it right.
    pub(super) fn look_again(&mut self) {
        for (manifest, _) in std::mem::take(&mut self.unreadable) {
            if let Some((checkpoint, named, envelope)) = self.take_in(manifest) {
                self.recall(&checkpoint, named, &envelope);
            }
        }
        self.tell_unreadable();
    }

    fn tell_unreadable(&self) {
        let first = self.unreadable.values().next().cloned();
        self.shared.board.degraded(Source::Sessions, first);
    }

    /// Takes up one session, or returns it if it is over.
    fn take_in(&mut self, manifest: Digest) -> Option<(Checkpoint, SessionRef, Vec<u8>)> {
        let folder = Folder::of(&self.shared.ledger, &manifest);
        self.seen.insert(manifest);
        match look(&folder) {
            Ok(Kept::UnderWay(named, envelope)) => {
                self.take_up(&named, &envelope);
                None
            }
            Ok(Kept::Over(_, named, envelope)) if self.is_awaited(&folder, &envelope) => {
                self.take_up(&named, &envelope);
                None
            }
            Ok(Kept::Over(checkpoint, named, envelope)) => {
                // Killed after the receipt was signed: what only the run needed may still be there.
                folder.clear_run();
                Some((checkpoint, named, envelope))
            }
            // Cut off before it was whole: the head names it again.
            Ok(Kept::Nothing) => {
                self.seen.remove(&manifest);
                None
            }
            // The receipt says all that counts of it.
            Err(error) if folder.has_receipt() => {
                tracing::warn!(%manifest, error = %crate::text::chain(&error), "a session that is over cannot be shown");
                None
            }
            // It may have run: it is not begun again.
            Err(error) => {
                let reason = trouble::state(&error);
                let known = self.unreadable.insert(manifest, reason.clone());
                if known.is_none() && !self.shared.board.is_degraded(Source::Sessions) {
                    tracing::error!(%manifest, reason = reason.kind(), error = %reason, remedy = reason.remedy(), "degraded: a session's state cannot be read; it is left alone");
                }
                None
            }
        }
    }

    /// Shows a session that ended before this agent was started.
    fn recall(&self, checkpoint: &Checkpoint, named: SessionRef, envelope: &[u8]) {
        let (progress, failure) = match checkpoint {
            Checkpoint::Failed { failure } => (Progress::Failed, Some(failure.clone())),
            _ => (Progress::Done, None),
        };
        // Verified when it was fetched; here it only gives the parties their names.
        let envelope = Envelope::parse(envelope, limits::ENVELOPE).ok();
        let session = envelope.and_then(|envelope| envelope.unverified::<Session>().ok());
        let parties = session.map_or_else(Vec::new, |session| session.parties);
        self.shared.board.recall(SessionNote {
            name: named.name,
            manifest: named.manifest,
            progress,
            failure,
            parties: parties.into_iter().map(|party| party.name).collect(),
        });
    }

    /// Whether others may still wait for this party's last word: it was killed just after it had signed
    /// its good receipt. They wait no longer than for a party that has to show up.
    fn is_awaited(&self, folder: &Folder, envelope: &[u8]) -> bool {
        let envelope = Envelope::parse(envelope, limits::ENVELOPE);
        let session = envelope.ok().and_then(|e| e.unverified::<Session>().ok());
        let until = folder
            .done_at()
            .zip(session)
            .map(|(done, session)| done.plus(session.deadlines.preflight));
        until.is_some_and(|until| self.shared.keeper().now() <= until)
    }
}

/// What lies in a session's folder.
enum Kept {
    /// A session that has not ended, or whose end is not signed.
    UnderWay(SessionRef, Vec<u8>),
    /// One that has.
    Over(Checkpoint, SessionRef, Vec<u8>),
    /// Not even a session that was begun.
    Nothing,
}

/// Reads all that is needed to go on with a session: everything, or an error that names the file.
fn look(folder: &Folder) -> Result<Kept, LedgerError> {
    let Some(checkpoint) = folder.checkpoint()? else {
        return Ok(Kept::Nothing);
    };
    let path = folder.path("session.json");
    let named = folder.named()?.ok_or(LedgerError::Gone { path })?;
    let envelope = folder.envelope()?;
    if !named.envelope.names(&envelope) {
        return Err(LedgerError::Damaged {
            path: folder.path("envelope.json"),
            source: serde_json::Error::custom("it is not what was kept"),
        });
    }
    if checkpoint.is_final() && folder.has_receipt() {
        return Ok(Kept::Over(checkpoint, named, envelope));
    }
    // A receipt without them would say too little of a session that has ended well.
    if matches!(checkpoint, Checkpoint::Done { .. }) {
        Facts::load(folder)?;
    }
    Ok(Kept::UnderWay(named, envelope))
}

#[cfg(test)]
mod tests {
    use e3_client::files;
    use e3_core::key::SecretKey;

    use super::*;
    use crate::ledger::Ledger;

    /// Whatever a crash has left of a session's files, the file is named, and nothing is begun again.
    #[test]
    fn a_session_whose_files_are_cut_off_anywhere_is_named_and_not_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        let session = e3_testkit::sim::manifest(2);
        let envelope = Envelope::sign(&session, &[&SecretKey::from_seed(&[1; 32])]).unwrap();
        let bytes = envelope.to_bytes();
        let named = SessionRef::of(&session, &envelope);
        let folder = Folder::of(&Ledger::open(folder.path()).unwrap(), &named.manifest);
        folder.create(&named, &bytes).unwrap();
        assert!(matches!(look(&folder), Ok(Kept::UnderWay(..))));
        for file in ["checkpoint.json", "session.json", "envelope.json"] {
            let path = folder.path(file);
            let whole = files::read_bounded(&path, limits::ENVELOPE).unwrap();
            for cut in 0..whole.len() {
                std::fs::write(&path, &whole[..cut]).unwrap();
                match look(&folder) {
                    Err(LedgerError::Damaged { path: named, .. }) => assert_eq!(named, path),
                    Err(other) => panic!("{file} cut at {cut}: {other:?}"),
                    Ok(_) => panic!("{file} cut at {cut} is taken"),
                }
            }
            std::fs::remove_file(&path).unwrap();
            let gone = look(&folder);
            match file {
                "checkpoint.json" => assert!(matches!(gone, Ok(Kept::Nothing))),
                _ => assert!(gone.is_err(), "{file} is gone"),
            }
            std::fs::write(&path, &whole).unwrap();
        }
        assert!(matches!(look(&folder), Ok(Kept::UnderWay(..))));
    }
}
