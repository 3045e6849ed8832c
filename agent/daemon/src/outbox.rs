//! Receipts on their way to the hub: kept on the disk until the hub has them, whatever happens.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use e3_client::files;
use e3_client::hub::HubError;
use e3_core::digest::Digest;
use e3_core::limits;
use tokio::sync::{Semaphore, mpsc};

use crate::session::folder::Folder;
use crate::shared::Shared;
use crate::sync::jitter;

/// Between attempts, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_mins(5));
/// Receipts on their way at a time: a hub that was gone for a week gets many.
const ATTEMPTS: usize = 8;

/// Sessions whose receipts are to be published. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    sender: mpsc::UnboundedSender<Digest>,
    receiver: Arc<Mutex<Option<mpsc::UnboundedReceiver<Digest>>>>,
}

impl Default for Outbox {
    fn default() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self {
            sender,
            receiver: Arc::new(Mutex::new(Some(receiver))),
        }
    }
}

impl Outbox {
    /// A receipt has been written.
    pub fn push(&self, manifest: Digest) {
        // The receiver lives as long as the agent; and what is on the disk is found at the next start.
        let _ = self.sender.send(manifest);
    }

    /// Publishes what is pushed, and at first what an earlier run has left. For ever.
    pub async fn deliver(shared: Shared) {
        let taken = shared
            .outbox
            .receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut receipts) = taken else { return };
        for manifest in shared.ledger.sessions() {
            if Folder::of(&shared.ledger, &manifest).is_unpublished() {
                shared.outbox.push(manifest);
            }
        }
        let places = Arc::new(Semaphore::new(ATTEMPTS));
        while let Some(manifest) = receipts.recv().await {
            // Side by side: one receipt that the hub does not take must not hold up the others.
            tokio::spawn(publish(shared.clone(), manifest, Arc::clone(&places)));
        }
    }
}

async fn publish(shared: Shared, manifest: Digest, places: Arc<Semaphore>) {
    let folder = Folder::of(&shared.ledger, &manifest);
    let mut pause = RETRY.0;
    loop {
        let attempted = {
            let Ok(_place) = places.acquire().await else {
                return;
            };
            attempt(&shared, &folder, manifest).await
        };
        match attempted {
            Ok(()) => {
                if let Err(error) = files::write_atomic(&folder.path("published"), b"") {
                    tracing::warn!(error = %crate::text::chain(&error), "cannot note that a receipt is published");
                }
                return;
            }
            Err(Problem::Final(detail)) => {
                tracing::warn!(%manifest, %detail, "the hub does not take the receipt; it stays here");
                return;
            }
            Err(Problem::Passing(detail)) => {
                tracing::debug!(%manifest, %detail, "the receipt is not published yet");
                tokio::time::sleep(jitter(pause)).await;
                pause = (pause * 2).min(RETRY.1);
            }
        }
    }
}

enum Problem {
    Passing(String),
    Final(String),
}

async fn attempt(shared: &Shared, folder: &Folder, manifest: Digest) -> Result<(), Problem> {
    let unreadable = |error: &dyn std::error::Error| Problem::Final(crate::text::chain(error));
    let receipt = files::read_bounded(&folder.path("receipt.json"), limits::ENVELOPE);
    let receipt = receipt.map_err(|error| unreadable(&error))?;
    let named = folder.named().map_err(|error| unreadable(&error))?;
    let named = named.ok_or_else(|| Problem::Final("the session's name is gone".to_owned()))?;
    let party =
        party_of(&shared.me(), folder).ok_or_else(|| Problem::Final("not a party".to_owned()))?;
    match shared
        .hub
        .put_receipt(&named.envelope.digest, &manifest, party, receipt)
        .await
    {
        // 409: it has one of ours already, the answer to the first attempt was lost.
        Ok(()) | Err(HubError::Refused { status: 409, .. }) => Ok(()),
        // Too much at a time, or too slow: not its last word.
        Err(
            error @ HubError::Refused {
                status: 408 | 425 | 429,
                ..
            },
        ) => Err(Problem::Passing(crate::text::chain(&error))),
        Err(error @ (HubError::ReadOnly { .. } | HubError::Refused { .. })) => {
            Err(unreadable(&error))
        }
        Err(error) => Err(Problem::Passing(crate::text::chain(&error))),
    }
}

/// The party's place, from its own receipt.
fn party_of(me: &e3_core::key::PublicKey, folder: &Folder) -> Option<usize> {
    let bytes = files::read_bounded(&folder.path("receipt.json"), limits::ENVELOPE).ok()?;
    let envelope = e3_core::envelope::Envelope::parse(&bytes, limits::ENVELOPE).ok()?;
    envelope
        .verify::<e3_core::document::Receipt>(&[*me], 1)
        .ok()
        .map(|receipt| receipt.document.party)
}
