//! Which refusals get a line of their own in the journal (rule 13).
//!
//! How often a party refuses something is decided by its hub, and each line lasts for ever: a hub that sends nonsense
//! as fast as it can must not fill the disk, nor one that shows the same expired head for a year. So the same refusal
//! of the same document is told once an hour, others once a minute when there have been many, and each line tells how many came
//! since the one before. Time is the caller's.

use std::time::{Duration, Instant};

use e3_core::digest::Digest;

/// Lines in a row, as long as they differ.
const ROOM: u32 = 32;
/// For room for one more line.
const REFILL: Duration = Duration::from_mins(1);
/// Between two lines that say the same.
const AGAIN: Duration = Duration::from_hours(1);

/// What has been told so far.
#[derive(Debug)]
pub struct Refusals {
    /// The last line, and when it was written.
    last: Option<(Digest, String, Instant)>,
    room: u32,
    refilled: Option<Instant>,
    /// Refusals since the last line.
    untold: u64,
}

impl Default for Refusals {
    fn default() -> Self {
        Self {
            last: None,
            room: ROOM,
            refilled: None,
            untold: 0,
        }
    }
}

impl Refusals {
    /// What to add to the line for this refusal of this document, if a line is due for it.
    pub fn tell(&mut self, now: Instant, document: &Digest, reason: &str) -> Option<String> {
        let since = now.saturating_duration_since(*self.refilled.get_or_insert(now));
        let more = u32::try_from(since.as_secs() / REFILL.as_secs()).unwrap_or(u32::MAX);
        if more > 0 {
            self.room = self.room.saturating_add(more).min(ROOM);
            self.refilled = Some(now);
        }
        let is_again = |(digest, told, when): &(Digest, String, Instant)| {
            digest == document && told == reason && now.saturating_duration_since(*when) < AGAIN
        };
        if self.room == 0 || self.last.as_ref().is_some_and(is_again) {
            self.untold += 1;
            return None;
        }
        self.room -= 1;
        self.last = Some((*document, reason.to_owned(), now));
        Some(match std::mem::take(&mut self.untold) {
            0 => String::new(),
            untold => format!(" (and {untold} other refusals since the last line)"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_again_is_told_once_an_hour_with_its_number() {
        let (mut refusals, begin) = (Refusals::default(), Instant::now());
        let mut lines = Vec::new();
        for n in 0..=240 {
            let now = begin + n * Duration::from_secs(30);
            lines.extend(refusals.tell(now, &Digest::of(b"a head"), "it has expired"));
        }
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert_eq!(lines[0], "");
        assert!(lines[1].contains("119 other refusals"), "{}", lines[1]);
        // Something else is told at once.
        let now = begin + 2 * AGAIN;
        for (document, reason) in [("a head", "it is older"), ("another", "it is older")] {
            let told = refusals.tell(now, &Digest::of(document.as_bytes()), reason);
            assert_eq!(told.as_deref(), Some(""));
        }
    }

    #[test]
    fn a_hub_that_sends_nonsense_gets_few_lines() {
        let (mut refusals, begin) = (Refusals::default(), Instant::now());
        let mut lines = 0;
        for n in 0..100_000_u32 {
            let now = begin + n * Duration::from_millis(36);
            lines += usize::from(
                refusals
                    .tell(now, &Digest::of(&n.to_le_bytes()), "it is broken")
                    .is_some(),
            );
        }
        assert!((32..=32 + 60).contains(&lines), "{lines} in an hour");
    }
}
