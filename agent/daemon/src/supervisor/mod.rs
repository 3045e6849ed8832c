//! Starting a party's process, seeing it end, and leaving nothing of it behind.
//!
//! [`Supervisor`] is what the rest of the daemon knows. [`process`] stands in where there is no systemd, such
//! as on a laptop; [`systemd`] starts the template unit that ships in the image. What the process prints goes
//! through [`output`] in both cases, and what it says goes over a Unix socket that is not this module's business.

pub mod output;
mod proc;
pub mod process;
mod registry;
pub mod systemd;
mod tree;

use std::ffi::OsString;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use e3_client::files::FileError;
use e3_core::digest::Digest;
use e3_core::document::{Exit, Limits};
use e3_core::session::Reason;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::net::unix::pipe;

pub(crate) use self::proc::{is_stopped, tasks_of_this_user};
pub(crate) use self::registry::spawn_own;

/// Carries a job's id to everything that the job starts.
pub const JOB_VARIABLE: &str = "E3_JOB";

/// What to start.
#[derive(Debug, Clone)]
pub struct Job {
    /// Names the job on this machine, see [`job_id`].
    pub id: String,
    /// A folder of the job's own, mode 0700: notes for a restart are kept in it.
    pub dir: PathBuf,
    /// Where the program starts.
    pub cwd: PathBuf,
    /// An absolute path.
    pub program: PathBuf,
    /// Its arguments; never a secret, everybody on the machine can read them.
    pub args: Vec<OsString>,
    /// The whole environment; never a secret either.
    pub env: Vec<(OsString, OsString)>,
    /// The files that it is about, for a supervisor that shows it nothing else.
    pub files: Files,
    /// What it may use, for a supervisor that can bound it.
    pub limits: Limits,
}

/// A session's files, where the agent has laid them out.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// The gate's program.
    pub gate: PathBuf,
    /// The folder of the session's program.
    pub program: PathBuf,
    /// The folder that has `mpyc/`.
    pub mpyc: PathBuf,
    /// The folder of the named inputs.
    pub inputs: PathBuf,
    /// The folder of this party's TLS certificate and key, if the session has TLS.
    pub tls: Option<PathBuf>,
}

/// How a job that was prepared will find the world.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// Where the gate's socket must be; anywhere if `None`.
    pub socket: Option<PathBuf>,
    /// What the job sees in place of the machine's file system; `None` if that is the machine's.
    pub view: Option<View>,
}

/// A file system of the job's own, with the paths that files have there. Whoever has one also has a user of its own.
#[derive(Debug, Clone)]
pub struct View {
    /// The folder that has `mpyc/`.
    pub mpyc: &'static str,
    /// The folder of the session's program.
    pub program: &'static str,
    /// The folder of the inputs that do not come as credentials.
    pub large: &'static str,
    /// The working directory, which is also the program's home.
    pub work: &'static str,
    /// The folder in which the program looks for its inputs.
    pub inputs: &'static str,
}

/// The id of the job of this session in this folder: 32 hexadecimal digits, the same after a restart, and
/// different for two agents on one machine that run the same session.
pub fn job_id(session: &Digest, dir: &Path) -> String {
    let mut text = session.as_bytes().to_vec();
    text.extend(dir.as_os_str().as_encoded_bytes());
    Digest::of(&text).hex()[..32].to_owned()
}

/// A job that runs, and the reading ends of what it prints to.
pub struct Started {
    /// The job.
    pub running: Box<dyn Running>,
    /// Its standard output.
    pub stdout: pipe::Receiver,
    /// Its standard error.
    pub stderr: pipe::Receiver,
}

/// Starts jobs.
///
/// An implementer promises:
/// - the process gets the job's environment and nothing else, no standard input, and no open file but the two pipes;
/// - [`Running::ended`] and [`Running::kill`] resolve only when nothing of the job is left, as far as the
///   implementation can know its members; each says how far that is;
/// - two jobs with different ids never touch each other.
pub trait Supervisor: Send + Sync {
    /// Lays out what the job will find, and says where that is. Comes before [`Supervisor::start`].
    fn prepare(&self, _job: &Job) -> Result<Place, SupervisorError> {
        Ok(Place::default())
    }

    /// Starts the job. On error nothing of it runs.
    fn start<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Started, SupervisorError>>;

    /// Ends what an agent that was killed left running of the job with this id and folder; resolves when nothing is
    /// left. Returns how many processes there were, 0 on most days.
    fn reap_leftovers<'a>(
        &'a self,
        id: &'a str,
        dir: &'a Path,
    ) -> BoxFuture<'a, Result<usize, SupervisorError>>;

    /// Whether the supervisor itself bounds a job's memory and processes. If not, the gate is asked to do what can be
    /// done from inside.
    fn bounds_resources(&self) -> bool;

    /// Whether jobs could be started now; the error names what is missing.
    fn check(&self) -> BoxFuture<'_, Result<(), SupervisorError>> {
        Box::pin(async { Ok(()) })
    }

    /// What happens from now on that may change the answer of [`Supervisor::check`]. The stream ends when it can tell
    /// no more, which is such a change itself.
    fn changes(&self) -> BoxFuture<'_, Result<BoxStream<'static, ()>, SupervisorError>> {
        Box::pin(async { Ok(stream::pending().boxed()) })
    }
}

/// A job that was started.
///
/// Dropping it ends the job at once, as well as that can be done without waiting.
pub trait Running: Send {
    /// The main process, if it is known; then it is the one that may open the gate's socket.
    fn main_pid(&self) -> Option<u32>;

    /// Whether the job reaches no address of the network but those that it is allowed. A job that must be confined
    /// proves that it is, see `gate.py`: not every kernel keeps what is asked of it.
    fn is_confined(&self) -> bool {
        false
    }

    /// Lets a job that is confined reach these addresses, and no other.
    fn allow<'a>(&'a mut self, _peers: &'a [IpAddr]) -> BoxFuture<'a, Result<(), SupervisorError>> {
        Box::pin(async { Ok(()) })
    }

    /// Waits until the main process has ended, then ends what it left behind. Safe to cancel and to call again.
    fn ended(&mut self) -> BoxFuture<'_, Result<Exit, SupervisorError>>;

    /// Ends the job: asks politely, and after 2 s no longer. Safe to call again, at any time.
    fn kill(&mut self) -> BoxFuture<'_, Result<(), SupervisorError>>;
}

/// Why a job cannot be started or ended.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// The program does not start.
    #[error("cannot start {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The machine does not let the agent do its work.
    #[error("cannot {what}")]
    System {
        /// What it tried.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A note for the restart cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something of the job is still there. It holds a device or is in the kernel; only a reboot helps.
    #[error("these processes do not end even when killed: {pids:?}")]
    Survivors {
        /// Their ids.
        pids: Vec<u32>,
    },
    /// The folder that a unit reads cannot be made.
    #[error("cannot prepare {}; is run-e3party.mount active, and is this the user e3?", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no way to systemd.
    #[error("systemd cannot be reached over the system bus; is dbus running?")]
    NoBus(#[source] zbus::Error),
    /// systemd, or polkit for it, does not let this user do it.
    #[error(
        "systemd does not let this user {call} {unit}; is polkit running, and is E3's rule in \
         /usr/share/polkit-1/rules.d/50-e3.rules?"
    )]
    NotAllowed {
        /// The verb.
        call: &'static str,
        /// The unit.
        unit: String,
        /// systemd's words.
        source: zbus::Error,
    },
    /// The unit does not ship with this machine, or cannot be read.
    #[error(
        "systemd has no usable {unit} ({state}); install E3's units and run `systemctl daemon-reload`"
    )]
    NoUnit {
        /// The unit.
        unit: String,
        /// systemd's word: `not-found`, `bad-setting`, `masked`, …
        state: String,
    },
    /// The bus, or systemd behind it, says no.
    #[error("systemd could not {call} {unit}")]
    Bus {
        /// The verb, method or property.
        call: &'static str,
        /// The unit.
        unit: String,
        /// Why.
        source: zbus::Error,
    },
    /// systemd's job for the unit did not end well.
    #[error("systemd could not {call} {unit}: {result}; see `journalctl -u {unit}`")]
    UnitJob {
        /// `start` or `stop`.
        call: &'static str,
        /// The unit.
        unit: String,
        /// systemd's word: `failed`, `timeout`, `dependency`, …, and at which step.
        result: String,
    },
    /// No answer in time.
    #[error("systemd did not {call} {unit} within {seconds} s")]
    UnitTimeout {
        /// `start` or `stop`.
        call: &'static str,
        /// The unit.
        unit: String,
        /// The deadline.
        seconds: u64,
    },
    /// Whether sessions can be started is not known yet.
    #[error(
        "systemd has not said for {seconds} s whether this user may manage sessions; is polkit running?"
    )]
    NoAnswer {
        /// So long.
        seconds: u64,
    },
}

impl From<SupervisorError> for Reason {
    fn from(error: SupervisorError) -> Self {
        Self::Supervisor {
            detail: crate::text::chain(&error),
        }
    }
}
