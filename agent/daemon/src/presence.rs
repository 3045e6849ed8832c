//! Tells the fleet how this party stands: when something changes, and now and then.

use std::time::Duration;

use e3_core::document::{Mesh, Presence};
use e3_core::envelope::Envelope;
use e3_core::session::Reason;
use e3_core::update::Trouble;

use crate::shared::Shared;

/// Changes that come together are told together.
const GATHER: Duration = Duration::from_millis(20);
/// After a failure; the next change is told at once anyway.
const RETRY: Duration = Duration::from_secs(2);

/// Publishes presences for ever.
pub async fn run(shared: Shared) {
    let mut changes = shared.board.subscribe();
    let mut counter = 0;
    loop {
        changes.borrow_and_update();
        counter = e3_client::clock::millis().max(counter + 1);
        let wait = match publish(&shared, counter).await {
            Ok(()) => crate::sync::jitter(shared.settings.poll),
            Err(error) => {
                tracing::debug!(%error, "the presence is not published");
                RETRY.min(shared.settings.poll)
            }
        };
        tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                tokio::time::sleep(GATHER).await;
            }
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn publish(shared: &Shared, counter: u64) -> Result<(), String> {
    let notes = shared.board.notes();
    let (root, head, signed) = {
        let keeper = shared.keeper();
        (
            keeper.trust().root.version,
            keeper.head().map_or(0, |head| head.counter),
            keeper.now(),
        )
    };
    let presence = Presence {
        fleet: shared.join.fleet.clone(),
        party: shared.me(),
        name: shared.join.name.clone(),
        owner: shared.join.owner,
        counter,
        signed,
        agent: env!("CARGO_PKG_VERSION").to_owned(),
        addresses: shared.addresses.clone(),
        mesh: Mesh::None,
        // They may hold words of the operating system or of a hub.
        degraded: notes.degraded.as_ref().map(Reason::cleaned),
        update: notes.update.clone().map(Trouble::cleaned),
        root,
        head,
        sessions: notes.presences(),
    };
    let envelope = Envelope::sign(&presence, &[&shared.key]).map_err(|error| error.to_string())?;
    let sent = shared
        .hub
        .put_presence(&shared.me(), envelope.to_bytes())
        .await;
    sent.map_err(|error| crate::text::chain(&error))
}
