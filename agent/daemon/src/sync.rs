//! News from the hub: pushed while the stream is up, polled with jitter otherwise.
//!
//! Only fetches; whether a head counts is decided by [`crate::agent`].

use std::time::Duration;

use e3_client::hub::{HubEvent, Topic};
use e3_core::degraded::Degraded;
use tokio::sync::mpsc;

use crate::board::Source;
use crate::shared::Shared;

/// Between attempts to open the stream, at first; it doubles up to the poll interval.
const RETRY: Duration = Duration::from_millis(500);

/// Between two polls, at most, while the head cannot be used.
const RECOVERY: Duration = Duration::from_secs(30);
/// Seconds between this clock and the hub's from which on it is the clock that is told: what heads are given, too.
const CLOCK_DOUBT: i64 = 24 * 3600;

/// Sends each head that the hub shows. For ever.
pub async fn run(shared: Shared, heads: mpsc::Sender<Vec<u8>>) {
    let mut pause = RETRY;
    let mut etag = None;
    loop {
        if follow(&shared, &heads, &mut etag).await {
            pause = RETRY;
        }
        if heads.is_closed() {
            return;
        }
        poll(&shared, &heads, &mut etag).await;
        tokio::time::sleep(jitter(pause)).await;
        pause = (pause * 2).min(shared.settings.poll);
    }
}

/// Follows the stream until it breaks; returns whether it was up at all.
async fn follow(shared: &Shared, heads: &mpsc::Sender<Vec<u8>>, etag: &mut Option<String>) -> bool {
    let mut events = match shared.hub.events(&[Topic::Head]).await {
        Ok(events) => events,
        Err(error) => {
            shared.board.hub(Some(crate::text::chain(&error)));
            return false;
        }
    };
    shared.board.hub(None);
    loop {
        // A stream that is up may still hold something back: poll now and then all the same.
        tokio::select! {
            event = events.next() => match event {
                Ok(HubEvent::Head(head)) => {
                    if heads.send(head).await.is_err() {
                        return true;
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::info!(error = %crate::text::chain(&error), "the hub's stream has ended");
                    return true;
                }
            },
            () = tokio::time::sleep(pause(shared)) => poll(shared, heads, etag).await,
        }
    }
}

/// How long until the next poll. What is wrong with the head may pass without a new one, such as a clock that is set.
fn pause(shared: &Shared) -> Duration {
    let poll = shared.settings.poll;
    jitter(if shared.board.is_degraded(Source::Head) {
        poll.min(RECOVERY)
    } else {
        poll
    })
}

/// Asks for the head. One that has not changed since the last time costs a few hundred bytes.
async fn poll(shared: &Shared, heads: &mpsc::Sender<Vec<u8>>, etag: &mut Option<String>) {
    if shared.board.is_degraded(Source::Head) {
        // It is to be judged again, changed or not.
        *etag = None;
    }
    match shared.hub.head(etag.as_deref()).await {
        Ok(head) => {
            shared.board.hub(None);
            if let Some(head) = head {
                *etag = Some(head.etag);
                let _ = heads.send(head.bytes).await;
            }
        }
        Err(error) => {
            let error = crate::text::chain(&error);
            tracing::debug!(%error, "the hub cannot be polled");
            shared.board.hub(Some(error));
        }
    }
    // A hub that is silent, or shows the same head for ever, is noticed all the same (rules 5 and 11).
    let expired = {
        let keeper = shared.keeper();
        keeper.head().is_some() && !keeper.trust().head_is_fresh(e3_client::clock::now())
    };
    if expired {
        let reason = unusable(shared, Degraded::HeadExpired);
        shared.board.degraded(Source::Head, Some(reason));
    }
}

/// Why a head cannot be used that has been refused with `reason`: a clock that is far from the hub's explains it better.
pub fn unusable(shared: &Shared, reason: Degraded) -> Degraded {
    match shared.hub.clock_ahead() {
        Some(seconds) if seconds.abs() > CLOCK_DOUBT => Degraded::ClockWrong { seconds },
        _ => reason,
    }
}

/// Between three quarters and five quarters of `period`: a fleet must not ask all at once.
pub fn jitter(period: Duration) -> Duration {
    let random = e3_client::random::bytes32();
    let share = f64::from(random[0]) / 255.0;
    period.mul_f64(0.75 + share / 2.0)
}
