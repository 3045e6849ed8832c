//! Tells the fleet how this party stands: when something changes, and now and then.

use std::path::Path;
use std::time::Duration;

use e3_client::files;
use e3_client::hub::{Hub, HubError};
use e3_core::document::Presence;
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;
use e3_core::trust::PresenceCounter;
use e3_core::update::Trouble;

use crate::board::Board;
use crate::phase::Phase;
use crate::shared::Shared;

/// Changes that come together are told together.
const GATHER: Duration = Duration::from_millis(20);
/// After a failure, at first; the next change is told at once anyway.
const RETRY: Duration = Duration::from_secs(2);

/// What the system says of itself, and the most of it that is read.
const OS_RELEASE: &str = "/etc/os-release";
const RELEASE: usize = 16 * 1024;

/// Publishes presences for ever.
pub async fn run(shared: Shared) {
    let mut changes = shared.board.subscribe();
    let mut moves = shared.moves.subscribe();
    let (mut counter, mut retry) = (PresenceCounter::default(), RETRY);
    loop {
        changes.borrow_and_update();
        let sent = publish(&shared.hub, &shared.key, &shared.board, &mut counter).await;
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
            Ok(()) = moves.changed() => retry = RETRY,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Publishes what stands on the board, signed by `key`.
///
/// A hub that holds a newer presence is asked for it: it may be of a time when this machine's clock was ahead.
pub async fn publish(
    hub: &Hub,
    key: &SecretKey,
    board: &Board,
    counter: &mut PresenceCounter,
) -> Result<(), String> {
    let (known, notes) = (board.known(), board.notes());
    let (Some(name), Some(fleet), Some(owner)) = (known.name, known.fleet, known.owner) else {
        return Err("there is no join file".to_owned());
    };
    let degraded = match board.phase() {
        Phase::Degraded { reason } => Some(reason),
        _ => None,
    };
    let mut presence = Presence {
        fleet,
        party: key.public(),
        name,
        owner,
        counter: counter.next(e3_client::clock::millis()),
        signed: board.now(),
        agent: env!("CARGO_PKG_VERSION").to_owned(),
        image: image(),
        addresses: known.addresses,
        meshes: known.meshes,
        mesh_keys: known.mesh_keys,
        mesh_endpoints: known.mesh_endpoints,
        degraded,
        update: notes.update.clone().map(Trouble::cleaned),
        root: known.root.unwrap_or(0),
        head: known.head.unwrap_or(0),
        sessions: notes.presences(),
    };
    let mut sent = send(hub, key, &presence).await?;
    if sent.as_ref().is_err_and(is_old) && goes_on_from_hub(hub, &presence, counter).await {
        presence.counter = counter.next(e3_client::clock::millis());
        sent = send(hub, key, &presence).await?;
    }
    sent.map_err(|error| crate::text::chain(&error))
}

/// The image that this machine was made from, as os-release(5) tells it.
fn image() -> Option<String> {
    let text = files::read_bounded(Path::new(OS_RELEASE), RELEASE).ok()?;
    image_in(&String::from_utf8(text).ok()?)
}

/// The image's name in this os-release. Only plain words count: it is shown to the whole fleet.
fn image_in(text: &str) -> Option<String> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("IMAGE_ID="))?;
    let name = value.trim().trim_matches(['"', '\'']);
    let is_plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"._-".contains(&c);
    let fits = (1..=64).contains(&name.len()) && name.bytes().all(is_plain);
    fits.then(|| name.to_owned())
}

/// Signs it and sends it; what the hub says to it is the inner result.
async fn send(
    hub: &Hub,
    key: &SecretKey,
    presence: &Presence,
) -> Result<Result<(), HubError>, String> {
    let envelope = Envelope::sign(presence, &[key]).map_err(|error| error.to_string())?;
    Ok(hub.put_presence(&key.public(), envelope.to_bytes()).await)
}

/// Whether the hub holds one with the same counter or a higher one.
fn is_old(error: &HubError) -> bool {
    matches!(error, HubError::Refused { kind, .. } if kind == "presence-old")
}

/// Lets the counter go on from this party's presence that the hub holds; returns whether that changes anything.
async fn goes_on_from_hub(hub: &Hub, mine: &Presence, counter: &mut PresenceCounter) -> bool {
    let Ok(Some(found)) = hub.presence(&mine.party).await else {
        return false;
    };
    let is_ahead = counter.found(&found, &mine.party, &mine.fleet);
    if is_ahead {
        tracing::info!(
            "the hub holds a presence of this party from a time to come: its clock was ahead, or is behind now"
        );
    }
    is_ahead
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_told_by_a_plain_word_or_not_at_all() {
        let told = |text: &str| image_in(text);
        assert_eq!(
            told("ID=nixos\nIMAGE_ID=\"raspberrypi\"\n").as_deref(),
            Some("raspberrypi")
        );
        assert_eq!(told("IMAGE_ID=wsl").as_deref(), Some("wsl"));
        for text in [
            "",
            "ID=debian",
            "IMAGE_ID=",
            "IMAGE_ID=<b>x</b>",
            &format!("IMAGE_ID={}", "x".repeat(65)),
        ] {
            assert_eq!(told(text), None, "{text}");
        }
    }
}
