//! What all parties of one agent share: the supervisor, the gate's program, the folders. Starting one.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use e3_client::files::{self, FileError};
use e3_core::digest::Digest;
use e3_core::session::Reason;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;

use super::drive::Drive;
use super::{Command, PartyEvent, Spec, sockets};
use crate::config;
use crate::gate::link::Door;
use crate::gate::talk::{self, Order};
use crate::supervisor::output::{Keep, Output, Trouble};
use crate::supervisor::process::Processes;
use crate::supervisor::systemd::Systemd;
use crate::supervisor::{Files, Job, Supervisor, SupervisorError, View, job_id};

/// Of standard error: what is shown when Python dies at the gate, in bytes.
const ERROR_TAIL: usize = 4 << 10;
/// Of standard error: what the owner can read later, in bytes.
const ERROR_FILE: u64 = 1 << 20;
/// Events that wait for the session driver.
const EVENTS: usize = 64;
/// Processes of this user besides the party's, which may come and go: the kernel counts per user.
const OTHER_TASKS: u64 = 1024;
/// Where programs are looked for, by whoever still does.
const SEARCH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Starts parties.
#[derive(Clone)]
pub struct Launcher {
    supervisor: Arc<dyn Supervisor>,
    gate: PathBuf,
    jobs: PathBuf,
    sockets: PathBuf,
    unfiltered: bool,
}

/// Why no party can be started on this machine.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The supervisor cannot work.
    #[error("the supervisor cannot work here")]
    Supervisor(#[from] SupervisorError),
    /// The gate's program cannot be written.
    #[error("the gate's program cannot be written")]
    Gate(#[from] FileError),
    /// There is no place for sockets.
    #[error("there is no place for the gate's sockets")]
    Sockets(#[source] io::Error),
}

impl Launcher {
    /// A launcher with the configured supervisor, for the agent with these folders.
    pub fn new(kind: config::Supervisor, state: &Path, run: &Path) -> Result<Self, LaunchError> {
        let supervisor: Arc<dyn Supervisor> = match kind {
            config::Supervisor::Process => Arc::new(Processes::new()?),
            config::Supervisor::Systemd => Arc::new(Systemd::new()),
        };
        Self::with(supervisor, state, run)
    }

    /// A launcher with this supervisor.
    pub fn with(
        supervisor: Arc<dyn Supervisor>,
        state: &Path,
        run: &Path,
    ) -> Result<Self, LaunchError> {
        let jobs = std::path::absolute(state)
            .map_err(LaunchError::Sockets)?
            .join("jobs");
        files::private_folder(&jobs)?;
        let sockets = sockets::folder(run).map_err(LaunchError::Sockets)?;
        let gate =
            crate::gate::install(&std::path::absolute(state).map_err(LaunchError::Sockets)?)?;
        Ok(Self {
            supervisor,
            gate,
            jobs,
            sockets,
            unfiltered: false,
        })
    }

    /// Whether programs may run although the kernel does not keep them from the network.
    #[must_use]
    pub fn unfiltered(self, unfiltered: bool) -> Self {
        Self { unfiltered, ..self }
    }

    /// Whether parties could be started now; the error names what is missing.
    pub async fn check(&self) -> Result<(), SupervisorError> {
        self.supervisor.check().await
    }

    /// What happens from now on that may change the answer of [`Launcher::check`].
    pub async fn changes(&self) -> Result<BoxStream<'static, ()>, SupervisorError> {
        self.supervisor.changes().await
    }

    /// Ends what an agent that was killed left running of this session. What cannot be ended is logged.
    pub async fn kill_leftovers(&self, session: &Digest) {
        let (id, folder) = self.job(session);
        match self.supervisor.reap_leftovers(&id, &folder).await {
            Ok(0) => {}
            Ok(processes) => {
                tracing::warn!(%session, processes, "ended what a killed agent had left running");
            }
            Err(error) => {
                tracing::error!(%session, error = %crate::text::chain(&error), "something is left running");
            }
        }
        let _ = std::fs::remove_dir_all(&folder);
        let _ = std::fs::remove_file(self.sockets.join(sockets::name(&id)));
    }

    /// The job's id and its folder.
    fn job(&self, session: &Digest) -> (String, PathBuf) {
        let id = job_id(session, &self.jobs);
        let folder = self.jobs.join(&id);
        (id, folder)
    }

    pub(super) async fn start(
        &self,
        spec: Spec,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Result<mpsc::Receiver<PartyEvent>, Reason> {
        let disk = |path: &Path, error: io::Error| Reason::Disk {
            detail: format!("{}: {error}", path.display()),
        };
        let (id, folder) = self.job(&spec.session);
        files::private_folder(&folder).map_err(|error| Reason::Disk {
            detail: crate::text::chain(&error),
        })?;
        let own = self.sockets.join(sockets::name(&id));
        let mut job = Job {
            id,
            dir: folder.clone(),
            cwd: spec.work.clone(),
            program: spec.python.clone(),
            args: Vec::new(),
            env: environment(&spec, &spec.work, &spec.inputs),
            files: Files {
                gate: self.gate.clone(),
                program: spec.work.clone(),
                mpyc: spec.mpyc_dir.clone(),
                inputs: spec.inputs.clone(),
                tls: spec.tls.clone(),
            },
            limits: spec.limits,
        };
        let place = self.supervisor.prepare(&job)?;
        let socket = place.socket.clone().unwrap_or(own);
        let door = Door::open(socket.clone()).map_err(|error| disk(&socket, error))?;
        let order = self.order(&spec, place.view.as_ref())?;
        job.args = ["-I".into(), self.gate.clone().into(), socket.into()].to_vec();
        let started = self.supervisor.start(&job).await?;
        let (trouble, troubles) = mpsc::unbounded_channel::<Trouble>();
        let capture = |pipe, name: &str, keep| {
            let path = spec.folder.join(name);
            Output::start(pipe, &path, keep, trouble.clone()).map_err(|error| disk(&path, error))
        };
        // On an error `started` is dropped, and with it the job ends.
        let stdout = capture(started.stdout, "stdout", Keep::All(spec.limits.output))?;
        let stderr = capture(
            started.stderr,
            "stderr",
            Keep::Tail {
                memory: ERROR_TAIL,
                file: ERROR_FILE,
            },
        )?;
        let (events, heard) = mpsc::channel(EVENTS);
        let drive = Drive {
            running: started.running,
            folder,
            output_limit: spec.limits.output,
            unfiltered: self.unfiltered,
            stdout,
            stderr,
            troubles,
            commands,
            events,
        };
        tokio::spawn(drive.run(door, order));
        Ok(heard)
    }

    fn order(&self, spec: &Spec, view: Option<&View>) -> Result<Order, Reason> {
        let mpyc_dir = spec.mpyc_dir.to_str().ok_or_else(|| Reason::Supervisor {
            detail: "the path of MPyC's folder is not UTF-8".to_owned(),
        })?;
        let layout = view.map(|view| {
            let environment = environment(spec, Path::new(view.work), Path::new(view.inputs));
            let text = |text: &OsString| text.to_string_lossy().into_owned();
            talk::Layout {
                program: view.program,
                large: view.large,
                environment: environment
                    .iter()
                    .map(|(name, value)| (text(name), text(value)))
                    .collect(),
            }
        });
        let limits = if self.supervisor.bounds_resources() {
            talk::Limits::default()
        } else {
            // Where the job has a file system of its own it has a user of its own, too.
            let others = match view {
                Some(_) => 0,
                None => crate::supervisor::tasks_of_this_user() + OTHER_TASKS,
            };
            // Processor time has no bound here but the deadline of the run.
            talk::Limits {
                memory: Some(spec.limits.memory),
                cpu: None,
                processes: Some(others + u64::from(spec.limits.tasks)),
            }
        };
        let listen = spec.listen.clone();
        let listen = listen.map(|listen| talk::Listen {
            host: listen.host,
            port: listen.port,
            required: false,
        });
        Ok(Order {
            mpyc_dir: view.map_or(mpyc_dir, |view| view.mpyc).to_owned(),
            mpyc_version: spec.mpyc_version.clone(),
            modules: spec.modules.clone(),
            flags: spec.flags.clone(),
            args: spec.args.clone(),
            script: spec.entry.clone(),
            limits,
            listen,
            tls: spec.tls.clone().filter(|_| layout.is_none()),
            layout,
        })
    }
}

/// The program's whole environment: the same on every machine but for the two paths.
fn environment(spec: &Spec, home: &Path, inputs: &Path) -> Vec<(OsString, OsString)> {
    // numpy's libraries would start a thread, and reserve memory for it, per core of the machine.
    let threads = spec.limits.cpu.div_ceil(100).to_string();
    vec![
        ("PATH".into(), SEARCH.into()),
        ("LANG".into(), "C.UTF-8".into()),
        ("HOME".into(), home.into()),
        ("E3_INPUTS".into(), inputs.into()),
        ("OMP_NUM_THREADS".into(), threads.clone().into()),
        ("OPENBLAS_NUM_THREADS".into(), threads.into()),
    ]
}
