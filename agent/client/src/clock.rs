//! The system's clock: the only place that reads it.
//!
//! What time it *is* is decided elsewhere: `e3_core::time::now` lifts this to the floor (rule 10).

use std::time::{SystemTime, UNIX_EPOCH};

use e3_core::time::Time;

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
