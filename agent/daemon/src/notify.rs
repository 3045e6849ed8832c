//! Words to systemd, if it is there: readiness, the watchdog, and the phase as its status line.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::board::Board;
use crate::pulse::{self, Pulse};

/// The agent answers for itself, which is all that systemd waits for: what it lacks, its status tells.
/// Goes on saying so as often as systemd's watchdog asks for, while the main loop turns, and says each
/// new phase. For ever.
pub async fn run(board: Board, pulse: Pulse) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let mut changes = board.subscribe();
    let beat = sd_notify::watchdog_enabled().map(|time| time.max(Duration::from_millis(100)) / 2);
    // One that goes on while changes come: a busy agent must not look like a dead one.
    let mut ticks = beat.map(tokio::time::interval);
    let mut said = String::new();
    tell(&[NotifyState::Ready]);
    loop {
        changes.borrow_and_update();
        let phase = board.phase().to_string();
        if phase != said {
            tell(&[NotifyState::Status(&phase)]);
            said = phase;
        }
        let tick = async {
            match &mut ticks {
                Some(ticks) => drop(ticks.tick().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = tick => {
                if beat.is_some_and(|beat| pulse.is_felt(beat.max(2 * pulse::BEAT))) {
                    tell(&[NotifyState::Watchdog]);
                } else {
                    tracing::error!("the main loop stands still; systemd is not told that all is well");
                }
            }
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd cannot be told how the agent is");
    }
}
