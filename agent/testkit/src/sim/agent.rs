//! One simulated agent: a state machine, a disk, and what it keeps saying.

use e3_core::digest::Digest;
use e3_core::document::{Outcome, Ready, Session};
use e3_core::envelope::Verified;
use e3_core::session::{Checkpoint, Context, Reach, State, Tell};

use super::fixture;
use super::plan::{Fault, Plan};
use super::program::Program;

/// One party.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) context: Context,
    /// What this machine has: what the manifest pins, unless it differs.
    pub(super) machine: Session,
    /// The state; nothing while the agent does not run.
    pub(super) state: Option<State>,
    /// What survives a restart.
    pub(super) disk: Option<Checkpoint>,
    /// How often it has started; events of an earlier life are void.
    pub(super) life: u32,
    /// Steps of the state machine over all lives.
    pub(super) steps: usize,
    /// Whether it may not open the gate any more since its latest start.
    pub(super) committed_before: bool,
    /// What it tells whoever connects.
    pub(super) tells: Vec<Tell>,
    /// The `Ready` of this life.
    pub(super) ready: Option<Verified<Ready>>,
    pub(super) program: Program,
    /// Whom its program's MPyC has connected.
    pub(super) reach: Reach,
    /// How often it opened the gate.
    pub(super) opened: usize,
    pub(super) outcome: Option<Outcome>,
    /// The barrier, once it is done.
    pub(super) barrier: Option<Digest>,
}

impl Agent {
    /// The agent of party `me` before it has heard of the session.
    pub(super) fn new(plan: &Plan, me: usize) -> Self {
        let mut context = fixture::context(plan.parties, me);
        let mut machine = context.session.clone();
        for fault in &plan.faults {
            if let Fault::Differs {
                party,
                what,
                unaware,
            } = fault
                && *party == me
            {
                fixture::distort(&mut machine, *what);
                if *unaware {
                    context.session = machine.clone();
                }
            }
        }
        Self {
            context,
            machine,
            state: None,
            disk: None,
            life: 0,
            steps: 0,
            committed_before: false,
            tells: Vec::new(),
            ready: None,
            program: Program::default(),
            reach: None,
            opened: 0,
            outcome: None,
            barrier: None,
        }
    }

    /// Dies: everything is gone but the disk and perhaps the program.
    pub(super) fn die(&mut self) {
        self.state = None;
        self.tells.clear();
        self.ready = None;
        self.life += 1;
    }

    /// Whether its checkpoint says that it must never open the gate any more.
    pub(super) const fn is_committed(&self) -> bool {
        !matches!(
            self.disk,
            None | Some(Checkpoint::Fetched | Checkpoint::Verified | Checkpoint::Staged)
        )
    }
}
