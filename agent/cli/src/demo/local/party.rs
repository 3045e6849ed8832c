//! One machine of a fleet on this machine: its folder, and its agent as a process.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use e3_core::digest::Digest;
use e3_core::name::Name;
use tokio::process::{Child, Command};

use super::LocalFleet;
use crate::commands::fleet::invite;
use crate::error::Error;

/// An invite's lifetime in seconds.
const INVITE: u64 = 3600;
/// An agent's log is read to its end, if it is not longer than this.
const LOG: usize = 16 * 1024 * 1024;

/// One machine of it.
pub struct LocalParty {
    /// Its name.
    pub name: Name,
    /// Its folder: join file, policy, inputs, log, state.
    pub folder: PathBuf,
    process: Option<Child>,
}

impl LocalParty {
    /// The owner's policy for this machine.
    pub fn policy(&self) -> PathBuf {
        self.folder.join("policy.toml")
    }

    /// The agent's state folder.
    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The agent's configuration.
    pub fn config(&self) -> PathBuf {
        self.folder.join("agent.toml")
    }

    /// The agent's process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(Child::id)
    }

    /// What the program of that session printed here.
    pub fn stdout(&self, manifest: &Digest) -> Option<String> {
        let path = self
            .state()
            .join("sessions")
            .join(manifest.hex())
            .join("stdout");
        let limit = usize::try_from(e3_core::limits::OUTPUT).unwrap_or(usize::MAX);
        let bytes = e3_client::files::read_bounded(&path, limit).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Starts the agent, or starts it again.
    pub(super) fn start(&mut self, agent: &Path) -> Result<(), Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Folder {
                action: "start",
                path,
                source,
            }
        };
        let log_path = self.folder.join("agent.log");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_path);
        let log = log.map_err(failed(&log_path))?;
        let process = Command::new(agent)
            .args(["run", "--while-stdin", "--config"])
            .arg(self.config())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed(agent))?;
        self.process = Some(process);
        Ok(())
    }

    /// Kills the agent as a power cut would.
    pub(super) async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.kill().await;
        }
    }

    /// Whether the agent has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        let process = self.process.as_mut();
        process.is_some_and(|process| matches!(process.try_wait(), Ok(Some(_))))
    }

    /// That the agent does not come up, with the last lines of its log.
    pub(super) fn complaint(&self) -> Error {
        let log = e3_client::files::read_bounded(&self.folder.join("agent.log"), LOG);
        let log = log.unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().rev().take(3).collect();
        Error::Agent {
            name: self.name.to_string(),
            log: lines.into_iter().rev().collect::<Vec<_>>().join("\n"),
        }
    }

    /// Makes the folder of a machine of that name: join file and configuration.
    pub(super) fn prepare(fleet: &LocalFleet, name: &str) -> Result<Self, Error> {
        let name: Name = name.parse().map_err(|_| Error::Usage {
            message: format!("`{name}` is no name"),
            remedy: "Use lower-case letters, digits and dashes.",
        })?;
        let folder = fleet.folder.join(name.as_str());
        e3_client::files::private_folder(&folder)?;
        let invited = invite::invite(&fleet.open, &name, &fleet.owner, INVITE)?;
        let join = invite::join_file(&fleet.open, &invited)?;
        e3_client::files::write_private(&folder.join("e3.toml"), join.as_bytes())?;
        let party = Self {
            name,
            folder,
            process: None,
        };
        let path = |path: PathBuf| toml_edit::value(path.to_string_lossy().into_owned());
        let mut config = toml_edit::DocumentMut::new();
        config["state"] = path(party.state());
        config["run"] = path(party.folder.join("run"));
        let join = party.folder.join("e3.toml").to_string_lossy().into_owned();
        config["join"] = toml_edit::value(std::iter::once(join).collect::<toml_edit::Array>());
        config["policy"] = path(party.policy());
        config["listen"] = toml_edit::value("127.0.0.1:0");
        config["advertise"] =
            toml_edit::value(std::iter::once("127.0.0.1").collect::<toml_edit::Array>());
        config["poll_seconds"] = toml_edit::value(i64::from(fleet.poll));
        config["python"] = path(fleet.python.clone());
        e3_client::files::write_atomic(&party.config(), config.to_string().as_bytes())?;
        Ok(party)
    }
}
