//! One party, and what it hears.

use e3_core::digest::Digest;
use e3_core::document::{Comparison, Exit, OutputHash, Progress, Ready};
use e3_core::envelope::Verified;
use e3_core::session::{
    Action, Checkpoint, Context, Ended, Event, Failure, State, Tell, Timer, resume, step,
};

use crate::fixture::*;

/// Party 0 of a session of three.
pub(crate) struct Party {
    pub(crate) context: Context,
    pub(crate) state: State,
    /// What the last event made it do.
    pub(crate) actions: Vec<Action>,
}

impl Party {
    pub(crate) fn new() -> Self {
        Self::resumed(Checkpoint::Fetched)
    }

    pub(crate) fn resumed(checkpoint: Checkpoint) -> Self {
        let session = session();
        let context = Context {
            manifest: signed(&session, &["alice"]).digest(),
            session,
            me: 0,
        };
        let (state, actions) = resume(&context, checkpoint);
        Self {
            context,
            state,
            actions,
        }
    }

    /// After these events.
    pub(crate) fn after(mut self, events: impl IntoIterator<Item = Event>) -> Self {
        for event in events {
            (self.state, self.actions) = step(&self.context, self.state, event);
        }
        self
    }

    pub(crate) fn proof(&self, party: usize) -> Box<Verified<Ready>> {
        let name = format!("p{party}");
        let ready = signed(&ready(self.context.manifest, party), &[&name]);
        Box::new(ready.verify(&[public(&name)], 1).unwrap())
    }

    /// Everything that two parties of three and the own machine say until the barrier is complete
    /// but for the last word of party 2.
    pub(crate) fn almost_open() -> Self {
        let party = Self::at_gate();
        let (one, two) = (party.proof(1), party.proof(2));
        let party = party.after([Event::PeerReady(1, one), Event::PeerReady(2, two)]);
        let barrier = party.armed();
        party.after([Event::PeerArmed(1, barrier)])
    }

    pub(crate) fn at_gate() -> Self {
        let party = Self::new().after([Event::Judged(Ok(())), Event::Staged(Ok(()))]);
        let own = party.proof(0);
        party.after([Event::AtGate(Ok(own))])
    }

    pub(crate) fn running() -> Self {
        let party = Self::almost_open();
        let barrier = party.armed();
        party.after([Event::PeerArmed(2, barrier)])
    }

    pub(crate) fn armed(&self) -> Digest {
        match &self.state {
            State::Preflight {
                armed: Some(barrier),
                ..
            } => *barrier,
            other => panic!("not armed: {other:?}"),
        }
    }

    pub(crate) fn failure(self) -> Failure {
        let party = self.after([Event::Timer(Timer::Grace)]);
        party
            .state
            .failure()
            .unwrap_or_else(|| panic!("not failed: {:?}", party.state))
            .clone()
    }

    pub(crate) fn progress(&self) -> Progress {
        self.state.progress()
    }
}

pub(crate) fn hashes(text: &str) -> Vec<OutputHash> {
    let hmac = Digest::of(text.as_bytes());
    vec![OutputHash {
        name: "stdout".to_owned(),
        comparison: Comparison::Equal,
        hmac,
    }]
}

pub(crate) fn ended(exit: Exit, exception: Option<&str>) -> Event {
    let exception = exception.map(str::to_owned);
    Event::Ended(Ended {
        exit,
        exception,
        equal: hashes("42"),
        killed_by_agent: false,
    })
}

pub(crate) fn stopped_by_agent() -> Event {
    let exit = Exit::Signal(9);
    Event::Ended(Ended {
        exit,
        exception: None,
        equal: Vec::new(),
        killed_by_agent: true,
    })
}

pub(crate) fn failing(failure: &Failure) -> Vec<Action> {
    collecting(failure, Timer::Grace)
}

pub(crate) fn collecting(failure: &Failure, timer: Timer) -> Vec<Action> {
    vec![
        Action::Kill,
        Action::Tell(Tell::Failed(failure.clone())),
        Action::StartTimer(timer),
    ]
}
