//! Words to systemd, if it is there: readiness and the watchdog.

use std::time::Duration;

/// The agent is up; and it goes on saying so, as often as systemd's watchdog asks for.
pub fn ready() {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::warn!(%error, "cannot tell systemd that the agent is ready");
    }
    let Some(watchdog) = sd_notify::watchdog_enabled() else {
        return;
    };
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(watchdog.max(Duration::from_millis(100)) / 2);
        loop {
            ticks.tick().await;
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    });
}
