//! What lies on this machine: Python, its modules, the agent, keys.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use e3_client::looks::{self, Needs, Room};
use e3_core::checkup::Check;
use serde::Deserialize;

use super::of_error;
use crate::commands::key;
use crate::error::Error;
use crate::fleet_file::Fleet;

/// How long a Python may take to say what it is: a cold disk, not a hang.
const PATIENCE: Duration = Duration::from_secs(20);
/// What MPyC needs.
const OLDEST: (u32, u32) = (3, 10);
/// Prints one line of JSON; the modules' names come as arguments.
const ASK: &str = r#"
import json, struct, sys
from importlib import metadata, util
def version(name):
    try:
        return metadata.version(name)
    except Exception:
        return "?" if util.find_spec(name) else None
print(json.dumps({"version": list(sys.version_info[:3]), "bits": 8 * struct.calcsize("P"),
                  "executable": sys.executable, "modules": {name: version(name) for name in sys.argv[1:]}}))
"#;
/// Modules that make MPyC faster or that its larger programs use: good to have.
const USUAL: [&str; 2] = ["gmpy2", "numpy"];

#[derive(Deserialize)]
struct Python {
    version: (u32, u32, u32),
    bits: u32,
    executable: String,
    modules: std::collections::BTreeMap<String, Option<String>>,
}

/// Looks at the Python that parties would use, and its modules.
pub(super) async fn python(named: Option<&Path>, asked: &[String]) -> Vec<Check> {
    const WHAT: &str = "python";
    let program = named.unwrap_or(Path::new("python3"));
    let mut modules: Vec<&str> = asked.iter().map(String::as_str).collect();
    modules.extend(
        USUAL
            .iter()
            .filter(|usual| !asked.iter().any(|name| name == *usual)),
    );
    let python = match ask(program, &modules).await {
        Ok(python) => python,
        Err(problem) => {
            let found = format!("{} {problem}", program.display());
            return vec![Check::fail(
                WHAT,
                found,
                "Install Python 3.10 or newer (for example the package python3), or name one with --python FILE.",
            )];
        }
    };
    let (major, minor, patch) = python.version;
    let found = format!(
        "Python {major}.{minor}.{patch} ({}), {} bits",
        python.executable, python.bits
    );
    if (major, minor) < OLDEST {
        return vec![Check::fail(
            WHAT,
            found,
            "MPyC needs Python 3.10 or newer; install one and name it with --python FILE.",
        )];
    }
    let mut checks = vec![Check::ok(WHAT, found)];
    for name in modules {
        let wanted = asked.iter().any(|asked| asked == name);
        checks.push(match python.modules.get(name).cloned().flatten() {
            Some(version) => Check::ok("module", format!("{name} {version}")),
            None if wanted => {
                let remedy = format!("Install it into this Python, for example with `python3 -m pip install {name}`. E3 never installs modules by itself.");
                Check::fail("module", format!("{name} is not installed"), remedy)
            }
            None => {
                let remedy = "Only needed by programs whose manifest lists it; MPyC also runs faster with gmpy2.";
                Check::warn("module", format!("{name} is not installed"), remedy)
            }
        });
    }
    checks
}

async fn ask(program: &Path, modules: &[&str]) -> Result<Python, String> {
    let mut command = tokio::process::Command::new(program);
    // -I: neither this folder's files nor the user's variables change what is found.
    command
        .args(["-I", "-c", ASK])
        .args(modules)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.map_err(|_| "does not answer".to_owned())?;
    let output = output.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "is not there".to_owned(),
        _ => format!("cannot be started: {error}"),
    })?;
    if !output.status.success() {
        return Err(format!("ended with {}", output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|_| "does not answer like Python 3".to_owned())
}

const NEEDS: Needs = Needs {
    measure,
    // With less, a hub here or an image will not have room for long.
    scarce: 1024,
    if_scarce: "Make room before images are built, or a hub is kept here.",
    if_full: "Make room: nothing more can be signed or published here.",
    if_many: "Remove what makes so many files: `df -i`.",
    if_read_only: "Mount it for writing, or keep the fleet's folder elsewhere.",
    if_unseen: "Check the disk, and whose the folder is.",
};

/// Room where the fleet's folder is, or else where one stands.
pub(super) async fn disk(folder: Option<PathBuf>) -> Vec<Check> {
    looks::disk(vec![folder.unwrap_or_else(|| ".".into())], NEEDS).await
}

fn measure(path: &Path) -> io::Result<Room> {
    let found = rustix::fs::statvfs(path)?;
    Ok(Room {
        free: found.f_bavail.saturating_mul(found.f_frsize),
        files: (found.f_files > 0).then_some(found.f_favail),
        is_read_only: found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
    })
}

/// Whether the agent is there: the demo starts it, and machines need it.
pub(super) fn agent(found: Option<&Path>) -> Check {
    const WHAT: &str = "e3-agent";
    match found {
        Some(path) => Check::ok(WHAT, path.display().to_string()),
        None => Check::warn(
            WHAT,
            "not found beside e3 or in PATH",
            "Install it, or build it with `cargo build -p e3-agent`. Only `e3 demo` and the parties' machines need it.",
        ),
    }
}

/// The agent's binary: beside this one, else the first in `PATH`.
pub fn find_agent() -> Option<PathBuf> {
    find_program("e3-agent")
}

/// A program of E3: beside this one, else the first in `PATH`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.parent()?.join(name)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|folder| folder.join(name));
    beside
        .into_iter()
        .chain(in_path)
        .find(|file| is_executable(file))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// Whether the owner's key is there and nobody else's to read.
pub(super) fn key(named: Option<&Path>) -> Check {
    const WHAT: &str = "key";
    let path = match key::path_of(named) {
        Ok(path) => path,
        Err(error) => return of_error(WHAT, &error, true),
    };
    match key::read(named) {
        Ok(key) => Check::ok(WHAT, format!("{} ({})", path.display(), key.public())),
        Err(error @ Error::NoKey { .. }) => of_error(WHAT, &error, true),
        Err(error) => of_error(WHAT, &error, false),
    }
}

/// The release key belongs offline; while it lies here, at least nobody else may read it.
pub(super) fn release_key(fleet: &Fleet) -> Option<Check> {
    const WHAT: &str = "release key";
    let path = fleet.folder.join("keys/release.pem");
    if !path.exists() {
        return None;
    }
    Some(match key::read(Some(&path)) {
        Ok(_) => Check::warn(
            WHAT,
            format!("{} is on this machine", path.display()),
            "Move it to an offline place; it is only needed to release agents.",
        ),
        Err(error) => of_error(WHAT, &error, false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_python_and_a_wrong_one_are_told() {
        let missing = python(Some(Path::new("/nonexistent/python")), &[]).await;
        assert!(missing[0].found.ends_with("is not there"), "{missing:?}");
        let wrong = python(Some(Path::new("/bin/echo")), &[]).await;
        assert!(
            wrong[0].found.contains("does not answer like Python"),
            "{wrong:?}"
        );
    }

    #[test]
    fn an_agent_that_is_not_there_is_told() {
        let check = agent(None);
        assert_eq!(check.state, e3_core::checkup::State::Warn);
        assert!(
            check
                .remedy
                .is_some_and(|remedy| remedy.contains("cargo build -p e3-agent"))
        );
    }

    #[tokio::test]
    async fn a_module_that_was_asked_for_must_be_there() {
        let checks = python(None, &["no_such_module_anywhere".to_owned()]).await;
        let module = checks
            .iter()
            .find(|c| c.found.starts_with("no_such_module_anywhere"));
        assert_eq!(
            module.map(|c| c.state),
            Some(e3_core::checkup::State::Fail),
            "{checks:?}"
        );
    }
}
