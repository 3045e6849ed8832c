//! The way back to a relay: this machine's home, by which others find it.

use std::sync::Arc;
use std::time::Duration;

use iroh::Watcher as _;
use iroh::endpoint::RelayStatus;
use tokio::time::sleep;

use crate::endpoint::Quic;

/// Until relays are looked for again when none was found, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// Looks for a relay while there is none. For ever.
///
/// The library tries again and again to reach a relay that it has once reached, but when none has answered
/// yet it looks only every half a minute. A hub that starts after its parties would be found that late.
pub(crate) async fn keep(quic: Arc<Quic>) {
    let mut watcher = quic.endpoint.home_relay_status();
    let mut state = watcher.get();
    let mut pause = PAUSE.0;
    let mut was_connected = false;
    loop {
        let is_connected = state.iter().any(RelayStatus::is_connected);
        if is_connected != was_connected {
            was_connected = is_connected;
            if is_connected {
                pause = PAUSE.0;
                tracing::info!("connected to a relay");
            } else {
                tracing::warn!("no relay is connected");
            }
        }
        let again = async {
            if is_connected {
                std::future::pending::<()>().await;
            } else {
                sleep(pause).await;
            }
        };
        tokio::select! {
            updated = watcher.updated() => match updated {
                Ok(updated) => state = updated,
                // The endpoint is closed.
                Err(_) => return,
            },
            () = again => {
                pause = (pause * 2).min(PAUSE.1);
                // Said once more what it knows, it looks where all relays stand.
                if let Some(relay) = quic.relays.first() {
                    quic.endpoint.insert_relay(relay.url.clone(), relay.clone()).await;
                }
            }
        }
    }
}
