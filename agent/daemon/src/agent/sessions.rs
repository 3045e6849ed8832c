//! Begins sessions: those that were just fetched, and those that an earlier run has kept.

use e3_core::degraded::Degraded;
use e3_core::document::{Session, SessionRef};
use e3_core::envelope::Envelope;
use e3_core::limits;
use e3_core::trust::Refusal;
use tokio::sync::mpsc;
use tracing::Instrument as _;

use super::{Agent, Input};
use crate::board::Source;
use crate::session::driver::{self, Standing};
use crate::session::folder::Folder;

impl Agent {
    pub(super) fn take_session(&mut self, named: &SessionRef, bytes: &[u8]) {
        let folder = Folder::of(&self.shared.ledger, &named.manifest);
        // In a statement of its own: the keeper is locked for no longer.
        let opened = self.shared.keeper().open_session(named, bytes);
        let session = match opened {
            Ok(session) => session,
            Err(refusal) => return self.note_refused(named, &refusal),
        };
        let Some(place) = session.document.party_index(&self.shared.me()) else {
            return;
        };
        match folder.create(named, bytes) {
            Ok(true) => self.begin(named.clone(), Standing::Accepted(session), place),
            // It is driven, or has ended.
            Ok(false) => {}
            Err(error) => {
                let detail = crate::text::chain(&error);
                tracing::error!(error = %detail, "a session cannot be kept");
                self.shared
                    .board
                    .degraded(Source::Disk, Some(Degraded::Disk { detail }));
                // Tried again with the next head.
                self.seen.remove(&named.manifest);
            }
        }
    }

    /// Takes up a session that was accepted and kept before the agent ended.
    pub(super) fn take_up(&mut self, named: &SessionRef, bytes: &[u8]) {
        let opened = self.shared.keeper().open_session(named, bytes);
        let (standing, place) = match opened {
            Ok(session) => {
                let place = session.document.party_index(&self.shared.me());
                (Standing::Accepted(session), place)
            }
            Err(refusal) => {
                self.note_refused(named, &refusal);
                let Some(session) = kept(named, bytes) else {
                    tracing::error!(session = %named.name, "what was kept of a session cannot be read");
                    return;
                };
                let place = session.party_index(&self.shared.me());
                (Standing::Refused(Box::new(session), refusal), place)
            }
        };
        if let Some(place) = place {
            self.begin(named.clone(), standing, place);
        }
    }

    fn note_refused(&self, named: &SessionRef, refusal: &Refusal) {
        tracing::warn!(session = %named.name, %refusal, "a session is refused");
        let noted = self.shared.keeper().note(
            "session",
            "refused",
            Some(named.manifest),
            &refusal.to_string(),
        );
        if let Err(error) = noted {
            tracing::error!(error = %crate::text::chain(&error), "cannot write the journal");
        }
    }

    fn begin(&mut self, named: SessionRef, standing: Standing, place: usize) {
        let (commands, received) = mpsc::channel(4);
        self.running.insert(named.manifest, commands);
        let (shared, inputs) = (self.shared.clone(), self.inputs.clone());
        tokio::spawn(async move {
            let manifest = named.manifest;
            let span =
                tracing::info_span!("session", session = %named.name, %manifest, party = place);
            driver::drive(shared, standing, place, named, received)
                .instrument(span)
                .await;
            let _ = inputs.send(Input::Ended(manifest)).await;
        });
    }
}

/// A session that was verified before it was kept, by keys that do not count any more. Nothing starts
/// by it: it only says whose session has to end.
fn kept(named: &SessionRef, bytes: &[u8]) -> Option<Session> {
    let envelope = Envelope::parse(bytes, limits::ENVELOPE).ok()?;
    let session = envelope.unverified().ok()?;
    (envelope.digest() == named.manifest).then_some(session)
}
