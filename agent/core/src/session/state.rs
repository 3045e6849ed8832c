//! The vocabulary of the state machine: states, events, actions, and what survives a restart.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Candidates, Failure, Reach};
use crate::digest::Digest;
use crate::document::{Exit, Outcome, OutputHash, Progress, Ready, Session};
use crate::envelope::Verified;
use crate::trust::Refusal;

/// What does not change during a session.
#[derive(Debug, Clone)]
pub struct Context {
    /// The verified manifest.
    pub session: Session,
    /// Its digest.
    pub manifest: Digest,
    /// This party's place in it.
    pub me: usize,
}

/// Where a session stands at this party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The manifest is here and properly signed; the owner's policy has not been asked.
    Fetched(Vec<Peer>),
    /// The policy accepts it and its counter is taken; things are being fetched.
    Verified(Vec<Peer>),
    /// Program, runtime and inputs are here; Python is starting and importing.
    Staged(Vec<Peer>),
    /// Python stands at the gate and this party has said so; the others are awaited.
    Preflight {
        /// What is known of each party, in order; this party's own entry holds its own `Ready`.
        peers: Vec<Peer>,
        /// The digest of everybody's `Ready` once they are all here and equal: this party is armed,
        /// and from now on others may start.
        armed: Option<Digest>,
    },
    /// The barrier is open; the program runs.
    Running {
        /// What is known of each party, in order.
        peers: Vec<Peer>,
        /// The barrier that was opened.
        barrier: Digest,
        /// MPyC has connected all parties.
        connected: bool,
        /// MPyC's last complaint while connecting; empty if it had none.
        complaint: String,
    },
    /// Something failed. For a moment all explanations are collected, so that every party names the
    /// same culprit.
    Failing {
        /// What has been said so far, and by whom.
        candidates: Candidates,
    },
    /// Every party's program ended well.
    Done {
        /// The barrier that was opened.
        barrier: Digest,
        /// This party's last word: the hashes of its outputs declared equal.
        equal: Vec<OutputHash>,
    },
    /// It failed for this reason.
    Failed {
        /// Whose fault, and why.
        failure: Failure,
    },
}

/// What this party knows of another one (or of itself, at its own place).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its proof of readiness and the digest of it.
    pub ready: Option<(Digest, Ready)>,
    /// The barrier it is armed for.
    pub armed: Option<Digest>,
    /// Whom its MPyC has connected, as far as it has said so.
    pub reach: Reach,
    /// Its program's end: the hashes of the outputs declared equal.
    pub finished: Option<Vec<OutputHash>>,
    /// It was lost, and has not been heard since.
    pub gone: bool,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The owner's policy has spoken.
    Judged(Result<(), Refusal>),
    /// Everything is here, or cannot be had.
    Staged(Result<(), super::Reason>),
    /// Python stands at the gate, and this is what the party signed; or it cannot.
    AtGate(Result<Box<Verified<Ready>>, super::Reason>),
    /// A party's proof of readiness: signed by that party, and its clock compared with this
    /// machine's ([`super::barrier::check_clock`]). What it says is compared with the manifest here.
    PeerReady(usize, Box<Verified<Ready>>),
    /// A party is armed.
    PeerArmed(usize, Digest),
    /// MPyC at a party has connected these parties, and not yet all.
    PeerReached(usize, BTreeSet<usize>),
    /// A party's program ended well, with these hashes.
    PeerFinished(usize, Vec<OutputHash>),
    /// A party says that the session failed; also what the daemon finds out about that party.
    PeerFailed(usize, Failure),
    /// The connection to a party broke or fell silent.
    PeerLost(usize),
    /// The program has started MPyC, and MPyC has connected these parties so far.
    Reached(BTreeSet<usize>),
    /// MPyC has connected all parties.
    Connected,
    /// MPyC's last complaint while connecting.
    ConnectError(String),
    /// Somebody else showed up in that party's place, and the own program was ended for it.
    Impostor(usize),
    /// The own program ended, at the gate or later.
    Ended(Ended),
    /// The own program cannot go on for a reason the daemon found.
    Broken(super::Reason),
    /// A timer ran out.
    Timer(Timer),
    /// The session was revoked, or the owner stopped it.
    Stop,
}

/// How the own program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Exit code or signal.
    pub exit: Exit,
    /// The type of the Python exception that ended it.
    pub exception: Option<String>,
    /// It ended because of [`Action::Kill`]: that explains nothing. False if it had ended before.
    pub killed_by_agent: bool,
    /// The hashes of the outputs declared equal.
    pub equal: Vec<OutputHash>,
}

/// Something that the daemon must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask the owner's policy; take the session's counter if it accepts.
    Judge,
    /// Fetch and check program, runtime and inputs; remove what a killed run may have left.
    Stage,
    /// Start Python in its sandbox, up to the gate, and sign a `Ready`.
    StartGate,
    /// Tell every other party, now and whenever it connects again.
    Tell(Tell),
    /// Open the gate: the program runs with these parties.
    Open(Vec<Ready>),
    /// Stop the own program with everything it started.
    Kill,
    /// Start a timer.
    StartTimer(Timer),
    /// Sign and publish the receipt; release everything.
    Conclude(Outcome),
}

/// What one agent tells another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tell {
    /// The own `Ready`, which the daemon holds as a signed envelope.
    Ready,
    /// This party has everybody's `Ready`, they fit, and this is their digest.
    Armed(Digest),
    /// The own program has started MPyC, and MPyC has connected these parties. Not told while
    /// everybody's MPyC connects at once.
    Reached(BTreeSet<usize>),
    /// The own program ended well.
    Finished(Vec<OutputHash>),
    /// The session failed.
    Failed(Failure),
}

/// The deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Until the barrier opens: `deadlines.preflight`.
    Preflight,
    /// Until everybody has said that it is armed who was ready at the end of [`Timer::Preflight`]:
    /// [`Timer::REGROUP_MS`].
    Arm,
    /// Until MPyC is connected: `deadlines.connect`.
    Connect,
    /// Until the program ends: `deadlines.run`.
    Run,
    /// Until a party comes back that was lost after the own program's good end, when its last word may
    /// just have got lost with it: `deadlines.preflight`, the time in which a party has to show up.
    Return,
    /// Until a party comes back that was lost after this one was armed and before the barrier opened here:
    /// [`Timer::REGROUP_MS`].
    Rejoin,
    /// Collecting explanations: [`Timer::GRACE_MS`] from the first one.
    Grace,
    /// The same after a restart, when nobody is connected yet: [`Timer::REGROUP_MS`].
    Regroup,
}

impl Timer {
    /// How long explanations are collected, in milliseconds: longer than a message takes to any place
    /// on earth and back, shorter than a person notices.
    pub const GRACE_MS: u64 = 400;
    /// How long they are collected after a restart, in milliseconds: agents that were restarted
    /// together, or cut off from each other for a moment, need a moment to find each other again, and
    /// whoever waits for one that was away tries every second.
    pub const REGROUP_MS: u64 = 3000;

    /// The length of the timer in milliseconds.
    pub fn milliseconds(self, session: &Session) -> u64 {
        let deadlines = &session.deadlines;
        match self {
            Self::Preflight | Self::Return => deadlines.preflight * 1000,
            Self::Connect => deadlines.connect * 1000,
            Self::Run => deadlines.run * 1000,
            Self::Grace => Self::GRACE_MS,
            Self::Regroup | Self::Rejoin | Self::Arm => Self::REGROUP_MS,
        }
    }
}

/// What of a state is written to disk: enough to resume or to fail cleanly, and never to run twice.
///
/// What other parties have said is not kept: after a restart they are connected to, and say it, again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Checkpoint {
    /// See [`State::Fetched`].
    Fetched,
    /// See [`State::Verified`].
    Verified,
    /// See [`State::Staged`]; also a preflight in which this party was not armed yet.
    Staged,
    /// Armed or running: others may have started, so this party must not start again.
    Committed,
    /// See [`State::Failing`].
    Failing {
        /// The explanation that is best so far.
        failure: Failure,
    },
    /// See [`State::Done`].
    Done {
        /// The barrier that was opened.
        barrier: Digest,
        /// The hashes of the outputs declared equal.
        #[serde(default)]
        equal: Vec<OutputHash>,
    },
    /// See [`State::Failed`].
    Failed {
        /// Whose fault, and why.
        failure: Failure,
    },
}

impl Checkpoint {
    /// Whether nothing more will happen.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Failed { .. })
    }
}

impl State {
    /// The state in one word.
    pub const fn progress(&self) -> Progress {
        match self {
            Self::Fetched(_) => Progress::Fetched,
            Self::Verified(_) => Progress::Verified,
            Self::Staged(_) => Progress::Staged,
            Self::Preflight { .. } => Progress::Preflight,
            Self::Running { .. } => Progress::Running,
            Self::Done { .. } => Progress::Done,
            Self::Failing { .. } | Self::Failed { .. } => Progress::Failed,
        }
    }

    /// Whether nothing more will happen.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Failed { .. })
    }

    /// The failure, once one is final.
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed { failure } => Some(failure),
            _ => None,
        }
    }

    /// What of this state goes to disk.
    pub fn checkpoint(&self) -> Checkpoint {
        match self {
            Self::Fetched(_) => Checkpoint::Fetched,
            Self::Verified(_) => Checkpoint::Verified,
            Self::Staged(_) | Self::Preflight { armed: None, .. } => Checkpoint::Staged,
            Self::Preflight { armed: Some(_), .. } | Self::Running { .. } => Checkpoint::Committed,
            Self::Failing { candidates } => Checkpoint::Failing {
                failure: candidates.best().clone(),
            },
            Self::Done { barrier, equal } => Checkpoint::Done {
                barrier: *barrier,
                equal: equal.clone(),
            },
            Self::Failed { failure } => Checkpoint::Failed {
                failure: failure.clone(),
            },
        }
    }
}
