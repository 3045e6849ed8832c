//! One party's program, from Python's start to its end: what the session driver knows of all this.
//!
//! [`Party::launch`] starts Python, which imports MPyC and the declared modules and waits at the gate;
//! [`PartyEvent::AtGate`] says so. [`Party::open`] lets the program run. Whatever happens, the last event is one of
//! `Refused`, `Impostor`, `Broken` and `Ended`, and when it comes nothing of the program runs any more.

mod drive;
mod launcher;
mod peers;
mod ports;
mod sockets;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use e3_core::digest::Digest;
use e3_core::document::{Exit, Limits, Machine};
use e3_core::session::Reason;
use tokio::sync::{mpsc, oneshot};

pub use self::launcher::{LaunchError, Launcher};
pub use self::ports::port_holder;
use crate::gate::talk::Go;

/// What to run.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The manifest's digest.
    pub session: Digest,
    /// The session's folder: `stdout` and `stderr` are kept in it, for the owner alone.
    pub folder: PathBuf,
    /// The folder of the unpacked program; where Python starts, unless it has a file system of its own.
    pub work: PathBuf,
    /// The folder of the named inputs; the program finds them in `E3_INPUTS`.
    pub inputs: PathBuf,
    /// The folder of this party's TLS certificate and key, if the session has TLS.
    pub tls: Option<PathBuf>,
    /// The interpreter, absolute.
    pub python: PathBuf,
    /// The folder that has `mpyc/`.
    pub mpyc_dir: PathBuf,
    /// The version that MPyC must report.
    pub mpyc_version: String,
    /// Modules that must be there.
    pub modules: Vec<String>,
    /// MPyC's options, without the parties.
    pub flags: Vec<String>,
    /// The program's arguments.
    pub args: Vec<String>,
    /// The program, relative to the working directory.
    pub entry: String,
    /// What it may use.
    pub limits: Limits,
    /// Where MPyC listens for the other parties, if this one does.
    pub listen: Option<Listen>,
}

/// Where MPyC listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// An address of this machine, or a name of it.
    pub host: String,
    /// The preferred port; another one is taken if this is in use.
    pub port: u16,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartyEvent {
    /// Everything is imported and compiled, the port is bound, and the program waits for [`Party::open`].
    AtGate {
        /// What Python found.
        machine: Machine,
        /// The port that was bound, if this party listens.
        port: Option<u16>,
    },
    /// It cannot run. The last event.
    Refused(Reason),
    /// The program has started MPyC, which has connected these parties and not yet all.
    Reached(BTreeSet<usize>),
    /// MPyC has connected all parties.
    Connected,
    /// MPyC's last complaint while connecting, or a stranger's attempt to connect.
    ConnectError(String),
    /// Whoever came as this other party was somebody else, so the gate ended the run. The last event.
    Impostor(usize),
    /// It stood at the gate or ran, and cannot go on. The last event.
    Broken(Reason),
    /// The program ended, with everything that it started. The last event.
    Ended {
        /// How.
        exit: Exit,
        /// The type of the exception that ended it; its text stays on this machine.
        exception: Option<String>,
        /// Everything it printed.
        stdout: Vec<u8>,
    },
}

/// A program that was started. Dropping it ends the program.
#[derive(Debug)]
pub struct Party {
    commands: mpsc::UnboundedSender<Command>,
}

/// Where the other parties are besides their endpoints.
#[derive(Debug, Default)]
pub struct Around {
    /// Where their agents were seen: behind a NAT that differs.
    pub seen: Vec<IpAddr>,
    /// Addresses of this machine that stand for them, and for nothing else here.
    pub local: Vec<IpAddr>,
}

/// What the driver is told.
#[derive(Debug)]
enum Command {
    Open(Go, Around, oneshot::Sender<Result<(), Reason>>),
    Kill(oneshot::Sender<()>),
}

impl Party {
    /// Starts Python on its way to the gate.
    ///
    /// To be called on a thread that lives as long as the program; with a runtime of one thread, any task will do.
    pub async fn launch(
        launcher: &Launcher,
        spec: Spec,
    ) -> Result<(Self, mpsc::Receiver<PartyEvent>), Reason> {
        let (commands, inbox) = mpsc::unbounded_channel();
        let events = launcher.start(spec, inbox).await?;
        Ok((Self { commands }, events))
    }

    /// Opens the gate: the program runs as party `index` of those at `endpoints`, each `host:port`. With TLS between
    /// them if there are `authorities`: everybody's certificates, in order. A program that may reach nobody else may
    /// reach the endpoints, and what is [`Around`].
    pub async fn open(
        &self,
        index: usize,
        endpoints: Vec<String>,
        authorities: Option<String>,
        around: Around,
    ) -> Result<(), Reason> {
        let gone = || Reason::Supervisor {
            detail: "Python is not at the gate".to_owned(),
        };
        let (reply, answer) = oneshot::channel();
        let go = Go {
            index,
            parties: endpoints,
            ssl: authorities.is_some(),
            authorities,
        };
        self.commands
            .send(Command::Open(go, around, reply))
            .map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Ends the program; resolves when nothing of it is left. Does nothing if it has ended.
    pub async fn kill(&self) {
        let (reply, done) = oneshot::channel();
        if self.commands.send(Command::Kill(reply)).is_ok() {
            // An error means that the program ended meanwhile.
            let _ = done.await;
        }
    }
}

#[cfg(test)]
mod tests;
