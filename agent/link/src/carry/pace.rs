//! A brake for floods of small packets.
//!
//! What a program writes goes out at once: a round of a computation is over as soon as its small message
//! has come. A program that writes thousands of them in a row would fill a stream with more pieces than
//! QUIC's receiver takes while it waits for one that was lost, and the connection would be given up. So
//! after some hundred in a row there is a pause of a millisecond before the next, in which more of them
//! gather, and go together.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// So many in a row are no flood.
const BURST: u32 = 256;
/// From then on so long for one.
const GATHER: Duration = Duration::from_millis(1);

/// How many small packets went lately.
pub(super) struct Pace {
    /// How many may still go without a pause.
    left: u32,
    counted: Instant,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            left: BURST,
            counted: Instant::now(),
        }
    }

    /// Waits, if need be, before one more goes.
    pub(super) async fn one_more(&mut self) {
        let now = Instant::now();
        let passed = (now - self.counted).as_micros() / GATHER.as_micros();
        if passed > 0 {
            let passed = u32::try_from(passed).unwrap_or(BURST);
            self.left = self.left.saturating_add(passed).min(BURST);
            self.counted = now;
        }
        if self.left == 0 {
            sleep(GATHER).await;
        } else {
            self.left -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long it takes to send so many, one in each `gap`.
    async fn took(count: u32, gap: Duration) -> Duration {
        let begun = Instant::now();
        let mut pace = Pace::new();
        for _ in 0..count {
            pace.one_more().await;
            sleep(gap).await;
        }
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn rounds_are_not_slowed_and_floods_are() {
        assert_eq!(took(BURST, Duration::ZERO).await, Duration::ZERO);
        let slow = 3 * GATHER;
        assert_eq!(took(1000, slow).await, 1000 * slow);
        let flood = took(BURST + 1000, Duration::ZERO).await;
        assert!(flood >= 500 * GATHER && flood <= 1010 * GATHER, "{flood:?}");
    }
}
