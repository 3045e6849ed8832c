//! What somebody finds who looks for what is wrong with a machine: `e3 doctor`, `e3-agent doctor`, and the answer of a machine
//! that was asked from afar. How each thing is looked at is theirs.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::text::clean;

/// Characters of what was looked at, and of what was found or is to be done: what a screen shows.
const WHAT: usize = 24;
const TEXT: usize = 600;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What was looked at.
    pub what: Cow<'static, str>,
    /// Whether it is as it should be.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Whether something is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is.
    Ok,
    /// It works, but not for ever, or not for everything.
    Warn,
    /// It is not.
    Fail,
}

impl Check {
    /// It is as it should be.
    pub fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self::new(what, State::Ok, found.into(), None)
    }

    /// Somebody should look at it.
    pub fn warn(what: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(what, State::Warn, found.into(), Some(remedy.into()))
    }

    /// Somebody must do something.
    pub fn fail(what: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(what, State::Fail, found.into(), Some(remedy.into()))
    }

    /// As it is said.
    pub fn new(what: &'static str, state: State, found: String, remedy: Option<String>) -> Self {
        let (what, remedy) = (what.into(), remedy.filter(|remedy| !remedy.is_empty()));
        Self {
            what,
            state,
            found,
            remedy,
        }
    }
}

/// How many of `checks` are as `state` says.
pub fn count(checks: &[Check], state: State) -> usize {
    checks.iter().filter(|check| check.state == state).count()
}

/// The checks as a screen, which reads without colour. They may come from another machine.
pub fn screen(checks: &[Check]) -> String {
    let lengths = checks.iter().map(|check| check.what.chars().count());
    let width = lengths.max().unwrap_or(0).min(WHAT);
    let mut text = String::new();
    for check in checks {
        let word = match check.state {
            State::Ok => "ok  ",
            State::Warn => "warn",
            State::Fail => "FAIL",
        };
        let (what, found) = (clean(&check.what, WHAT), clean(&check.found, TEXT));
        let _ = writeln!(text, "{word}  {what:width$}  {found}");
        if let Some(remedy) = &check.remedy {
            let remedy = clean(remedy, TEXT);
            let _ = writeln!(text, "{:indent$}remedy: {remedy}", "", indent = width + 8);
        }
    }
    let [ok, warn, fail] = [State::Ok, State::Warn, State::Fail].map(|state| count(checks, state));
    let all = checks.len();
    let _ = writeln!(
        text,
        "\n{all} checks: {ok} ok, {warn} to look at, {fail} failed"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_reads_without_colour_and_nothing_in_it_acts() {
        let checks = [
            Check::ok("python", "Python 3.12.3"),
            Check::warn("disk", "\x1b[2J", "Make\nroom."),
            Check::fail("hub", "nobody answers", "Start it."),
        ];
        let shown = "ok    python  Python 3.12.3\nwarn  disk    \u{fffd}[2J\n              remedy: Make\u{fffd}room.\n\
                     FAIL  hub     nobody answers\n              remedy: Start it.\n\n\
                     3 checks: 1 ok, 1 to look at, 1 failed\n";
        assert_eq!(screen(&checks), shown);
        let json = serde_json::to_string(&checks[0]).unwrap();
        assert_eq!(
            json,
            r#"{"what":"python","state":"ok","found":"Python 3.12.3"}"#
        );
        assert_eq!(serde_json::from_str::<Check>(&json).unwrap(), checks[0]);
    }
}
