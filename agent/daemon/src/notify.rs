//! Words to systemd, if it is there: readiness and the watchdog.

use std::time::Duration;

use crate::pulse::{self, Pulse};

/// The agent is up; and it goes on saying so, as often as systemd's watchdog asks for, while its main loop turns.
pub fn ready(pulse: Pulse) {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::warn!(%error, "cannot tell systemd that the agent is ready");
    }
    let Some(watchdog) = sd_notify::watchdog_enabled() else {
        return;
    };
    tokio::spawn(async move {
        let time = watchdog.max(Duration::from_millis(100)) / 2;
        let mut ticks = tokio::time::interval(time);
        loop {
            ticks.tick().await;
            if !pulse.is_felt(time.max(2 * pulse::BEAT)) {
                tracing::error!("the main loop stands still; systemd is not told that all is well");
                continue;
            }
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    });
}
