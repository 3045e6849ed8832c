//! A fleet on this machine: a hub in a thread, agents as processes, everything in one folder.
//!
//! Used by the demo, by tests and by benchmarks. Whatever happens to this process, the agents end
//! with it: they watch their standard input.

mod hub;
mod party;

use std::path::{Path, PathBuf};
use std::time::Duration;

use e3_core::digest::Digest;
use e3_core::key::SecretKey;

use crate::commands::fleet::{OpenFleet, Stale, accept, new};
use crate::commands::session::push::{self, Pushed};
use crate::commands::session::{self, sign};
use crate::commands::{doctor, key};
use crate::error::Error;
use crate::index::{Wheel, resolve};
use crate::manifest::{self, bundle::Bundle};
use crate::output::progress::Progress;

use self::hub::HubThread;
pub(super) use self::hub::free_port;
pub use self::party::LocalParty;

/// How long all machines may take to enrol.
const ENROLMENT: Duration = Duration::from_mins(1);
/// Seconds between polls, unless somebody wants another number: the hub pushes, so this only matters
/// when something is broken.
const POLL: u32 = 2;

/// A running fleet.
pub struct LocalFleet {
    /// Everything lies below it.
    pub folder: PathBuf,
    /// The owner's view.
    pub open: OpenFleet,
    /// The one owner's key.
    pub owner: SecretKey,
    /// The machines.
    pub parties: Vec<LocalParty>,
    python: PathBuf,
    agent: PathBuf,
    poll: u32,
    hub: Option<HubThread>,
    temporary: Option<tempfile::TempDir>,
}

/// How a fleet shall be made.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// The folder to keep everything in, which must not exist; a temporary one if nothing is said.
    pub keep: Option<&'a Path>,
    /// The agent's program.
    pub agent: PathBuf,
    /// The Python that runs sessions.
    pub python: PathBuf,
    /// The parties' names.
    pub names: Vec<String>,
    /// Seconds between an agent's polls.
    pub poll: u32,
}

impl Options<'_> {
    /// The agent that `E3_AGENT` names, or that lies beside this program or in `PATH`; and the Python
    /// of `E3_PYTHON`, or `python3`.
    pub fn from_environment(names: Vec<String>) -> Result<Self, Error> {
        let python =
            std::env::var_os("E3_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
        Ok(Self {
            keep: None,
            agent: find_agent()?,
            python,
            names,
            poll: POLL,
        })
    }
}

impl LocalFleet {
    /// Makes keys, fleet, hub and machines, and waits until all machines have enrolled and been
    /// accepted.
    pub async fn start(options: Options<'_>) -> Result<Self, Error> {
        let Options {
            keep,
            agent,
            python,
            names,
            poll,
        } = options;
        let (folder, temporary) = place(keep)?;
        let owner = key::make(&folder.join("owner.pem"))?;
        // The port must be known before the fleet's file and the join files name it.
        let port = free_port()?;
        let plan = new::Plan::new(
            "demo".parse().expect("a constant name"),
            &format!("http://127.0.0.1:{port}"),
        );
        let created = new::create(&folder.join("fleet"), &plan, &owner)?;
        let hub = Some(HubThread::start(&created.fleet, &folder.join("hub"), port)?);
        let open = OpenFleet::at(created.fleet).await?;
        let mut fleet = Self {
            folder,
            open,
            owner,
            parties: Vec::new(),
            python,
            agent,
            poll,
            hub,
            temporary,
        };
        fleet.open.sync(Stale::Refuse).await?;
        for name in names {
            let party = LocalParty::prepare(&fleet, &name)?;
            fleet.parties.push(party);
        }
        for place in 0..fleet.parties.len() {
            fleet.start_agent(place)?;
        }
        fleet.enrolled().await?;
        Ok(fleet)
    }

    /// The hub's address.
    pub fn hub(&self) -> &str {
        self.open.hub.url()
    }

    /// Python, as the agents are configured.
    pub fn python(&self) -> &Path {
        &self.python
    }

    /// Starts a machine's agent, or starts it again.
    pub fn start_agent(&mut self, place: usize) -> Result<(), Error> {
        self.parties[place].start(&self.agent)
    }

    /// Kills a machine's agent as a power cut would.
    pub async fn kill_agent(&mut self, place: usize) {
        self.parties[place].kill().await;
    }

    /// Stops the hub; when this returns its port is free again.
    pub fn stop_hub(&mut self) {
        if let Some(hub) = self.hub.take() {
            hub.stop();
        }
    }

    /// Starts the hub again, where it was.
    pub fn start_hub(&mut self) -> Result<(), Error> {
        let port = self
            .open
            .hub
            .url()
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok())
            .unwrap_or(0);
        self.hub = Some(HubThread::start(
            &self.open.file,
            &self.folder.join("hub"),
            port,
        )?);
        Ok(())
    }

    /// Checks, signs and pushes the manifest in `path`, as a person would with three commands.
    pub async fn push(
        &mut self,
        path: &Path,
        tell: &mut dyn FnMut(Progress),
    ) -> Result<Pushed, Error> {
        let (bundle, _) = self.sign(path).await?;
        push::push(&mut self.open, &bundle, &self.owner, tell).await
    }

    /// Checks and signs the manifest in `path`; the bundle lies beside it.
    pub async fn sign(&self, path: &Path) -> Result<(Bundle, Wheel), Error> {
        let now = self.open.now();
        let checked = manifest::check(path, &self.open.file.view()?, now)?;
        let wheel = resolve(&checked.draft.mpyc, &session::sources(None)?).await;
        let wheel = wheel.map_err(manifest::ManifestError::from)?;
        let bundle = sign::create(
            &checked,
            &wheel,
            &self.owner,
            &path.with_extension("session"),
            now,
        )?;
        Ok((bundle, wheel))
    }

    /// What each party printed in that session.
    pub fn results(&self, manifest: &Digest) -> Vec<Option<String>> {
        self.parties
            .iter()
            .map(|party| party.stdout(manifest))
            .collect()
    }

    /// Stops everything. Returns the folder if it is kept.
    pub async fn stop(mut self) -> Option<PathBuf> {
        for place in 0..self.parties.len() {
            self.kill_agent(place).await;
        }
        self.stop_hub();
        self.temporary.is_none().then(|| self.folder.clone())
    }

    /// Waits until every machine has enrolled and told where it is.
    async fn enrolled(&mut self) -> Result<(), Error> {
        let deadline = tokio::time::Instant::now() + ENROLMENT;
        loop {
            let records = self.open.hub.parties().await?;
            if records
                .iter()
                .filter(|record| record.presence.is_some())
                .count()
                == self.parties.len()
            {
                accept::accept(&mut self.open, None).await?;
                return Ok(());
            }
            for party in &mut self.parties {
                if party.has_ended() {
                    return Err(party.complaint());
                }
            }
            if tokio::time::Instant::now() > deadline {
                let first = self.parties.first();
                let nobody = || Error::Agent {
                    name: String::new(),
                    log: String::new(),
                };
                return Err(first.map_or_else(nobody, LocalParty::complaint));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn place(keep: Option<&Path>) -> Result<(PathBuf, Option<tempfile::TempDir>), Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Folder {
            action: "make",
            path,
            source,
        }
    };
    if let Some(path) = keep {
        if path.exists() {
            return Err(Error::Exists {
                path: path.to_owned(),
            });
        }
        std::fs::create_dir_all(path).map_err(failed(path))?;
        let path = std::fs::canonicalize(path).map_err(failed(path))?;
        return Ok((path, None));
    }
    let folder = tempfile::Builder::new().prefix("e3-demo-").tempdir();
    let folder = folder.map_err(failed(&std::env::temp_dir()))?;
    Ok((folder.path().to_owned(), Some(folder)))
}

/// `E3_AGENT`, or the agent that `e3 doctor` finds.
fn find_agent() -> Result<PathBuf, Error> {
    let named = std::env::var_os("E3_AGENT").map(PathBuf::from);
    named
        .or_else(doctor::find_agent)
        .ok_or(Error::NoAgentBinary)
}

impl Drop for LocalFleet {
    fn drop(&mut self) {
        self.stop_hub();
    }
}
