//! The system's clock: the only place that reads it.
//!
//! What time it *is* is decided elsewhere: `e3_core::time::now` lifts this to the floor (rule 10). [`Clock`] takes the
//! floor to those who cannot ask for it, such as TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// What time it is by rule 10, for whoever needs it between two looks at the trust state. Clones share one floor.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    floor: Arc<AtomicI64>,
}

impl Clock {
    /// Sets the floor: to a later time as a rule, to an earlier one when a new root begins a new epoch.
    pub fn set_floor(&self, floor: Time) {
        self.floor.store(floor.unix(), Ordering::Relaxed);
    }

    /// What time it is.
    pub fn now(&self) -> Time {
        e3_core::time::now(now(), Time::from_unix(self.floor.load(Ordering::Relaxed)))
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
