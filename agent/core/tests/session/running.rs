//! While the program runs: who is connected, who has finished, who is late.

use e3_core::document::{Exit, Outcome, Progress};
use e3_core::session::{Action, Event, Failure, Reason, Tell, Timer};

use crate::party::{Party, ended, hashes};

#[test]
fn after_the_barrier_a_lost_party_ends_the_session() {
    assert_eq!(
        Party::running().after([Event::PeerLost(2)]).failure(),
        Failure::at(2, Reason::Lost)
    );
    // But whoever has finished may go.
    let party = Party::running().after([Event::PeerFinished(2, hashes("42")), Event::PeerLost(2)]);
    assert_eq!(party.progress(), Progress::Running);
}

#[test]
fn a_party_that_is_lost_after_the_programs_have_ended_may_come_back_and_say_so() {
    let waiting = || {
        Party::running().after([
            ended(Exit::Code(0), None),
            Event::PeerFinished(1, hashes("42")),
            Event::PeerLost(2),
        ])
    };
    let party = waiting();
    assert_eq!(party.actions, [Action::StartTimer(Timer::Return)]);
    assert_eq!(party.progress(), Progress::Running);
    let party = party.after([Event::PeerFinished(2, hashes("42"))]);
    assert_eq!(party.actions, [Action::Conclude(Outcome::Done)]);
    // It may also come back to say that it has failed, and need not come back at all.
    let restarted = Failure::at(2, Reason::AgentRestarted);
    let party = waiting().after([Event::PeerFailed(2, restarted.clone())]);
    assert_eq!(party.failure(), restarted);
    let lost = Failure::at(2, Reason::Lost);
    for timer in [Timer::Return, Timer::Run] {
        assert_eq!(waiting().after([Event::Timer(timer)]).failure(), lost);
    }
    // Whose connection only broke for a moment is still at work.
    let again = waiting().proof(2);
    let party = waiting().after([Event::PeerReady(2, again), Event::Timer(Timer::Return)]);
    assert_eq!(party.progress(), Progress::Running);
}

#[test]
fn mpyc_that_does_not_connect_ends_with_its_last_complaint() {
    let detail = "10.0.0.2:11366\u{fffd}[2J".to_owned();
    // Whom MPyC dials in vain is known only of programs that have started it.
    let reached = |parties: &[usize]| parties.iter().copied().collect();
    let party = Party::running().after([
        Event::Reached(reached(&[1])),
        Event::PeerReached(1, reached(&[0, 2])),
        Event::PeerReached(2, reached(&[1])),
        Event::ConnectError("first".to_owned()),
        Event::ConnectError("10.0.0.2:11366\x1b[2J".to_owned()),
        Event::Timer(Timer::Connect),
    ]);
    let reason = Reason::NotConnected {
        seconds: 10,
        pairs: vec![(0, 2)],
        detail,
    };
    assert_eq!(
        reason.to_string(),
        "MPyC did not connect all parties within 10 s: party 0 cannot reach party 2 \
         (10.0.0.2:11366\u{fffd}[2J)"
    );
    assert_eq!(party.failure(), Failure::at(2, reason));
    let party = Party::running().after([Event::Connected, Event::Timer(Timer::Connect)]);
    assert_eq!(party.progress(), Progress::Running);
}

#[test]
fn a_program_that_does_not_start_mpyc_is_named_by_whoever_waits_for_it() {
    let reached = |parties: &[usize]| parties.iter().copied().collect();
    let not_started = |party, others: &[usize]| {
        let (seconds, others) = (10, others.to_vec());
        Failure::at(party, Reason::NotStarted { seconds, others })
    };
    let timer = || Event::Timer(Timer::Connect);
    assert_eq!(
        Party::running().after([timer()]).failure(),
        not_started(0, &[1, 2])
    );
    let party = Party::running().after([
        Event::PeerReached(2, reached(&[])),
        Event::Reached(reached(&[2])),
        timer(),
    ]);
    assert_eq!(party.failure(), not_started(1, &[]));
    // The word of a party that was armed earlier and has opened before this one counts, too.
    let party = Party::almost_open().after([Event::PeerReached(1, reached(&[]))]);
    let barrier = party.armed();
    let party = party.after([
        Event::PeerArmed(2, barrier),
        Event::Reached(reached(&[])),
        timer(),
    ]);
    assert_eq!(party.failure(), not_started(2, &[]));
}

#[test]
fn a_party_that_has_finished_and_hung_up_was_connected() {
    let reached = |parties: &[usize]| parties.iter().copied().collect();
    let party = Party::running().after([
        Event::Reached(reached(&[])),
        Event::PeerReached(2, reached(&[])),
        Event::PeerFinished(1, hashes("42")),
        Event::Timer(Timer::Connect),
    ]);
    let Failure { party, reason } = party.failure();
    let Reason::NotConnected { pairs, .. } = reason else {
        panic!("{reason}")
    };
    assert_eq!((party, pairs), (2, vec![(0, 2)]));
}

#[test]
fn that_everybody_is_connected_is_told_only_to_those_who_ask() {
    let reached = |parties: &[usize]| parties.iter().copied().collect();
    let all = || Action::Tell(Tell::Reached(reached(&[1, 2])));
    let party = Party::running().after([Event::Connected]);
    assert_eq!(party.actions, []);
    let party = party.after([Event::PeerReached(2, reached(&[0]))]);
    assert_eq!(party.actions, [all()]);
    let party = party.after([Event::PeerReached(1, reached(&[0]))]);
    assert_eq!(party.actions, [], "once");
    // Who has said that it is not connected says when it is.
    let party = Party::running().after([Event::Reached(reached(&[1]))]);
    assert_eq!(party.actions, [Action::Tell(Tell::Reached(reached(&[1])))]);
    assert_eq!(party.after([Event::Connected]).actions, [all()]);
}

#[test]
fn a_program_that_does_not_end_is_stopped_at_the_deadline() {
    let timed_out = |party, others: &[usize]| {
        let (seconds, others) = (60, others.to_vec());
        Failure::at(party, Reason::TimedOut { seconds, others })
    };
    let party = Party::running().after([Event::Connected, Event::Timer(Timer::Run)]);
    let failure = party.failure();
    assert_eq!(failure, timed_out(0, &[1, 2]));
    assert_eq!(
        failure.reason.to_string(),
        "its program did not end within 60 s, nor did those of parties 1 and 2; which of them kept \
         the others waiting is not known"
    );
    let others = Party::running().after([
        ended(Exit::Code(0), None),
        Event::PeerFinished(1, hashes("42")),
        Event::Timer(Timer::Run),
    ]);
    assert_eq!(others.failure(), timed_out(2, &[]));
    // Where MPyC is not connected yet, that is the reason.
    let party = Party::running().after([Event::Timer(Timer::Run)]);
    assert_eq!(party.failure().reason.kind(), "not-started");
}

#[test]
fn outputs_declared_equal_must_be() {
    let party = Party::running().after([
        ended(Exit::Code(0), None),
        Event::PeerFinished(1, hashes("41")),
        // The first word counts.
        Event::PeerFinished(1, hashes("42")),
        Event::PeerFinished(2, hashes("42")),
    ]);
    assert_eq!(
        party.failure(),
        Failure::at(
            1,
            Reason::OutputDiffers {
                output: "stdout".to_owned()
            }
        )
    );
}
