//! The members of a job without cgroups, and how to end all of them.
//!
//! Members are, as `/proc` shows them: the main process; its process group; all descendants of members; and, of the
//! processes that lost their parent and so became the agent's children (it is a child subreaper), those that carry
//! the job's id in their environment or carry no running job's id at all. Who has once been seen as a member stays one.
//!
//! What is *not* guaranteed: a program that clears its environment, puts itself into the agent's own process group and
//! drops its parent looks like a helper of the agent and is left alone; one that copies the id of another running job
//! ends with that job; one that kills the agent itself (it is the same user) is found again only by its id, at restart;
//! one that gives every new process a session of its own and forks faster than `/proc` can be read may outrun the
//! killing until the deadline, which is then reported. And of several jobs that run at the same time, an orphan without
//! an id ends with whichever job ends first. Under systemd a cgroup closes all of these.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::proc::{self, Process};
use super::{JOB_VARIABLE, SupervisorError, registry};

/// For killed processes to go away.
const DEADLINE: Duration = Duration::from_secs(10);
/// Rounds of stopping before killing: a fork bomb must not outrun the list.
const STOPPING_ROUNDS: u32 = 16;
/// So many looks in a row must find nobody.
const EMPTY_LOOKS: u32 = 2;
/// Between two looks at processes that were killed and have not gone yet.
const LOOK_AGAIN: Duration = Duration::from_millis(3);

/// How far a killing has come.
#[derive(Debug, Default)]
struct Hunt {
    /// Whoever has been stopped or killed so far.
    stopped: BTreeSet<u32>,
    rounds: u32,
    /// Looks in a row that found nobody.
    empty: u32,
}

/// The members of one job.
#[derive(Debug)]
pub(super) struct Tree {
    id: String,
    /// The main process while its id is known to be its own: a zombie keeps it until it is reaped.
    main: Option<Process>,
    /// Members seen so far: process id → start.
    seen: BTreeMap<u32, u64>,
    /// Look for the job's id at every process, not only at the agent's children.
    everywhere: bool,
}

impl Tree {
    /// The tree of a job that this agent has started and whose main process it does not reap yet.
    pub(super) fn of_child(id: &str, main: u32) -> Self {
        Self {
            id: id.to_owned(),
            main: proc::one(main),
            seen: BTreeMap::new(),
            everywhere: false,
        }
    }

    /// The tree of a job of an agent that is gone; `main` is its main process if that still runs.
    pub(super) fn of_leftovers(id: &str, main: Option<Process>) -> Self {
        Self {
            id: id.to_owned(),
            main,
            seen: BTreeMap::new(),
            everywhere: true,
        }
    }

    /// The members that exist now, zombies included.
    pub(super) fn members(&mut self) -> Vec<Process> {
        let all = proc::all();
        let (me, my_group) = (
            std::process::id(),
            nix::unistd::getpgrp().as_raw().unsigned_abs(),
        );
        let mut members: BTreeSet<u32> = BTreeSet::new();
        {
            let registry = registry::lock();
            for process in &all {
                let is_main = self
                    .main
                    .is_some_and(|m| (m.pid, m.started) == (process.pid, process.started));
                let in_group = self.main.is_some_and(|m| m.pid == process.group);
                let was_seen = self.seen.get(&process.pid) == Some(&process.started);
                let adopted = process.parent == me && !registry.knows(process.pid);
                let mut is_member = is_main || in_group || was_seen;
                if !is_member && (adopted || self.everywhere) {
                    let carried = proc::variable(process.pid, JOB_VARIABLE);
                    let is_hiding = adopted && process.group != my_group;
                    is_member = match carried {
                        Some(id) if id == self.id => true,
                        Some(id) => is_hiding && !self.everywhere && !registry.runs(&id),
                        None => is_hiding && !self.everywhere,
                    };
                }
                if is_member && process.pid != me {
                    members.insert(process.pid);
                }
            }
        }
        loop {
            let before = members.len();
            let children = all
                .iter()
                .filter(|p| members.contains(&p.parent) && p.pid != me);
            let children: Vec<u32> = children.map(|p| p.pid).collect();
            members.extend(children);
            if members.len() == before {
                break;
            }
        }
        let found: Vec<Process> = all
            .into_iter()
            .filter(|process| members.contains(&process.pid))
            .collect();
        self.seen = found
            .iter()
            .map(|process| (process.pid, process.started))
            .collect();
        found
    }

    /// Sends a signal to all members; those that have ended meanwhile are no error.
    pub(super) fn signal(&mut self, signal: Signal) {
        for member in self.members() {
            send(&member, signal);
        }
    }

    /// Collects members that have ended and whose parent the agent has become. The main process is left to its owner.
    pub(super) fn reap(&mut self) {
        for member in self.members() {
            self.reap_one(&member);
        }
    }

    fn reap_one(&self, member: &Process) {
        let is_main = self.main.is_some_and(|main| main.pid == member.pid);
        if !member.is_alive() && !is_main && member.parent == std::process::id() {
            let _ = waitpid(
                Pid::from_raw(member.pid.cast_signed()),
                Some(WaitPidFlag::WNOHANG),
            );
        }
    }

    /// One round of killing: stops whoever is new, kills all when nobody is, and reaps. Returns who is left, or `None` when
    /// it is certain that nobody is.
    fn round(&mut self, hunt: &mut Hunt) -> Option<Vec<u32>> {
        let members = self.members();
        for member in &members {
            self.reap_one(member);
        }
        let pids: BTreeSet<u32> = members.iter().map(|member| member.pid).collect();
        // Of the dead, too: of a program that hands itself on faster than `/proc` is read, only the first process may be
        // on the list.
        let groups: BTreeSet<u32> = members.iter().map(|member| member.group).collect();
        let alive: Vec<Process> = members.into_iter().filter(Process::is_alive).collect();
        let is_new = alive
            .iter()
            .any(|member| !hunt.stopped.contains(&member.pid));
        let signal = if is_new && hunt.rounds < STOPPING_ROUNDS {
            Signal::SIGSTOP
        } else {
            Signal::SIGKILL
        };
        hunt.rounds += 1;
        // A whole group at once first: processes that fork and die faster than a list is read do not get away from
        // that. Only groups that members lead: anybody may enter the group of somebody else.
        for group in groups.intersection(&pids) {
            let _ = killpg(Pid::from_raw(group.cast_signed()), signal);
        }
        for member in &alive {
            send(member, signal);
            hunt.stopped.insert(member.pid);
        }
        // One look can miss who is just being born.
        hunt.empty = if alive.is_empty() { hunt.empty + 1 } else { 0 };
        (hunt.empty < EMPTY_LOOKS).then(|| alive.iter().map(|member| member.pid).collect())
    }

    /// Kills every member and resolves when none is left. Returns how many there were.
    pub(super) async fn kill(&mut self) -> Result<usize, SupervisorError> {
        let begin = tokio::time::Instant::now();
        let mut hunt = Hunt::default();
        while let Some(pids) = self.round(&mut hunt) {
            if begin.elapsed() > DEADLINE {
                return Err(SupervisorError::Survivors { pids });
            }
            if hunt.rounds > 1 {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
        Ok(hunt.stopped.len())
    }

    /// The same without waiting for anybody else, for when the agent itself goes.
    pub(super) fn kill_blocking(&mut self, patience: Duration) {
        let begin = Instant::now();
        let mut hunt = Hunt::default();
        while self.round(&mut hunt).is_some() && begin.elapsed() <= patience {
            if hunt.rounds > 1 {
                std::thread::sleep(LOOK_AGAIN);
            }
        }
    }
}

fn send(process: &Process, signal: Signal) {
    // Between the list and this line an id can only be given away if its parent reaped it just now.
    if proc::one(process.pid).is_some_and(|now| now.started == process.started) {
        let _ = kill(Pid::from_raw(process.pid.cast_signed()), signal);
    }
}
