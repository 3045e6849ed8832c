//! What a restart makes of a checkpoint.

use e3_core::digest::Digest;
use e3_core::document::Outcome;
use e3_core::session::{Action, Checkpoint, Event, Failure, Reason, Tell, Timer, resume_refused};
use e3_core::trust::Refusal;

use crate::party::{Party, collecting, hashes};

#[test]
fn after_a_restart_nothing_runs_twice() {
    assert_eq!(Party::resumed(Checkpoint::Fetched).actions, [Action::Judge]);
    for checkpoint in [Checkpoint::Verified, Checkpoint::Staged] {
        let party = Party::resumed(checkpoint);
        assert_eq!(
            party.actions,
            [
                Action::Kill,
                Action::StartTimer(Timer::Preflight),
                Action::Stage
            ]
        );
    }
    let restarted = Failure::at(0, Reason::AgentRestarted);
    assert_eq!(
        Party::resumed(Checkpoint::Committed).actions,
        collecting(&restarted, Timer::Regroup)
    );
    // All were restarted, one after the other: what the first says counts everywhere.
    let party = Party::resumed(Checkpoint::Committed).after([
        Event::PeerFailed(2, Failure::at(2, Reason::AgentRestarted)),
        Event::Timer(Timer::Regroup),
    ]);
    assert_eq!(party.state.failure(), Some(&restarted));
    let failure = Failure::at(2, Reason::Lost);
    assert_eq!(
        Party::resumed(Checkpoint::Failing {
            failure: failure.clone()
        })
        .actions,
        collecting(&failure, Timer::Regroup)
    );
    let barrier = Digest::of(b"barrier");
    let equal = hashes("42");
    let done = [
        Action::Kill,
        Action::Tell(Tell::Finished(equal.clone())),
        Action::Conclude(Outcome::Done),
    ];
    assert_eq!(
        Party::resumed(Checkpoint::Done { barrier, equal }).actions,
        done
    );
    let failed = Party::resumed(Checkpoint::Failed {
        failure: failure.clone(),
    });
    let conclude = Action::Conclude(Outcome::Failed {
        failure: failure.clone(),
    });
    assert_eq!(
        failed.actions,
        [Action::Kill, Action::Tell(Tell::Failed(failure)), conclude]
    );
}

#[test]
fn a_session_that_the_fleet_does_not_accept_any_more_ends_for_that_reason() {
    let refusal = Refusal::OtherEpoch {
        current: 2,
        found: 1,
    };
    let resumed = |checkpoint| {
        let Party { context, .. } = Party::new();
        resume_refused(&context, checkpoint, refusal.clone()).1
    };
    let failure = Failure::at(
        0,
        Reason::Refused {
            refusal: refusal.clone(),
        },
    );
    for checkpoint in [
        Checkpoint::Fetched,
        Checkpoint::Verified,
        Checkpoint::Staged,
        Checkpoint::Committed,
    ] {
        assert_eq!(resumed(checkpoint), collecting(&failure, Timer::Regroup));
    }
    // What has ended stays as it ended.
    let failure = Failure::at(2, Reason::Lost);
    for checkpoint in [
        Checkpoint::Failing {
            failure: failure.clone(),
        },
        Checkpoint::Failed { failure },
        Checkpoint::Done {
            barrier: Digest::of(b"barrier"),
            equal: hashes("42"),
        },
    ] {
        let as_ever = Party::resumed(checkpoint.clone()).actions;
        assert_eq!(resumed(checkpoint), as_ever);
    }
}

#[test]
fn every_checkpoint_reads_back_as_it_was_written() {
    let states = [
        Party::new(),
        Party::at_gate(),
        Party::almost_open(),
        Party::running(),
        Party::running().after([Event::Stop]),
        Party::running().after([Event::Stop, Event::Timer(Timer::Grace)]),
    ];
    for party in states {
        let checkpoint = party.state.checkpoint();
        let text = serde_json::to_string(&checkpoint).unwrap();
        assert_eq!(
            serde_json::from_str::<Checkpoint>(&text).unwrap(),
            checkpoint,
            "{text}"
        );
    }
}
