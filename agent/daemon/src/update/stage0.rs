//! Stage 0: what `e3-agent run` does first in the installed binary. It chooses what runs, makes sure
//! that it is what was signed, notes the start on the disk, and becomes it.
//!
//! The installed binary is what systemd starts and always complete: at any doubt it goes on itself,
//! with a reason. What it executes keeps its process id, so readiness and watchdog go on as if
//! nothing had happened, and a binary that never gets ready is ended by whoever started the agent.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use e3_core::digest::Digest;
use e3_core::update::{Action, Event, Image, State, Trouble, step};

use super::VERSION;
use super::disk::Disk;
use crate::config::Settings;

/// Says to a binary that stage 0 has started it, and which one it is. It is also the guard against
/// loops: with it nothing is chosen any more.
const IMAGE: &str = "E3_AGENT_IMAGE";
/// The installed binary, and its version.
const INSTALLED: &str = "E3_AGENT_INSTALLED";
const INSTALLED_VERSION: &str = "E3_AGENT_INSTALLED_VERSION";
/// Each image that is not whole costs one more look, and there are three.
const LOOKS: usize = 4;

/// How the agent that goes on has come to run.
#[derive(Debug, Clone, Default)]
pub struct Entered {
    /// The file that runs; nothing if it is the installed one.
    pub image: Option<Digest>,
    /// The version of the installed one.
    pub installed: String,
    /// Why what should run does not.
    pub trouble: Option<Trouble>,
    /// Where this process can read the installed binary, if that is what runs.
    pub binary: Option<PathBuf>,
}

impl Entered {
    fn installed(trouble: Option<Trouble>) -> Self {
        Self {
            image: None,
            installed: VERSION.to_owned(),
            trouble,
            // The very file, whatever its path names meanwhile.
            binary: Some("/proc/self/exe".into()),
        }
    }
}

/// Chooses, and executes what it has chosen. Returns only to what goes on in this process.
pub fn enter(settings: &Settings) -> Entered {
    if let Some(image) = std::env::var_os(IMAGE) {
        let image = image.to_str().and_then(|hex| Digest::from_hex(hex).ok());
        let installed = std::env::var(INSTALLED_VERSION).unwrap_or_else(|_| VERSION.to_owned());
        return Entered {
            image,
            installed,
            trouble: None,
            binary: None,
        };
    }
    if !settings.update {
        return Entered::installed(None);
    }
    let entered = Entered::installed(choose(&Disk::new(&settings.state), settings).err());
    if let Some(trouble) = &entered.trouble {
        tracing::warn!(%trouble, "the installed agent goes on");
    }
    entered
}

/// `Ok` if the installed binary is what should run.
fn choose(disk: &Disk, settings: &Settings) -> Result<(), Trouble> {
    let in_state = |error: &dyn std::error::Error| Trouble::State {
        detail: crate::text::chain(error),
    };
    let mut state = disk.load().map_err(|error| in_state(&error))?;
    if state.committed.is_none() && state.candidate.is_none() {
        return Ok(());
    }
    // Held until this process becomes another one: whoever runs already counts its own starts.
    let Ok(_only_one) = crate::lock::take(&settings.state) else {
        return Ok(());
    };
    let root = disk.root().map_err(|error| in_state(&error))?;
    let Some(root) = root else {
        let detail = "there is no trust state to check a binary against".to_owned();
        return Err(Trouble::State { detail });
    };
    let mut trouble = None;
    for _ in 0..LOOKS {
        let installed = VERSION.to_owned();
        let (next, actions) = step(state.clone(), Event::Start { installed });
        let Some(Action::Execute(image)) = actions.first() else {
            save(disk, &state, &next);
            break;
        };
        match disk.open(&root, image) {
            Err(detail) => {
                tracing::warn!(version = %image.version, %detail, "a binary is not what was signed");
                let file = image.file.digest;
                let (without, _) = step(state.clone(), Event::Spoilt { file, detail });
                save(disk, &state, &without);
                trouble.clone_from(&without.trouble);
                state = without;
            }
            // Nothing is tried that could not be counted; what has proved itself needs no counting.
            Ok(_) if is_trial(&next, image) && !save(disk, &state, &next) => {
                let detail = "a trial cannot be noted on the disk".to_owned();
                trouble = Some(Trouble::State { detail });
                state.candidate = None;
            }
            Ok(file) => {
                if !is_trial(&next, image) {
                    save(disk, &state, &next);
                }
                tracing::info!(version = %image.version, file = %image.file.digest, "executes an update");
                let Err(error) = execute(&file, image);
                let (version, detail) = (image.version.clone(), error.to_string());
                return Err(Trouble::NotExecutable { version, detail });
            }
        }
    }
    trouble.map_or(Ok(()), Err)
}

fn is_trial(state: &State, image: &Image) -> bool {
    let candidate = state.candidate.as_ref();
    candidate.is_some_and(|candidate| candidate.image == *image)
}

fn save(disk: &Disk, old: &State, new: &State) -> bool {
    if old == new {
        return true;
    }
    match disk.save(new) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(error = %crate::text::chain(&error), "the state of updates cannot be written");
            false
        }
    }
}

/// Becomes the open file, with the same arguments.
fn execute(file: &File, image: &Image) -> Result<Infallible, std::io::Error> {
    let c = |text: OsString| CString::new(text.into_vec()).map_err(std::io::Error::other);
    let args: Vec<_> = std::env::args_os().map(c).collect::<Result<_, _>>()?;
    let mut environment = Vec::new();
    for (name, value) in std::env::vars_os() {
        environment.push(c([name, "=".into(), value].into_iter().collect())?);
    }
    let installed = std::env::current_exe()?;
    for (name, value) in [
        (IMAGE, image.file.digest.hex().into()),
        (INSTALLED, installed.into_os_string()),
        (INSTALLED_VERSION, VERSION.into()),
    ] {
        environment.push(c([name.into(), "=".into(), value].into_iter().collect())?);
    }
    Ok(nix::unistd::fexecve(file, &args, &environment)?)
}

/// Starts over: becomes the installed binary again, which chooses anew. Returns only if it cannot.
pub fn again() -> std::io::Error {
    let installed = std::env::var_os(INSTALLED).map(PathBuf::from);
    let installed = match installed.map_or_else(std::env::current_exe, Ok) {
        Ok(path) => path,
        Err(error) => return error,
    };
    std::process::Command::new(installed)
        .args(std::env::args_os().skip(1))
        .env_remove(IMAGE)
        .env_remove(INSTALLED)
        .env_remove(INSTALLED_VERSION)
        .exec()
}
