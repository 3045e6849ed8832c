//! `e3-agent doctor`: looks for what is wrong with this machine, and says what to do about it. For root and whoever else sits before
//! the machine; its owner gets the same from afar ([`crate::asked`]).
//!
//! It only looks. The looks go on side by side, each with a deadline, so that neither a name server that says nothing nor a disk
//! that hangs hides what the others have found.

mod disk;
mod hub;
mod own;
mod programs;

use std::path::Path;
use std::time::Duration;

use e3_client::looks;
use e3_core::checkup::{self, Check, State};
use serde_json::json;

use crate::commands::Answer;
use crate::config::Settings;
use crate::text::chain;

/// For one look, which may be several waits one after the other.
const DEADLINE: Duration = Duration::from_secs(15);

/// `e3-agent doctor`
pub async fn doctor(config: &Path, modules: &[String]) -> Answer {
    let (settings, problem) = match Settings::load(config) {
        Ok(settings) => (settings, None),
        // The usual places are looked at, then.
        Err(error) => (Settings::default(), Some(chain(&error))),
    };
    let mut checks = Vec::new();
    if let Some(problem) = problem {
        let remedy = "Correct the file; the agent picks it up by itself.";
        checks.push(Check::fail("settings", problem, remedy));
    }
    checks.extend(look(&settings, modules).await);
    let failures = checkup::count(&checks, State::Fail);
    Answer {
        text: checkup::screen(&checks),
        json: json!({
            "checks": checks, "ok": failures == 0, "failures": failures,
            "warnings": checkup::count(&checks, State::Warn),
        }),
        is_bad: failures > 0,
    }
}

/// Everything that is looked at.
pub async fn look(settings: &Settings, modules: &[String]) -> Vec<Check> {
    let (own, hub, disk, units, python) = tokio::join!(
        bounded("agent", own::agent(settings)),
        bounded("hub", hub::way(settings)),
        bounded("disk", disk::room(settings)),
        bounded("systemd", programs::units(settings)),
        bounded("python", programs::python(settings, modules)),
    );
    [own, hub, disk, units, python].concat()
}

/// What is found in time, or that nothing was.
async fn bounded(what: &'static str, look: impl Future<Output = Vec<Check>>) -> Vec<Check> {
    let remedy = "Something hangs: `journalctl -b -p warning` may tell what.";
    looks::bounded(what, DEADLINE, remedy, look).await
}
