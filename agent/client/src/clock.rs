//! The system's clock: the only place that reads it.
//!
//! What time it *is* is decided elsewhere: `e3_core::time::now` lifts this to the floor (rule 10). [`Clock`] takes the
//! floor to those who cannot ask for it, such as TLS, and lets it go on as time passes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use e3_core::time::Time;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// What the system's clock says. A clock before 1970 reads as 1970.
pub fn now() -> Time {
    Time::from_unix(i64::try_from(millis() / 1000).unwrap_or(i64::MAX))
}

/// The same in milliseconds since 1970, for measuring how far two machines' clocks are apart.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the system's clock"
)]
pub fn millis() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What time it is by rule 10. Clones share one floor.
///
/// A floor was right or past when it was set, so it is later by now by what has passed since, which the system's other clock
/// tells, the one that nobody sets. Without that, time would stand still on a machine whose clock is years behind: no session
/// with a start to come would ever begin there, and nothing would expire between two heads.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    floor: Arc<Mutex<Option<Floor>>>,
}

#[derive(Debug, Clone, Copy)]
struct Floor {
    /// As it was set.
    set: Time,
    /// Not before this ...
    time: Time,
    /// ... was it at this instant.
    at: Instant,
}

impl Floor {
    fn now(&self) -> Time {
        self.time.plus(self.at.elapsed().as_secs())
    }
}

impl Clock {
    /// Sets the floor: to a later time as a rule, to an earlier one when a new root begins a new epoch.
    pub fn set_floor(&self, floor: Time) {
        let mut known = self.floor.lock().unwrap_or_else(PoisonError::into_inner);
        let time = match *known {
            Some(known) if known.set == floor => return,
            Some(known) if known.set < floor => known.now().max(floor),
            _ => floor,
        };
        *known = Some(Floor {
            set: floor,
            time,
            at: Instant::now(),
        });
    }

    /// What time it is.
    pub fn now(&self) -> Time {
        let floor = *self.floor.lock().unwrap_or_else(PoisonError::into_inner);
        e3_core::time::now(now(), floor.map_or(Time::MIN, |floor| floor.now()))
    }
}

/// Certificates are judged by the same time as documents: a board without a clock finds none "not valid yet", and a clock
/// set to the past revives none.
impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.now().unix()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a floor of this time, set so many seconds ago, has become.
    fn aged(seconds: u64) -> Clock {
        let clock = Clock::default();
        clock.set_floor(now().plus(1_000_000));
        let mut floor = clock.floor.lock().unwrap();
        let old = floor.as_mut().unwrap();
        old.at = old.at.checked_sub(Duration::from_secs(seconds)).unwrap();
        drop(floor);
        clock
    }

    #[test]
    fn rule_10_time_passes_above_the_floor_too() {
        let clock = aged(500);
        let set = clock.floor.lock().unwrap().unwrap().set;
        let begin = clock.now();
        assert!((500..600).contains(&begin.since(set)), "{begin}");
        // The same floor again, as every head that is no news sets it, or one that is later but past by now.
        clock.set_floor(set);
        assert!(clock.now() >= begin);
        clock.set_floor(set.plus(100));
        assert!(clock.now() >= begin);
        clock.set_floor(set.plus(10_000));
        assert_eq!(clock.now().since(set), 10_000);
    }

    #[test]
    fn a_new_epoch_takes_the_floor_back() {
        let clock = aged(500);
        clock.set_floor(now().plus(10));
        assert!(clock.now().since(now()) <= 11);
    }

    #[test]
    fn a_clock_that_is_ahead_of_its_floor_is_believed() {
        let clock = Clock::default();
        clock.set_floor(Time::MIN.plus(86_400));
        assert!(clock.now().since(now()) <= 1);
    }
}
