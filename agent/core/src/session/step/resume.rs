//! What to do with a checkpoint after a restart: a session is never run twice by accident.

use super::fail::fail_restarted;
use crate::document::Outcome;
use crate::session::state::{Action, Checkpoint, Context, Peer, State, Tell, Timer};
use crate::session::{Failure, Reason};
use crate::trust::Refusal;

/// What to do with a checkpoint after a restart: rule "a session is never run twice by accident".
pub fn resume(context: &Context, checkpoint: Checkpoint) -> (State, Vec<Action>) {
    let peers = vec![Peer::default(); context.session.parties.len()];
    match checkpoint {
        Checkpoint::Fetched => (State::Fetched(peers), vec![Action::Judge]),
        // Nothing has run yet. Staging again is cheap, and it looks at everything once more.
        Checkpoint::Verified | Checkpoint::Staged => (
            State::Verified(peers),
            vec![
                Action::Kill,
                Action::StartTimer(Timer::Preflight),
                Action::Stage,
            ],
        ),
        Checkpoint::Committed => {
            let failure = Failure::at(context.me, Reason::AgentRestarted);
            fail_restarted(context, &failure)
        }
        Checkpoint::Failing { failure } => fail_restarted(context, &failure),
        // Neither the receipt may have been written, nor the last word have reached the others.
        Checkpoint::Done { barrier, equal } => {
            let tell = Action::Tell(Tell::Finished(equal.clone()));
            (
                State::Done { barrier, equal },
                vec![Action::Kill, tell, Action::Conclude(Outcome::Done)],
            )
        }
        // Neither the receipt nor the last word to the others may have gone out.
        Checkpoint::Failed { failure } => {
            let tell = Action::Tell(Tell::Failed(failure.clone()));
            let conclude = Action::Conclude(Outcome::Failed {
                failure: failure.clone(),
            });
            (
                State::Failed { failure },
                vec![Action::Kill, tell, conclude],
            )
        }
    }
}

/// The same for a session that the fleet's rules accepted when it came, and do not any more: its keys
/// or its epoch were replaced while it was under way. It does not go on, and everybody hears why; what
/// has ended stays as it ended.
pub fn resume_refused(
    context: &Context,
    checkpoint: Checkpoint,
    refusal: Refusal,
) -> (State, Vec<Action>) {
    match checkpoint {
        Checkpoint::Fetched | Checkpoint::Verified | Checkpoint::Staged | Checkpoint::Committed => {
            let failure = Failure::at(context.me, Reason::Refused { refusal });
            fail_restarted(context, &failure)
        }
        ended => resume(context, ended),
    }
}
