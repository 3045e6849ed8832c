//! News from the hub: pushed while the stream is up, polled with jitter otherwise.
//!
//! Only fetches; whether a head counts is decided by [`crate::agent`].

use std::time::Duration;

use e3_client::hub::{HubEvent, Topic};
use e3_core::degraded::Degraded;
use e3_core::session::Reason;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::board::{Board, Source};
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
    let mut moves = shared.moves.subscribe();
    loop {
        if follow(&shared, &heads, &mut etag).await {
            pause = RETRY;
        }
        if heads.is_closed() {
            return;
        }
        poll(&shared, &heads, &mut etag).await;
        let mut table = Timetable::new(&shared.board, pause);
        tokio::select! {
            () = table.due() => pause = (pause * 2).min(shared.settings.poll),
            // There may be a way to it again, or another one.
            Ok(()) = moves.changed() => pause = RETRY,
        }
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
    // What was asked while nobody listened.
    shared.asked.notify_one();
    // A hub that was started anew does not know yet whether UDP reaches it. Its name may take long to be looked up.
    let hub = shared.hub.clone();
    tokio::spawn(async move { hub.greet_by_udp().await });
    // A stream that is up may still hold something back: poll now and then all the same.
    let mut polls = Timetable::new(&shared.board, shared.settings.poll);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Ok(HubEvent::Head(head)) => {
                    if heads.send(head).await.is_err() {
                        return true;
                    }
                }
                Ok(HubEvent::Asked(party)) => {
                    if party == shared.me() {
                        shared.asked.notify_one();
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::info!(error = %crate::text::chain(&error), "the hub's stream has ended");
                    return true;
                }
            },
            () = polls.due() => poll(shared, heads, etag).await,
        }
    }
}

/// When to poll. What is wrong with the head may pass without a new one, such as a clock that is set; and a head is judged
/// after it was sent, so that what stood on the board before says nothing of it.
struct Timetable<'a> {
    board: &'a Board,
    changes: watch::Receiver<u64>,
    period: Duration,
    next: Instant,
}

impl<'a> Timetable<'a> {
    /// Polls every `period` or so, more often while the head cannot be used.
    fn new(board: &'a Board, period: Duration) -> Self {
        let mut table = Self {
            board,
            changes: board.subscribe(),
            period,
            next: Instant::now(),
        };
        table.next = table.after_now();
        table
    }

    /// Returns when it is time. May be dropped while waiting: the time stays the same.
    async fn due(&mut self) {
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(self.next) => {
                    self.next = self.after_now();
                    return;
                }
                Ok(()) = self.changes.changed() => {
                    if self.board.is_degraded(Source::Head) {
                        self.next = self.next.min(self.after_now());
                    }
                }
            }
        }
    }

    fn after_now(&self) -> Instant {
        let is_degraded = self.board.is_degraded(Source::Head);
        let most = if is_degraded { RECOVERY } else { Duration::MAX };
        Instant::now() + jitter(self.period.min(most))
    }
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
            shared.asked.notify_one();
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
        keeper.head().is_some() && !keeper.head_is_fresh()
    };
    if expired {
        let reason = unusable(shared, Degraded::HeadExpired);
        shared.board.degraded(Source::Head, Some(reason));
    }
}

/// Why a head cannot be used that has been refused with `reason`: a clock that is far from the hub's explains it better.
pub fn unusable(shared: &Shared, reason: Degraded) -> Degraded {
    match clock_off(shared) {
        Some(seconds) => Degraded::ClockWrong { seconds },
        None => reason,
    }
}

/// The same for a session that may not begin, since the head has expired by this machine's clock.
pub fn expired(shared: &Shared) -> Reason {
    match clock_off(shared) {
        // Seen from the others: it is this clock that is off.
        Some(seconds) => Reason::ClockSkew { seconds: -seconds },
        None => Reason::HeadExpired,
    }
}

/// How far the hub's clock is ahead, if it is so far from this one that the clock is to be told.
fn clock_off(shared: &Shared) -> Option<i64> {
    let ahead = shared.hub.clock_ahead();
    ahead.filter(|seconds| seconds.abs() > CLOCK_DOUBT)
}

/// Between three quarters and five quarters of `period`: a fleet must not ask all at once.
pub fn jitter(period: Duration) -> Duration {
    let random = e3_client::random::bytes32();
    let share = f64::from(random[0]) / 255.0;
    period.mul_f64(0.75 + share / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long enough to be told from [`RECOVERY`].
    const POLL: Duration = Duration::from_hours(1);

    fn refused(board: &Board) {
        board.degraded(Source::Head, Some(Degraded::HeadExpired));
    }

    /// How long `table` waits.
    async fn waits(table: &mut Timetable<'_>) -> Duration {
        let begin = Instant::now();
        table.due().await;
        begin.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_refused_while_the_stream_is_up_is_asked_for_again_soon() {
        let board = Board::default();
        let mut table = Timetable::new(&board, POLL);
        let refuse = async {
            // As the main loop does it: when the stream waits for the next event already.
            tokio::time::sleep(Duration::from_secs(1)).await;
            refused(&board);
        };
        let (waited, ()) = tokio::join!(waits(&mut table), refuse);
        assert!(waited < RECOVERY * 2, "{waited:?}");
        // And again, as long as it stays so.
        assert!(waits(&mut table).await < RECOVERY * 2);
        board.degraded(Source::Head, None);
        waits(&mut table).await;
        assert!(waits(&mut table).await > POLL / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_happens_otherwise_makes_no_poll_earlier_or_later() {
        let board = Board::default();
        let mut table = Timetable::new(&board, POLL);
        let bustle = async {
            for second in 0..2 * POLL.as_secs() {
                tokio::time::sleep(Duration::from_secs(1)).await;
                board.hub(Some(second.to_string()));
            }
        };
        let (waited, ()) = tokio::join!(waits(&mut table), bustle);
        assert!(waited >= POLL.mul_f64(0.75), "{waited:?}");
        assert!(waited <= POLL.mul_f64(1.25), "{waited:?}");
        // A head that cannot be used is not polled for without end either.
        refused(&board);
        waits(&mut table).await;
        assert!(waits(&mut table).await >= RECOVERY.mul_f64(0.75));
    }

    #[tokio::test(start_paused = true)]
    async fn events_do_not_put_a_poll_off() {
        let board = Board::default();
        let mut table = Timetable::new(&board, POLL);
        let begin = Instant::now();
        // A stream that says something every second.
        while tokio::time::timeout(Duration::from_secs(1), table.due())
            .await
            .is_err()
        {
            assert!(begin.elapsed() < POLL * 2, "never polled");
        }
    }
}
