//! How a session fails: the own program is stopped, the others are told, and for a moment all
//! explanations are collected. Which of them is the best is told by [`Candidates`].

use crate::document::{Exit, Outcome};
use crate::session::state::{Action, Context, Ended, Event, State, Tell, Timer};
use crate::session::{Candidates, Failure, Reason};

/// Fails because of what this party itself has found.
pub(super) fn fail(context: &Context, failure: &Failure) -> (State, Vec<Action>) {
    fail_because(context, context.me, failure)
}

/// The same after a restart, when nobody is connected yet.
pub(super) fn fail_restarted(context: &Context, failure: &Failure) -> (State, Vec<Action>) {
    collect(context, context.me, failure, Timer::Regroup)
}

/// Fails because of what party `by` says.
pub(super) fn fail_because(
    context: &Context,
    by: usize,
    failure: &Failure,
) -> (State, Vec<Action>) {
    collect(context, by, failure, Timer::Grace)
}

/// Stops the own program, tells the others, and collects explanations for a moment: what went wrong
/// elsewhere comes in meanwhile.
fn collect(context: &Context, by: usize, failure: &Failure, timer: Timer) -> (State, Vec<Action>) {
    // Texts in it may be the operating system's or another party's.
    let failure = failure.cleaned();
    // Alone there is nobody to wait for.
    if context.session.parties.len() == 1 {
        let conclude = Action::Conclude(Outcome::Failed {
            failure: failure.clone(),
        });
        return (State::Failed { failure }, vec![Action::Kill, conclude]);
    }
    let tell = Action::Tell(Tell::Failed(failure.clone()));
    let actions = vec![Action::Kill, tell, Action::StartTimer(timer)];
    (
        State::Failing {
            candidates: Candidates::new(by, failure),
        },
        actions,
    )
}

/// One more explanation of what is failing.
pub(super) fn hear(mut state: State, by: usize, failure: &Failure) -> State {
    if let State::Failing { candidates } = &mut state {
        candidates.add(by, failure.cleaned());
    }
    state
}

pub(super) fn failing(
    context: &Context,
    mut candidates: Candidates,
    event: Event,
) -> (State, Vec<Action>) {
    let own = match event {
        Event::PeerFailed(by, failure) => {
            candidates.add(by, failure.cleaned());
            None
        }
        Event::Timer(Timer::Grace | Timer::Regroup) => {
            let failure = candidates.best().clone();
            let conclude = Action::Conclude(Outcome::Failed {
                failure: failure.clone(),
            });
            // Whoever connects from now on hears the conclusion, not the first guess.
            let tell = Action::Tell(Tell::Failed(failure.clone()));
            return (State::Failed { failure }, vec![tell, conclude]);
        }
        // The others can feel the end of a program, or of a party, before it is noticed here. Their
        // word for it came first; this is nearer to the cause, so it is said, too.
        Event::Ended(ended) if !ended.killed_by_agent && !ended.exit.is_success() => {
            Some(Failure::at(context.me, reason_of(&ended)))
        }
        Event::Broken(reason) => Some(Failure::at(context.me, reason)),
        Event::Impostor(party) => Some(Failure::at(party, Reason::Impostor)),
        // Whoever has said why the session fails may go.
        Event::PeerLost(party) if !candidates.has(party) => Some(Failure::at(party, Reason::Lost)),
        _ => None,
    };
    let news = own
        .map(|failure| failure.cleaned())
        .filter(|failure| candidates.add(context.me, failure.clone()));
    let actions = news
        .map(|failure| Action::Tell(Tell::Failed(failure)))
        .into_iter()
        .collect();
    (State::Failing { candidates }, actions)
}

/// Why a program that ended like this has failed. Ending with 0 is wrong only at the gate.
pub(super) fn reason_of(ended: &Ended) -> Reason {
    match ended.exit {
        Exit::Code(code) => Reason::Exited {
            code,
            exception: ended.exception.clone(),
        },
        Exit::Signal(signal) => Reason::Killed { signal },
    }
}
