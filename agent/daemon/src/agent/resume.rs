//! What an agent finds of sessions when it starts: it takes up what was under way, and shows what is over.

use e3_core::document::{Progress, Session, SessionRef};
use e3_core::envelope::Envelope;
use e3_core::limits;
use e3_core::session::Checkpoint;

use super::Agent;
use crate::board::{self, SessionNote};
use crate::session::folder::Folder;

impl Agent {
    /// Takes up what was under way when the agent ended.
    pub(super) fn resume(&mut self) {
        let mut over = Vec::new();
        for manifest in self.shared.ledger.sessions() {
            let folder = Folder::of(&self.shared.ledger, &manifest);
            self.seen.insert(manifest);
            match (folder.checkpoint(), folder.named(), folder.envelope()) {
                (Ok(Some(checkpoint)), Ok(Some(named)), Ok(envelope))
                    if !checkpoint.is_final()
                        || !folder.has_receipt()
                        || self.is_awaited(&folder, &envelope) =>
                {
                    self.take_up(&named, &envelope);
                }
                (Ok(Some(checkpoint)), named, envelope) => {
                    // Killed after the receipt was signed: what only the run needed may still be there.
                    folder.clear_run();
                    if let (Ok(Some(named)), Ok(envelope)) = (named, envelope) {
                        over.push((checkpoint, named, envelope));
                    }
                }
                // Cut off before it was whole: the head names it again.
                (Ok(None), ..) => drop(self.seen.remove(&manifest)),
                // It may have run: it is not begun again.
                (Err(error), ..) => {
                    tracing::error!(%manifest, error = %crate::text::chain(&error), "a session's state cannot be read; it is left alone");
                }
            }
        }
        let surplus = over.len().saturating_sub(board::SESSIONS);
        for (checkpoint, named, envelope) in over.drain(surplus..) {
            self.recall(&checkpoint, named, &envelope);
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
