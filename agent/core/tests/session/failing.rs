//! How a session fails, and who is named.

use e3_core::document::{Exit, Outcome};
use e3_core::session::{Action, Event, Failure, Reason, Tell, Timer, step};

use crate::party::{Party, ended, failing, stopped_by_agent};

#[test]
fn the_conclusion_is_told_and_made_once() {
    let party = Party::running().after([Event::Stop, Event::Timer(Timer::Grace)]);
    let failure = Failure::at(0, Reason::Stopped);
    let outcome = Outcome::Failed {
        failure: failure.clone(),
    };
    assert_eq!(
        party.actions,
        [
            Action::Tell(Tell::Failed(failure)),
            Action::Conclude(outcome)
        ]
    );
    for late in [
        Event::Timer(Timer::Grace),
        Event::Stop,
        Event::PeerLost(1),
        stopped_by_agent(),
    ] {
        let (state, actions) = step(&party.context, party.state.clone(), late);
        assert_eq!((state, actions), (party.state.clone(), Vec::new()));
    }
}

#[test]
fn how_a_program_ended_is_told() {
    let failure = |event| Party::running().after([event]).failure();
    let exited = Reason::Exited {
        code: 3,
        exception: Some("ValueError".to_owned()),
    };
    assert_eq!(
        failure(ended(Exit::Code(3), Some("ValueError"))),
        Failure::at(0, exited)
    );
    assert_eq!(
        failure(ended(Exit::Signal(11), None)),
        Failure::at(0, Reason::Killed { signal: 11 })
    );
    let too_large = Reason::OutputTooLarge { limit: 5 };
    assert_eq!(
        failure(Event::Broken(too_large.clone())),
        Failure::at(0, too_large)
    );
}

#[test]
fn somebody_else_in_a_partys_place_is_told_at_that_party() {
    let impostor = Failure::at(2, Reason::Impostor);
    let party = Party::running().after([Event::Impostor(2)]);
    assert_eq!(party.actions, failing(&impostor));
    assert_eq!(party.failure(), impostor);
    // Whatever it made others feel is a consequence, also if they said so first.
    let reset = Failure::at(
        1,
        Reason::Exited {
            code: 1,
            exception: Some("ConnectionResetError".to_owned()),
        },
    );
    let lost = Event::PeerFailed(1, Failure::at(0, Reason::Lost));
    let party = Party::running().after([Event::PeerFailed(1, reset), lost, Event::Impostor(2)]);
    assert_eq!(
        party.actions,
        [Action::Tell(Tell::Failed(impostor.clone()))]
    );
    assert_eq!(party.failure(), impostor);
}

#[test]
fn an_own_end_that_is_noticed_late_is_still_told() {
    // The others felt the end of this party's program before its own agent saw it.
    let reset = Failure::at(
        1,
        Reason::Exited {
            code: 1,
            exception: Some("ConnectionResetError".to_owned()),
        },
    );
    let party = Party::running().after([
        Event::PeerFailed(1, reset),
        ended(Exit::Code(2), Some("KeyError")),
    ]);
    let own = Failure::at(
        0,
        Reason::Exited {
            code: 2,
            exception: Some("KeyError".to_owned()),
        },
    );
    assert_eq!(party.actions, [Action::Tell(Tell::Failed(own.clone()))]);
    assert_eq!(party.failure(), own);
    // What the agent itself killed explains nothing.
    let lost = Failure::at(2, Reason::Lost);
    let party = Party::running().after([Event::PeerFailed(1, lost.clone()), stopped_by_agent()]);
    assert_eq!(party.failure(), lost);
}

#[test]
fn a_party_that_is_lost_while_explanations_are_collected_is_one() {
    let reset = Failure::at(
        1,
        Reason::Exited {
            code: 1,
            exception: Some("ConnectionResetError".to_owned()),
        },
    );
    let party = Party::running().after([Event::PeerFailed(1, reset.clone()), Event::PeerLost(2)]);
    assert_eq!(party.failure(), Failure::at(2, Reason::Lost));
    // Whoever has given its explanation may go.
    let party = Party::running().after([Event::PeerFailed(1, reset.clone()), Event::PeerLost(1)]);
    assert_eq!(party.failure(), reset);
}

#[test]
fn lists_of_another_party_are_cut() {
    let endless = Reason::NotConnected {
        seconds: 10,
        pairs: vec![(usize::MAX, usize::MAX); 100_000],
        detail: "x".repeat(100_000),
    };
    let party = Party::running().after([Event::PeerFailed(1, Failure::at(1, endless))]);
    let size = serde_json::to_vec(&party.failure()).unwrap().len();
    assert!(size < e3_core::limits::REASON, "{size} bytes");
}
