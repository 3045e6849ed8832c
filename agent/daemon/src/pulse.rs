//! Whether the main loop turns: it says so at every turn, and systemd's watchdog is told only while it does.
//!
//! A task of the runtime that tells systemd by itself would go on telling it while the main loop waits for something
//! that never comes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The main loop turns at least this often.
pub const BEAT: Duration = Duration::from_secs(5);

/// The pulse. Cheap to clone; one side beats, the other feels it.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<Mutex<Option<Instant>>>);

impl Pulse {
    /// The main loop turns.
    pub fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether it has turned within this time. Before its first turn, while the agent comes up, there is nothing to
    /// miss.
    pub fn is_felt(&self, within: Duration) -> bool {
        self.is_felt_at(Instant::now(), within)
    }

    fn is_felt_at(&self, now: Instant, within: Duration) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_none_or(|last| now.saturating_duration_since(last) <= within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_main_loop_that_stands_still_is_noticed() {
        let pulse = Pulse::default();
        let now = Instant::now();
        assert!(pulse.is_felt_at(now + 9 * BEAT, BEAT), "it has not begun");
        pulse.beat();
        assert!(pulse.is_felt(BEAT));
        assert!(pulse.is_felt_at(now + BEAT, BEAT));
        assert!(!pulse.is_felt_at(now + 3 * BEAT, BEAT));
    }
}
