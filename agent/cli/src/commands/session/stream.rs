//! The hub's push stream while a session or the fleet is followed: opened again when it breaks, done without where
//! the hub has none.

use std::time::Duration;

use e3_client::hub::{Events, HubError, HubEvent, Topic};
use e3_client::random;
use tokio::time::Instant;

use crate::commands::fleet::OpenFleet;

/// Between two attempts to get the stream back.
const RECONNECT: Duration = Duration::from_secs(5);

/// The push stream, as far as there is one.
#[derive(Default)]
pub(in crate::commands) struct Stream {
    events: Option<Events>,
    /// When to try again.
    pub(in crate::commands) retry: Option<Instant>,
    /// A static host has no stream, and never will.
    never: bool,
}

impl Stream {
    /// Whether the hub pushes.
    pub(in crate::commands) const fn is_open(&self) -> bool {
        self.events.is_some()
    }

    /// Opens the stream if it is not open and it is time to try; whether it was opened now.
    pub(in crate::commands) async fn connect(&mut self, fleet: &OpenFleet) -> bool {
        let due = self.retry.is_none_or(|at| Instant::now() >= at);
        if self.events.is_some() || self.never || !due {
            return false;
        }
        self.retry = None;
        match fleet
            .hub
            .events(&[Topic::Head, Topic::Receipt, Topic::Presence])
            .await
        {
            Ok(events) => self.events = Some(events),
            Err(HubError::ReadOnly { .. } | HubError::NotFound { .. }) => self.never = true,
            Err(_) => self.retry = Some(Instant::now() + jitter(RECONNECT)),
        }
        self.events.is_some()
    }

    /// The next event, or nothing if the stream has just been lost; waits for ever while there is none.
    pub(in crate::commands) async fn next(&mut self) -> Option<HubEvent> {
        let Some(events) = &mut self.events else {
            return std::future::pending().await;
        };
        let event = events.next().await.ok();
        if event.is_none() {
            self.events = None;
            self.retry = Some(Instant::now() + jitter(RECONNECT));
        }
        event
    }
}

/// Up to half as long again, so that many watchers do not ask in step.
pub(in crate::commands) fn jitter(pause: Duration) -> Duration {
    pause + pause.mul_f32(f32::from(random::bytes32()[0]) / 512.0)
}
