//! `e3 doctor`: looks for what is missing or wrong on this machine, and says what to do about it.
//!
//! Each check stands by itself: one that fails never hides another one, and none waits for another one's network. What is looked
//! at on a party is `e3-agent doctor`'s, from afar `e3 party doctor`'s.

mod local;
mod network;

use std::time::Duration;

pub use self::local::find_agent;
pub(crate) use self::local::find_program;

use e3_client::looks;
use e3_core::checkup::{self, Check, State};
use serde_json::json;

use crate::args::{Doctor, Global};
use crate::error::{Error, Exit};
use crate::fleet_file::Fleet;
use crate::output::Answer;

/// For one group of looks; each wait in it has a shorter one.
const DEADLINE: Duration = Duration::from_secs(30);

/// An error of a command, as a check; `mild` if only some commands need what it is about.
fn of_error(what: &'static str, error: &Error, mild: bool) -> Check {
    let found = [vec![error.to_string()], error.causes()].concat();
    let state = if mild { State::Warn } else { State::Fail };
    Check::new(what, state, found.join(": "), error.remedy())
}

pub(super) async fn run(args: &Doctor, global: &Global) -> Result<Answer, Error> {
    let fleet = fleet(global);
    let disk = local::disk(fleet.as_ref().ok().map(|fleet| fleet.folder.clone()));
    let (python, disk, way, index) = tokio::join!(
        bounded(
            "python",
            local::python(args.python.as_deref(), &args.modules)
        ),
        bounded("disk", disk),
        bounded("hub", way(fleet, global)),
        bounded("python index", network::index(args.index.as_deref())),
    );
    let own = vec![
        local::agent(find_agent().as_deref()),
        local::key(args.key.as_deref()),
    ];
    Ok(answer(&[python, own, disk, way, index].concat()))
}

/// The network, the fleet, and its hub.
async fn way(fleet: Result<Fleet, Error>, global: &Global) -> Vec<Check> {
    let mut checks = Vec::new();
    match fleet {
        Ok(fleet) => {
            let (name, folder) = (&fleet.name, fleet.folder.display());
            let found = format!("{name} in {folder}, {} parties", fleet.parties.len());
            checks.push(Check::ok("fleet", found));
            checks.extend(local::release_key(&fleet));
            checks.extend(network::hub(fleet).await);
        }
        Err(error) => checks.push(of_error("fleet", &error, global.fleet.is_none())),
    }
    checks
}

/// What is found in time, or that nothing was.
async fn bounded(what: &'static str, look: impl Future<Output = Vec<Check>>) -> Vec<Check> {
    let remedy = "Something hangs: a disk, a name server, or a proxy.";
    looks::bounded(what, DEADLINE, remedy, look).await
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
    let [warn, fail] = [State::Warn, State::Fail].map(|state| checkup::count(checks, state));
    let json = json!({"checks": checks, "ok": fail == 0, "warnings": warn, "failures": fail});
    let exit = if fail == 0 { Exit::Ok } else { Exit::Failed };
    Answer::new(checkup::screen(checks), json).exit(exit)
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
