//! What sessions and meshes are run by: systemd's units, Python and its modules.

use std::collections::BTreeMap;
use std::process::Stdio;

use e3_core::checkup::Check;

use crate::config::{Settings, Supervisor};
use crate::runtime::Pythons;

/// What is asked of systemd: the agent, the template of sessions, and whatever else of ours it has loaded.
const SHOW: [&str; 6] = [
    "show",
    "--no-pager",
    "--property=Id,LoadState,ActiveState,Result",
    "e3-agent.service",
    TEMPLATE,
    "e3-*",
];
/// An instance of the template that nobody starts.
const TEMPLATE: &str = "e3-party@doctor.service";
/// Prints the names that this Python does not have.
const MISSING: &str =
    "import sys, importlib.util as u; print(*(n for n in sys.argv[1:] if not u.find_spec(n)))";
/// Characters of what a program complains of.
const SAID: usize = 200;

pub(super) async fn units(settings: &Settings) -> Vec<Check> {
    if settings.supervisor != Supervisor::Systemd {
        return Vec::new();
    }
    match output("systemctl", &SHOW).await {
        Ok(text) => judge(&text),
        Err(problem) => {
            let remedy = "E3 needs systemd 257 or newer here; without it set supervisor = \"process\" in agent.toml.";
            vec![Check::fail("systemd", problem, remedy)]
        }
    }
}

/// Judges what `systemctl show` has said: blocks of `KEY=value`.
fn judge(text: &str) -> Vec<Check> {
    const WHAT: &str = "systemd";
    // A unit may be named and be in the pattern, too.
    let units: BTreeMap<&str, BTreeMap<&str, &str>> = text
        .split("\n\n")
        .map(|block| {
            block
                .lines()
                .filter_map(|line| line.split_once('='))
                .collect()
        })
        .filter_map(|unit: BTreeMap<&str, &str>| Some((*unit.get("Id")?, unit)))
        .collect();
    let mut checks = Vec::new();
    for (id, unit) in &units {
        let of = |key| unit.get(key).copied().unwrap_or_default();
        if of("LoadState") != "loaded" {
            if *id == TEMPLATE || *id == "e3-agent.service" {
                let found = format!("{id} is {}", of("LoadState"));
                let remedy = "Install the files of agent/dist, then `systemctl daemon-reload`.";
                checks.push(Check::fail(WHAT, found, remedy));
            }
        } else if of("ActiveState") == "failed" {
            let found = format!("{id} failed: {}", of("Result"));
            let remedy = format!("`journalctl -u {id}` says why; then `systemctl restart {id}`.");
            checks.push(Check::fail(WHAT, found, remedy));
        }
    }
    if checks.is_empty() {
        let active = |unit: &&BTreeMap<&str, &str>| unit.get("ActiveState") == Some(&"active");
        let active = units.values().filter(active).count();
        checks.push(Check::ok(
            WHAT,
            format!("{active} units of E3 are active, none failed"),
        ));
    }
    checks
}

pub(super) async fn python(settings: &Settings, modules: &[String]) -> Vec<Check> {
    const WHAT: &str = "python";
    let python = match Pythons::default().find(&settings.python).await {
        Ok(python) => python,
        Err(reason) => {
            let remedy = "Install Python 3.10 or newer, or name one as `python` in agent.toml.";
            return vec![Check::fail(WHAT, reason.to_string(), remedy)];
        }
    };
    let found = format!("{} ({})", python.version, python.path.display());
    let mut checks = vec![Check::ok(WHAT, found)];
    if !modules.is_empty() {
        let arguments = ["-I", "-c", MISSING].into_iter();
        let arguments: Vec<&str> = arguments
            .chain(modules.iter().map(String::as_str))
            .collect();
        let path = python.path.to_string_lossy();
        let missing = output(&path, &arguments).await;
        let missing = missing.unwrap_or_else(|_| modules.join(" "));
        let missing: Vec<&str> = missing.split_whitespace().collect();
        for name in modules {
            checks.push(if missing.contains(&name.as_str()) {
                let remedy = "Install it into that Python, or build the image with it. E3 installs no modules by itself.";
                Check::fail("module", format!("{name} is not installed"), remedy)
            } else {
                Check::ok("module", name.as_str())
            });
        }
    }
    checks
}

/// What a program prints, if it ends well.
async fn output(program: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await;
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = e3_core::text::clean(said.trim(), SAID);
    Err(format!("{program}: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_that_failed_and_a_template_that_is_not_there_are_named() {
        let good = "Id=e3-agent.service\nLoadState=loaded\nActiveState=active\nResult=success\n\n\
                    Id=e3-party@doctor.service\nLoadState=loaded\nActiveState=inactive\nResult=success\n";
        let checks = judge(good);
        assert_eq!(checks[0].found, "1 units of E3 are active, none failed");
        let bad = good.replace(
            "LoadState=loaded\nActiveState=inactive",
            "LoadState=not-found\nActiveState=inactive",
        ) + "\nId=e3-mesh-link.service\nLoadState=loaded\nActiveState=failed\nResult=exit-code\n\n\
               Id=e3-agent.service\nLoadState=loaded\nActiveState=active\nResult=success\n";
        insta::assert_snapshot!(e3_core::checkup::screen(&judge(&bad)));
    }
}
