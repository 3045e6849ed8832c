//! A token bucket: how often somebody may do something, with so many at once that nobody who works is slowed.
//!
//! Who has one each, how many are remembered, and what happens to who has none left is told where it is used.

use crate::time::Time;

/// How many there are at once, and how many more after each so many seconds.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// At once, and never more.
    pub burst: u32,
    /// More of them ...
    pub more: u32,
    /// ... after each so many seconds.
    pub seconds: i64,
}

/// What somebody has left.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    left: u32,
    filled: Time,
}

impl Bucket {
    /// A full one.
    pub const fn new(rate: Rate, now: Time) -> Self {
        Self {
            left: rate.burst,
            filled: now,
        }
    }

    /// When it got the last ones.
    pub const fn filled(&self) -> Time {
        self.filled
    }

    /// Whether it has all that it can have.
    pub fn is_full(&mut self, rate: Rate, now: Time) -> bool {
        self.fill(rate, now);
        self.left >= rate.burst
    }

    /// Takes one, if there is one left.
    pub fn take(&mut self, rate: Rate, now: Time) -> bool {
        self.fill(rate, now);
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }

    fn fill(&mut self, rate: Rate, now: Time) {
        let times = now.since(self.filled).max(0) / rate.seconds;
        let more = u32::try_from(times)
            .unwrap_or(u32::MAX)
            .saturating_mul(rate.more);
        // A clock that was set back only delays the next ones.
        if more > 0 || now < self.filled {
            self.left = self.left.saturating_add(more).min(rate.burst);
            self.filled = now;
        }
    }
}
