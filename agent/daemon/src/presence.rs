//! Tells the fleet how this party stands: when something changes, and now and then.

use std::time::Duration;

use e3_client::hub::Hub;
use e3_core::document::{Mesh, Presence};
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;
use e3_core::update::Trouble;

use crate::board::Board;
use crate::phase::Phase;
use crate::shared::Shared;

/// Changes that come together are told together.
const GATHER: Duration = Duration::from_millis(20);
/// After a failure, at first; the next change is told at once anyway.
const RETRY: Duration = Duration::from_secs(2);

/// Publishes presences for ever.
pub async fn run(shared: Shared) {
    let mut changes = shared.board.subscribe();
    let (mut counter, mut retry) = (0, RETRY);
    loop {
        changes.borrow_and_update();
        counter = e3_client::clock::millis().max(counter + 1);
        let sent = publish(&shared.hub, &shared.key, &shared.board, counter).await;
        let wait = match sent {
            Ok(()) => {
                retry = RETRY;
                crate::sync::jitter(shared.settings.poll)
            }
            Err(error) => {
                tracing::debug!(%error, "the presence is not published");
                let wait = retry.min(shared.settings.poll);
                retry = (retry * 2).min(shared.settings.poll);
                wait
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

/// Publishes what stands on the board, signed by `key`.
pub async fn publish(
    hub: &Hub,
    key: &SecretKey,
    board: &Board,
    counter: u64,
) -> Result<(), String> {
    let (known, notes) = (board.known(), board.notes());
    let (Some(name), Some(fleet), Some(owner)) = (known.name, known.fleet, known.owner) else {
        return Err("there is no join file".to_owned());
    };
    let degraded = match board.phase() {
        Phase::Degraded { reason } => Some(reason),
        _ => None,
    };
    let presence = Presence {
        fleet,
        party: key.public(),
        name,
        owner,
        counter,
        signed: board.now(),
        agent: env!("CARGO_PKG_VERSION").to_owned(),
        addresses: known.addresses,
        mesh: Mesh::None,
        degraded,
        update: notes.update.clone().map(Trouble::cleaned),
        root: known.root.unwrap_or(0),
        head: known.head.unwrap_or(0),
        sessions: notes.presences(),
    };
    let envelope = Envelope::sign(&presence, &[key]).map_err(|error| error.to_string())?;
    let sent = hub.put_presence(&key.public(), envelope.to_bytes()).await;
    sent.map_err(|error| crate::text::chain(&error))
}
