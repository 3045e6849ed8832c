//! A brake for floods of small packets.
//!
//! What a program writes goes out at once: a round of a computation is over as soon as its small message
//! has come. A program that writes thousands of them in a row would fill a stream with more pieces than
//! QUIC's receiver takes while it waits for one that was lost, and the connection would be given up. So
//! after some hundred in a row there is a pause of a millisecond before the next, in which more of them
//! gather, and go together.
//!
//! How fast is too fast depends on the way: what was lost is sent again after some round trips, so between
//! near machines many more may go in that time, and rounds that take half a millisecond are no flood there.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// So many in a row are no flood.
const BURST: u32 = 256;
/// From then on a pause.
const PAUSE: Duration = Duration::from_millis(1);
/// Between machines that are far from each other, or nobody knows how far, one may go in this time.
const FAR: Duration = PAUSE;
/// And so many in a round trip, where that is shorter: while a lost one is sent again, which takes a receiver's delay of 25 ms
/// besides, fewer than the 2048 come that a receiver keeps.
const IN_A_ROUND_TRIP: u32 = 16;
const NEAR: Duration = Duration::from_micros(125);

/// How many small packets went lately.
pub(super) struct Pace {
    /// How many may still go without a pause.
    left: u32,
    counted: Instant,
    /// In which time one more may go.
    gap: Duration,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            left: BURST,
            counted: Instant::now(),
            gap: FAR,
        }
    }

    /// Waits, if need be, before one more goes. `round_trip` is how long packets take there and back now, if that is known.
    pub(super) async fn one_more(&mut self, round_trip: impl Fn() -> Option<Duration>) {
        let now = Instant::now();
        let passed = (now - self.counted).as_micros() / self.gap.as_micros();
        if passed > 0 {
            let passed = u32::try_from(passed).unwrap_or(BURST);
            self.left = self.left.saturating_add(passed).min(BURST);
            self.counted = now;
        }
        if self.left == 0 {
            self.gap = round_trip().map_or(FAR, |time| (time / IN_A_ROUND_TRIP).clamp(NEAR, FAR));
            sleep(PAUSE).await;
        } else {
            self.left -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long it takes to send so many, some at once in each `gap`.
    async fn took(
        count: u32,
        at_once: u32,
        gap: Duration,
        round_trip: Option<Duration>,
    ) -> Duration {
        let begun = Instant::now();
        let mut pace = Pace::new();
        for sent in 0..count {
            pace.one_more(|| round_trip).await;
            if sent % at_once == 0 {
                sleep(gap).await;
            }
        }
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn rounds_are_not_slowed_and_floods_are() {
        assert_eq!(took(BURST, 1, Duration::ZERO, None).await, Duration::ZERO);
        let slow = 3 * PAUSE;
        assert_eq!(took(1000, 1, slow, None).await, 1000 * slow);
        let flood = took(BURST + 1000, 1, Duration::ZERO, None).await;
        assert!(flood >= 500 * PAUSE && flood <= 1010 * PAUSE, "{flood:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn between_near_machines_more_rounds_are_no_flood() {
        let near = Some(Duration::from_micros(500));
        // Four messages in each millisecond: two rounds of two.
        let rounds = took(8000, 4, PAUSE, near).await;
        assert!(rounds <= 2050 * PAUSE, "{rounds:?}");
        let flood = took(BURST + 8000, 1, Duration::ZERO, near).await;
        assert!(flood >= 800 * PAUSE, "{flood:?}");
        let far = took(8000, 4, PAUSE, Some(Duration::from_millis(100))).await;
        assert!(far >= 4000 * PAUSE, "{far:?}");
    }
}
