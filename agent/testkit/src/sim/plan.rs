//! What happens in a simulation: how many parties, how slow everything is, and what goes wrong.

use std::ops::RangeInclusive;

/// A history to be played. Everything that it leaves open is drawn from its seed.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many parties.
    pub parties: usize,
    /// What all chance is drawn from.
    pub seed: u64,
    /// How long a message takes from one agent to another, in milliseconds, drawn for each message.
    pub latency_ms: RangeInclusive<u64>,
    /// When the parties learn of the session, in milliseconds.
    pub fetched_ms: RangeInclusive<u64>,
    /// How long judging, staging and starting Python take, each, in milliseconds.
    pub work_ms: RangeInclusive<u64>,
    /// Whether the programs need each other, like every MPyC program that computes something.
    pub programs_connect: bool,
    /// Whether a program outlives its agent (systemd) or dies with it (process supervisor).
    pub programs_outlive_agents: bool,
    /// Whether what an agent has just said is lost when it dies (its machine loses power) or still
    /// arrives (only the agent was killed).
    pub deaths_lose_messages: bool,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The owner's policy refuses the session.
    Refuses {
        /// Where.
        party: usize,
    },
    /// Something cannot be fetched.
    CannotStage {
        /// Where.
        party: usize,
    },
    /// Fetching never ends.
    StagesForEver {
        /// Where.
        party: usize,
    },
    /// Python does not start.
    CannotStartGate {
        /// Where.
        party: usize,
    },
    /// The machine differs from what the manifest pins.
    Differs {
        /// Where.
        party: usize,
        /// In what.
        what: Difference,
        /// Whether its own agent takes that for right, so that only the others can find it.
        unaware: bool,
    },
    /// The program ends before the barrier opens.
    EndsAtGate {
        /// Where.
        party: usize,
    },
    /// The program never starts MPyC.
    NeverStartsMpyc {
        /// Where.
        party: usize,
    },
    /// Nobody's MPyC can reach the party's: its port drops everything.
    Unreachable {
        /// Where; nobody dials the first party.
        party: usize,
    },
    /// One party's MPyC cannot reach another one's; their agents can.
    CannotDial {
        /// Who dials.
        from: usize,
        /// Who is dialled: a later place.
        to: usize,
    },
    /// The program raises an exception in the middle.
    Exits {
        /// Where.
        party: usize,
        /// Its exit code, not 0.
        code: i32,
    },
    /// The program is killed by a signal in the middle.
    Killed {
        /// Where.
        party: usize,
    },
    /// The program connects and then never ends.
    Hangs {
        /// Where.
        party: usize,
    },
    /// The program prints something else than the others'.
    OutputDiffers {
        /// Where.
        party: usize,
    },
    /// The owner stops the session.
    Stopped {
        /// Where.
        party: usize,
        /// When, in milliseconds.
        at_ms: u64,
    },
    /// The agent dies after its checkpoint is on disk.
    AgentDies {
        /// Where.
        party: usize,
        /// After which step of its state machine, counted from 1 over all its lives.
        step: usize,
        /// How many of that step's actions it has carried out.
        actions: usize,
        /// How long it is gone, in milliseconds; for ever if nothing is said.
        back_ms: Option<u64>,
    },
    /// Two agents cannot reach each other.
    LinkCut {
        /// One.
        a: usize,
        /// The other.
        b: usize,
        /// From when, in milliseconds.
        at_ms: u64,
        /// For how long; for ever if nothing is said.
        for_ms: Option<u64>,
    },
}

/// In what a machine can differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words are the documentation")]
pub enum Difference {
    Program,
    MpycVersion,
    MpycFile,
    ModuleVersion,
    ModuleMissing,
}

impl Difference {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Program,
        Self::MpycVersion,
        Self::MpycFile,
        Self::ModuleVersion,
        Self::ModuleMissing,
    ];
}

impl Plan {
    /// A session of so many parties in which nothing goes wrong.
    pub fn new(parties: usize) -> Self {
        Self {
            parties,
            seed: 1,
            latency_ms: 1..=40,
            fetched_ms: 0..=300,
            work_ms: 5..=500,
            programs_connect: true,
            programs_outlive_agents: true,
            deaths_lose_messages: false,
            faults: Vec::new(),
        }
    }

    /// The same plan with one more fault.
    #[must_use]
    pub fn with(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// The same plan with other chances.
    #[must_use]
    pub const fn seeded(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Whether a fault of this plan fits.
    pub(super) fn has(&self, fits: impl Fn(&Fault) -> bool) -> bool {
        self.faults.iter().any(fits)
    }
}
