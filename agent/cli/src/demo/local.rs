//! A fleet on this machine: a hub in a thread, agents as processes, everything in one folder.
//!
//! Used by the demo, by tests and by benchmarks. Whatever happens to this process, the agents end
//! with it: they watch their standard input.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use e3_client::clock;
use e3_core::digest::Digest;
use e3_core::key::SecretKey;
use e3_core::name::Name;
use e3_hub::{Location, Settings};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use crate::commands::fleet::{OpenFleet, Stale, accept, invite, new};
use crate::commands::session::push::{self, Pushed};
use crate::commands::session::{self, sign};
use crate::commands::{doctor, hub, key};
use crate::error::Error;
use crate::fleet_file::Fleet;
use crate::index::{Wheel, resolve};
use crate::manifest::{self, bundle::Bundle};
use crate::output::progress::Progress;

/// How long all machines may take to enrol.
const ENROLMENT: Duration = Duration::from_mins(1);
/// Seconds between polls, unless somebody wants another number: the hub pushes, so this only matters
/// when something is broken.
const POLL: u32 = 2;
/// An invite's lifetime in seconds.
const INVITE: u64 = 3600;
/// An agent's log is read to its end, if it is not longer than this.
const LOG: usize = 16 * 1024 * 1024;

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

/// One machine of it.
pub struct LocalParty {
    /// Its name.
    pub name: Name,
    /// Its folder: join file, policy, inputs, log, state.
    pub folder: PathBuf,
    process: Option<Child>,
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

struct HubThread {
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
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
            let party = fleet.prepare(&name)?;
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
        let party = &mut self.parties[place];
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Folder {
                action: "start",
                path,
                source,
            }
        };
        let log_path = party.folder.join("agent.log");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_path);
        let log = log.map_err(failed(&log_path))?;
        let process = Command::new(&self.agent)
            .args(["run", "--while-stdin", "--config"])
            .arg(party.config())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed(&self.agent))?;
        party.process = Some(process);
        Ok(())
    }

    /// Kills a machine's agent as a power cut would.
    pub async fn kill_agent(&mut self, place: usize) {
        if let Some(mut process) = self.parties[place].process.take() {
            // It may have ended by itself.
            let _ = process.kill().await;
        }
    }

    /// Stops the hub; when this returns its port is free again.
    pub fn stop_hub(&mut self) {
        if let Some(HubThread { stop, thread }) = self.hub.take() {
            let _ = stop.send(());
            let _ = thread.join();
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

    fn prepare(&self, name: &str) -> Result<LocalParty, Error> {
        let name: Name = name.parse().map_err(|_| Error::Usage {
            message: format!("`{name}` is no name"),
            remedy: "Use lower-case letters, digits and dashes.",
        })?;
        let folder = self.folder.join(name.as_str());
        e3_client::files::private_folder(&folder)?;
        let invited = invite::invite(&self.open, &name, &self.owner, INVITE)?;
        let join = invite::join_file(&self.open, &invited)?;
        e3_client::files::write_private(&folder.join("e3.toml"), join.as_bytes())?;
        let party = LocalParty {
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
        config["poll_seconds"] = toml_edit::value(i64::from(self.poll));
        config["python"] = path(self.python.clone());
        e3_client::files::write_atomic(&party.config(), config.to_string().as_bytes())?;
        Ok(party)
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
                if let Some(process) = &mut party.process
                    && let Ok(Some(_)) = process.try_wait()
                {
                    return Err(Error::Agent {
                        name: party.name.to_string(),
                        log: last_words(&party.folder),
                    });
                }
            }
            if tokio::time::Instant::now() > deadline {
                let name = self
                    .parties
                    .first()
                    .map_or_else(String::new, |party| party.name.to_string());
                let log = self
                    .parties
                    .first()
                    .map_or_else(String::new, |party| last_words(&party.folder));
                return Err(Error::Agent { name, log });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The last lines of an agent's log.
fn last_words(folder: &Path) -> String {
    let log = e3_client::files::read_bounded(&folder.join("agent.log"), LOG).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().rev().take(3).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
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

/// A port of this machine that nobody holds right now.
pub(super) fn free_port() -> Result<u16, Error> {
    let bound =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(Error::Runtime)
}

impl HubThread {
    /// The hub has a thread of its own, so that nothing that is measured here waits for it.
    fn start(fleet: &Fleet, store: &Path, port: u16) -> Result<Self, Error> {
        let settings = Settings::new(
            Location::Folder(store.to_owned()),
            ([127, 0, 0, 1], port).into(),
            clock::now,
        );
        let fleet = fleet.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
            {
                Ok(runtime) => runtime,
                Err(error) => return drop(tell.send(Err(Error::Runtime(error)))),
            };
            runtime.block_on(async {
                let (end, ended) = oneshot::channel::<()>();
                let shutdown = async { drop(ended.await) };
                match hub::serve::start(Some(&fleet), settings, shutdown).await {
                    Ok(bound) => {
                        let _ = tell.send(Ok(()));
                        let _ = stopped.await;
                        let _ = end.send(());
                        bound.stopped().await;
                    }
                    Err(error) => drop(tell.send(Err(error))),
                }
            });
        });
        let gone = || Error::Runtime(std::io::Error::other("the hub's thread has ended"));
        told.recv().map_err(|_| gone())??;
        Ok(Self { stop, thread })
    }
}

impl Drop for LocalFleet {
    fn drop(&mut self) {
        self.stop_hub();
    }
}
