//! The supervisor for machines without systemd: a child process and everything that comes of it.
//!
//! What holds without cgroups, and without being root:
//! - The process has a group of its own, an empty environment but for the job's, no input, no files of the agent.
//! - While the agent lives: when the main process ends, or is killed, all members of the job are killed and reaped
//!   before anybody hears of the end. Forks, new sessions (`setsid`), double forks, ignored signals and fork bombs are
//!   covered; `tree.rs` says who counts as a member, and the ways of a hostile program around it.
//! - When the agent is killed, the gate ends by itself (its socket closes, and the kernel tells it), and
//!   [`Supervisor::reap_leftovers`] of the next agent ends whatever still carries the job's id.
//! - Memory, processor time and the number of processes are limited only as far as the gate can do that from inside.
//!
//! The main process is not reaped before the others are gone: its id, which is also the group's, cannot go to
//! somebody else in between.

use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{fs, io};

use e3_client::files;
use e3_core::document::Exit;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::tree::Tree;
use super::{JOB_VARIABLE, Job, Running, Started, Supervisor, SupervisorError, proc, registry};

/// Between asking and killing.
const POLITE: Duration = Duration::from_secs(2);
/// Adopted processes that ended are collected at most this often while a job runs.
const COLLECT_EVERY: Duration = Duration::from_secs(1);
/// For a job that is dropped: the agent is going, too.
const DROP_PATIENCE: Duration = Duration::from_secs(1);
/// The note for the next agent, in the session's folder.
const NOTE: &str = "process.json";
/// A note's length.
const NOTE_BYTES: usize = 4096;

/// The supervisor.
#[derive(Debug)]
pub struct Processes(());

/// Names a process beyond restarts of the agent and of the machine.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    pid: u32,
    started: u64,
    boot: String,
}

impl Processes {
    /// Makes this process the parent of everything that its jobs leave without one. Call it once, early.
    pub fn new() -> Result<Self, SupervisorError> {
        let set = nix::sys::prctl::set_child_subreaper(true);
        set.map_err(|errno| SupervisorError::System {
            what: "adopt orphaned processes",
            source: errno.into(),
        })?;
        Ok(Self(()))
    }
}

impl Supervisor for Processes {
    /// Must be called on a thread that lives as long as the job: the gate asks the kernel to end it with its parent,
    /// and that is the thread that started it.
    fn start<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Started, SupervisorError>> {
        async move { start(job) }.boxed()
    }

    fn reap_leftovers<'a>(
        &'a self,
        id: &'a str,
        dir: &'a Path,
    ) -> BoxFuture<'a, Result<usize, SupervisorError>> {
        reap_leftovers(id, dir).boxed()
    }

    fn bounds_resources(&self) -> bool {
        false
    }
}

fn start(job: &Job) -> Result<Started, SupervisorError> {
    let system = |what| move |source| SupervisorError::System { what, source };
    // Before the start: no end may be missed.
    let ends = signal(SignalKind::child()).map_err(system("watch for the end of processes"))?;
    let (stdout, out) = make_pipe().map_err(system("make a pipe"))?;
    let (stderr, err) = make_pipe().map_err(system("make a pipe"))?;
    let mut command = Command::new(&job.program);
    command
        .args(&job.args)
        .env_clear()
        .envs(job.env.iter().map(|(name, value)| (name, value)));
    command
        .env(JOB_VARIABLE, &job.id)
        .current_dir(&job.cwd)
        .process_group(0);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::from(out))
        .stderr(Stdio::from(err));
    let started = registry::spawn_main(&mut command, &job.id);
    let child = started.map_err(|source| SupervisorError::Start {
        program: job.program.clone(),
        source,
    })?;
    let tree = Tree::of_child(&job.id, child.id());
    let note = job.dir.join(NOTE);
    let main = proc::one(child.id());
    // From here on an early return drops the job, which ends it.
    let running = Box::new(Process {
        child,
        tree,
        ends,
        exit: None,
        finished: false,
        note: note.clone(),
    });
    if let Some(main) = main {
        let text = Note {
            pid: main.pid,
            started: main.started,
            boot: proc::boot_id(),
        };
        files::write_private(
            &note,
            &serde_json::to_vec(&text).expect("a note always serialises"),
        )?;
    }
    Ok(Started {
        running,
        stdout,
        stderr,
    })
}

fn make_pipe() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((pipe::Receiver::from_owned_fd(reader.into())?, writer.into()))
}

async fn reap_leftovers(id: &str, dir: &Path) -> Result<usize, SupervisorError> {
    let path = dir.join(NOTE);
    let note = files::read_bounded(&path, NOTE_BYTES).ok();
    let note = note.and_then(|bytes| serde_json::from_slice::<Note>(&bytes).ok());
    let main = note
        .filter(|note| note.boot == proc::boot_id())
        .and_then(|note| proc::one(note.pid).filter(|process| process.started == note.started));
    let left = Tree::of_leftovers(id, main).kill().await?;
    let _ = fs::remove_file(&path);
    Ok(left)
}

/// A job's main process and its tree.
struct Process {
    child: Child,
    tree: Tree,
    ends: tokio::signal::unix::Signal,
    /// How the main process ended, when that is known.
    exit: Option<Exit>,
    /// Nothing is left, the main process is reaped.
    finished: bool,
    note: PathBuf,
}

impl Process {
    /// How the main process ended, without reaping it.
    fn look(&mut self) -> Option<Exit> {
        if self.exit.is_none() {
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
            self.exit = match waitid(Id::Pid(Pid::from_raw(self.child.id().cast_signed())), flags) {
                Ok(WaitStatus::Exited(_, code)) => Some(Exit::Code(code)),
                Ok(WaitStatus::Signaled(_, signal, _)) => Some(Exit::Signal(signal as i32)),
                Ok(_) => None,
                // A real-time signal, which the type does not know: the standard library does, and reaps.
                Err(_) => {
                    self.child
                        .try_wait()
                        .ok()
                        .flatten()
                        .map(|status| match status.signal() {
                            Some(signal) => Exit::Signal(signal),
                            None => Exit::Code(status.code().unwrap_or(-1)),
                        })
                }
            };
        }
        self.exit
    }

    async fn main_ends(&mut self) -> Exit {
        let mut collected = Instant::now();
        loop {
            if let Some(exit) = self.look() {
                return exit;
            }
            self.ends.recv().await;
            if collected.elapsed() >= COLLECT_EVERY {
                self.tree.reap();
                collected = Instant::now();
            }
        }
    }

    async fn finish(&mut self) -> Result<(), SupervisorError> {
        if !self.finished {
            self.tree.kill().await?;
            self.look();
            self.close();
        }
        Ok(())
    }

    fn close(&mut self) {
        let _ = self.child.try_wait();
        registry::forget_main(self.child.id());
        let _ = fs::remove_file(&self.note);
        self.finished = true;
    }
}

impl Running for Process {
    fn main_pid(&self) -> Option<u32> {
        Some(self.child.id())
    }

    fn ended(&mut self) -> BoxFuture<'_, Result<Exit, SupervisorError>> {
        async move {
            let exit = self.main_ends().await;
            self.finish().await?;
            Ok(exit)
        }
        .boxed()
    }

    fn kill(&mut self) -> BoxFuture<'_, Result<(), SupervisorError>> {
        async move {
            if self.look().is_none() {
                self.tree.signal(Signal::SIGTERM);
                let _ = tokio::time::timeout(POLITE, self.main_ends()).await;
            }
            self.finish().await
        }
        .boxed()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.finished {
            self.tree.kill_blocking(DROP_PATIENCE);
            self.close();
        }
    }
}

#[cfg(test)]
mod tests;
