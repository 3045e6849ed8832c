//! What came of a simulation.

use std::fmt;

use e3_core::digest::Digest;
use e3_core::document::{Outcome, Progress};
use e3_core::session::{Checkpoint, Event, Failure};

/// One step of one party.
#[derive(Debug, Clone)]
pub struct Moment {
    /// When, on the virtual clock.
    pub ms: u64,
    /// Whose.
    pub party: usize,
    /// What happened, in a few words.
    pub event: String,
    /// Where its session stood afterwards.
    pub progress: Progress,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, rest) = (self.ms / 1000, self.ms % 1000);
        let Self {
            party,
            event,
            progress,
            ..
        } = self;
        write!(
            f,
            "{seconds:>4}.{rest:03} s  party {party}  {:<9}  {event}",
            progress.as_str()
        )
    }
}

/// How a simulation ended.
#[derive(Debug, Clone)]
pub struct Report {
    /// Each party, in order.
    pub parties: Vec<PartyReport>,
    /// Invariants that were broken, in words; always empty unless there is a bug.
    pub violations: Vec<String>,
    /// Everything that happened, in order.
    pub moments: Vec<Moment>,
}

/// How a simulation ended for one party.
#[derive(Debug, Clone)]
pub struct PartyReport {
    /// How often it opened its gate.
    pub opened: usize,
    /// What it concluded; nothing if its agent is gone for ever.
    pub outcome: Option<Outcome>,
    /// What lies on its disk.
    pub checkpoint: Option<Checkpoint>,
    /// The barrier that it opened, if it was done.
    pub barrier: Option<Digest>,
    /// Whether its agent runs.
    pub alive: bool,
}

impl Report {
    /// Whether every party is done.
    pub fn is_done(&self) -> bool {
        self.parties
            .iter()
            .all(|party| party.outcome == Some(Outcome::Done))
    }

    /// What each party blames, in order; nothing where it is done or gone.
    pub fn failures(&self) -> impl Iterator<Item = Option<&Failure>> {
        self.parties.iter().map(|party| match &party.outcome {
            Some(Outcome::Failed { failure }) => Some(failure),
            _ => None,
        })
    }

    /// Whether any party opened its gate.
    pub fn anybody_opened(&self) -> bool {
        self.parties.iter().any(|party| party.opened > 0)
    }

    /// The history as text, one line a moment.
    pub fn history(&self) -> String {
        use fmt::Write as _;
        self.moments.iter().fold(String::new(), |mut text, moment| {
            let _ = writeln!(text, "{moment}");
            text
        })
    }
}

/// An event in a few words.
pub(super) fn words(event: &Event) -> String {
    match event {
        Event::Judged(Ok(())) => "the policy accepts the session".to_owned(),
        Event::Judged(Err(refusal)) => format!("the policy refuses the session: {refusal}"),
        Event::Staged(Ok(())) => "everything is here".to_owned(),
        Event::AtGate(Ok(_)) => "Python stands at the gate".to_owned(),
        Event::Staged(Err(reason)) | Event::AtGate(Err(reason)) | Event::Broken(reason) => {
            reason.to_string()
        }
        Event::PeerReady(party, _) => format!("party {party} is ready"),
        Event::PeerArmed(party, _) => format!("party {party} is armed"),
        Event::PeerReached(party, reach) => format!("party {party} has reached {reach:?}"),
        Event::PeerFinished(party, _) => format!("party {party} has finished"),
        Event::PeerFailed(by, failure) => format!("party {by} says: {failure}"),
        Event::PeerLost(party) => format!("party {party} is lost"),
        Event::Impostor(party) => format!("somebody else is in the place of party {party}"),
        Event::Reached(reach) => format!("MPyC has reached {reach:?}"),
        Event::Connected => "MPyC has connected".to_owned(),
        Event::ConnectError(error) => format!("MPyC complains: {error}"),
        Event::Ended(ended) if ended.killed_by_agent => "the program is stopped".to_owned(),
        Event::Ended(ended) => format!("the program ends: {:?}", ended.exit),
        Event::Timer(timer) => format!("{timer:?} runs out"),
        Event::Stop => "the session is stopped".to_owned(),
    }
}
