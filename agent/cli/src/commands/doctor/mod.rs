//! `e3 doctor`: looks for what is missing or wrong on this machine, and says what to do about it.
//!
//! Each check stands by itself: one that fails never hides another one.

mod local;
mod network;

use std::fmt::Write as _;

pub use self::local::find_agent;
pub(crate) use self::local::find_program;

use serde::Serialize;
use serde_json::json;

use crate::args::{Doctor, Global};
use crate::error::{Error, Exit};
use crate::fleet_file::Fleet;
use crate::output::Answer;

/// What a check found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Check {
    /// What was looked at.
    what: &'static str,
    state: State,
    /// What was found.
    found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Ok,
    Warn,
    Fail,
}

impl Check {
    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self {
            what,
            state: State::Ok,
            found: found.into(),
            remedy: None,
        }
    }

    fn warn(what: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what,
            state: State::Warn,
            found: found.into(),
            remedy: Some(remedy.into()),
        }
    }

    fn fail(what: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what,
            state: State::Fail,
            found: found.into(),
            remedy: Some(remedy.into()),
        }
    }

    /// An error of a command, as a check; `mild` if only some commands need it.
    fn of_error(what: &'static str, error: &Error, mild: bool) -> Self {
        let found = [vec![error.to_string()], error.causes()]
            .concat()
            .join(": ");
        let remedy = error.remedy();
        Self {
            what,
            state: if mild { State::Warn } else { State::Fail },
            found,
            remedy,
        }
    }
}

pub(super) async fn run(args: &Doctor, global: &Global) -> Result<Answer, Error> {
    let mut checks = local::python(args.python.as_deref(), &args.modules).await;
    checks.push(local::agent());
    checks.push(local::key(args.key.as_deref()));
    match fleet(global) {
        Ok(fleet) => {
            checks.push(Check::ok(
                "fleet",
                format!(
                    "{} in {}, {} parties",
                    fleet.name,
                    fleet.folder.display(),
                    fleet.parties.len()
                ),
            ));
            checks.extend(local::release_key(&fleet));
            checks.extend(network::hub(fleet).await);
        }
        Err(error) => checks.push(Check::of_error("fleet", &error, global.fleet.is_none())),
    }
    checks.push(network::index(args.index.as_deref()).await);
    Ok(answer(&checks))
}

fn fleet(global: &Global) -> Result<Fleet, Error> {
    let start = std::env::current_dir();
    let start = start.map_err(|source| Error::Folder {
        action: "find",
        path: ".".into(),
        source,
    })?;
    Ok(Fleet::open(&Fleet::find(global.fleet.as_deref(), &start)?)?)
}

fn answer(checks: &[Check]) -> Answer {
    let width = checks
        .iter()
        .map(|check| check.what.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for Check {
        what,
        state,
        found,
        remedy,
    } in checks
    {
        let word = match state {
            State::Ok => "ok  ",
            State::Warn => "warn",
            State::Fail => "FAIL",
        };
        let _ = writeln!(text, "{word}  {what:width$}  {found}");
        if let Some(remedy) = remedy {
            let _ = writeln!(text, "{:indent$}remedy: {remedy}", "", indent = width + 8);
        }
    }
    let count = |state| checks.iter().filter(|check| check.state == state).count();
    let (warn, fail) = (count(State::Warn), count(State::Fail));
    let _ = writeln!(
        text,
        "\n{} checks: {} ok, {warn} to look at, {fail} failed",
        checks.len(),
        count(State::Ok)
    );
    let json = json!({"checks": checks, "ok": fail == 0, "warnings": warn, "failures": fail});
    Answer::new(text, json).exit(if fail == 0 { Exit::Ok } else { Exit::Failed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_reads_without_colour_and_only_failures_fail() {
        let checks = [
            Check::ok("python", "Python 3.12.3 (/usr/bin/python3), 64 bits"),
            Check::warn(
                "e3-agent",
                "not found beside e3 or in PATH",
                "Install it, or build it.",
            ),
        ];
        let good = answer(&checks);
        assert_eq!(good.exit, Exit::Ok);
        insta::assert_snapshot!(good.text);
        let bad = answer(&[Check::fail("hub", "nobody answers", "Start it.")]);
        assert_eq!(
            (bad.exit, bad.json["ok"].as_bool()),
            (Exit::Failed, Some(false))
        );
    }
}
