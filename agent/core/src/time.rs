//! Points in time as documents carry them, and the rule that keeps clocks honest.
//!
//! E3's core has no clock: whoever calls it says what time it is, by way of [`now`] (rule 10).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A point in time with a resolution of one second, written as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Time(i64);

/// Why a text is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time; write it as RFC 3339, for example 2026-11-22T10:00:00Z")]
pub struct TimeError(String);

impl Time {
    /// The earliest time that can be told.
    pub const MIN: Self = Self(0);
    /// 9999-12-30, the latest that RFC 3339 can write in every time zone.
    pub const MAX: Self = Self(253_402_207_200);

    /// Seconds since 1970-01-01T00:00:00Z, clamped to what can be written.
    pub fn from_unix(seconds: i64) -> Self {
        Self(seconds.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// Reads the form that HTTP uses (RFC 9110, 5.6.7): `Sun, 22 Nov 2026 10:00:00 GMT`.
    pub fn from_http(text: &str) -> Option<Self> {
        // Rule 3: it is a stranger's.
        let text = Some(text).filter(|text| text.len() < 64)?;
        let time = jiff::fmt::rfc2822::parse(text).ok()?;
        Some(Self::from_unix(time.timestamp().as_second()))
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// This time and `seconds` more.
    #[must_use]
    pub fn plus(self, seconds: u64) -> Self {
        Self::from_unix(
            self.0
                .saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX)),
        )
    }

    /// Seconds from `earlier` to this time; negative if it is the other way round.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }
}

/// Rule 10: `now = max(system clock, floor)`.
///
/// A clock set to the past, or a board that has none, can therefore never revive an expired document.
pub fn now(system: Time, floor: Time) -> Time {
    system.max(floor)
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::Timestamp::from_second(self.0).map_err(|_| fmt::Error)?;
        write!(f, "{time}")
    }
}

impl FromStr for Time {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let time: jiff::Timestamp = text
            .parse()
            .map_err(|_| TimeError(crate::text::clean(text, 80)))?;
        match time.as_second() {
            second if (Self::MIN.0..=Self::MAX.0).contains(&second) => Ok(Self(second)),
            _ => Err(TimeError(crate::text::clean(text, 80))),
        }
    }
}

impl TryFrom<String> for Time {
    type Error = TimeError;
    fn try_from(text: String) -> Result<Self, TimeError> {
        text.parse()
    }
}

impl From<Time> for String {
    fn from(time: Time) -> Self {
        time.to_string()
    }
}

crate::text_schema!(
    Time,
    "Time",
    r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$",
    "RFC 3339, for example 2026-11-22T10:00:00Z"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_read_and_nothing_else() {
        let read = |text: &str| Time::from_http(text).map(Time::unix);
        // RFC 9110, 5.6.7.
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(read("1994-11-06T08:49:37Z"), None);
        assert_eq!(read(&"Sun, ".repeat(20)), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn text_form_round_trips() {
        let time: Time = "2026-11-22T10:00:00Z".parse().unwrap();
        assert_eq!(time.unix(), 1_795_341_600);
        assert_eq!(time.to_string(), "2026-11-22T10:00:00Z");
        assert_eq!("2026-11-22T11:00:00+01:00".parse(), Ok(time));
        assert!("yesterday".parse::<Time>().is_err());
        assert_eq!(Time::MAX.to_string().parse(), Ok(Time::MAX));
    }

    #[test]
    fn rule_10_a_clock_in_the_past_does_not_turn_back_time() {
        let floor = Time::from_unix(1_000);
        assert_eq!(now(Time::from_unix(10), floor), floor);
        assert_eq!(now(Time::from_unix(2_000), floor), Time::from_unix(2_000));
    }
}
