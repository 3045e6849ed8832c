//! What is not needed any more goes: old programs and old versions of MPyC.
//!
//! Results, receipts and the journal are the owner's and are never removed.

use std::collections::BTreeSet;

use e3_core::document::Session;
use e3_core::envelope::Envelope;
use e3_core::limits;

use crate::session::folder::Folder;
use crate::shared::Shared;

/// Sessions whose program and MPyC are kept: the next one is likely to use the same.
const SESSIONS: usize = 32;

/// Tidies up, at each start. What cannot be removed is left for the next time.
pub fn tidy(shared: &Shared) {
    let (mut blobs, mut wheels) = (BTreeSet::new(), BTreeSet::new());
    for manifest in shared.ledger.sessions().iter().rev().take(SESSIONS) {
        let envelope = Folder::of(&shared.ledger, manifest).envelope().ok();
        let envelope = envelope.and_then(|bytes| Envelope::parse(&bytes, limits::ENVELOPE).ok());
        // Verified when it was fetched; here it only says what to keep.
        let Some(session) = envelope.and_then(|envelope| envelope.unverified::<Session>().ok())
        else {
            continue;
        };
        blobs.extend([session.program.pack.digest, session.mpyc.wheel.digest]);
        wheels.insert(session.mpyc.wheel.digest);
    }
    if let Err(error) = shared.blobs.retain(&blobs) {
        tracing::warn!(error = %crate::text::chain(&error), "cannot remove old blobs");
    }
    if let Err(error) = shared.runtimes.retain(&wheels) {
        tracing::warn!(%error, "cannot remove old versions of MPyC");
    }
}
