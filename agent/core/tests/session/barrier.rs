//! Up to the open barrier.

use e3_core::document::{Exit, Outcome, Progress};
use e3_core::session::{
    Action, Checkpoint, Context, Event, Failure, Peer, Reason, State, Tell, Timer, step,
};
use e3_core::trust::Refusal;

use crate::fixture::{public, ready, session, signed};
use crate::party::{Party, ended, failing, hashes, stopped_by_agent};

#[test]
fn a_session_goes_through_its_states_in_order() {
    let party = Party::new();
    assert_eq!(
        (party.progress(), &party.actions[..]),
        (Progress::Fetched, &[Action::Judge][..])
    );
    let party = party.after([Event::Judged(Ok(()))]);
    assert_eq!(party.progress(), Progress::Verified);
    assert_eq!(
        party.actions,
        [Action::StartTimer(Timer::Preflight), Action::Stage]
    );
    let party = party.after([Event::Staged(Ok(()))]);
    assert_eq!(
        (party.progress(), &party.actions[..]),
        (Progress::Staged, &[Action::StartGate][..])
    );
    let own = party.proof(0);
    let party = party.after([Event::AtGate(Ok(own))]);
    assert_eq!(
        (party.progress(), &party.actions[..]),
        (Progress::Preflight, &[Action::Tell(Tell::Ready)][..])
    );
    let (one, two) = (party.proof(1), party.proof(2));
    let party = party.after([Event::PeerReady(1, one), Event::PeerReady(2, two)]);
    let barrier = party.armed();
    assert_eq!(party.actions, [Action::Tell(Tell::Armed(barrier))]);
    let party = party.after([Event::PeerArmed(2, barrier), Event::PeerArmed(1, barrier)]);
    assert_eq!(party.progress(), Progress::Running);
    let [
        Action::Open(readies),
        Action::StartTimer(Timer::Connect),
        Action::StartTimer(Timer::Run),
    ] = &party.actions[..]
    else {
        panic!("{:?}", party.actions)
    };
    assert_eq!(
        readies.iter().map(|ready| ready.party).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    let party = party.after([Event::Connected, ended(Exit::Code(0), None)]);
    assert_eq!(party.actions, [Action::Tell(Tell::Finished(hashes("42")))]);
    let party = party.after([
        Event::PeerFinished(1, hashes("42")),
        Event::PeerFinished(2, hashes("42")),
    ]);
    assert_eq!(party.actions, [Action::Conclude(Outcome::Done)]);
    let equal = hashes("42");
    assert_eq!(party.state, State::Done { barrier, equal });
}

#[test]
fn a_refusal_fails_the_session_for_everybody() {
    let refusal = Refusal::Revoked;
    let party = Party::new().after([Event::Judged(Err(refusal.clone()))]);
    let failure = Failure::at(0, Reason::Refused { refusal });
    assert_eq!(party.actions, failing(&failure));
    assert_eq!(party.failure(), failure);
}

#[test]
fn what_cannot_be_staged_or_started_fails_the_session() {
    let reason = Reason::Unavailable {
        what: "mpyc".to_owned(),
        detail: "404".to_owned(),
    };
    let party = Party::new().after([Event::Judged(Ok(())), Event::Staged(Err(reason.clone()))]);
    assert_eq!(party.failure(), Failure::at(0, reason));
    let reason = Reason::ModuleMissing {
        module: "numpy".to_owned(),
    };
    let party = Party::new().after([
        Event::Judged(Ok(())),
        Event::Staged(Ok(())),
        Event::AtGate(Err(reason.clone())),
    ]);
    assert_eq!(party.failure(), Failure::at(0, reason));
}

#[test]
fn who_is_silent_at_the_deadline_is_named() {
    let timer = || Event::Timer(Timer::Preflight);
    let missing = |party| Failure::at(party, Reason::Missing { seconds: 30 });
    // Nobody has said anything, this party included; it is the first of them.
    assert_eq!(
        Party::new()
            .after([Event::Judged(Ok(())), timer()])
            .failure(),
        missing(0)
    );
    assert_eq!(Party::at_gate().after([timer()]).failure(), missing(1));
    let party = Party::at_gate();
    let one = party.proof(1);
    assert_eq!(
        party.after([Event::PeerReady(1, one), timer()]).failure(),
        missing(2)
    );
    // The barrier was in time: the timer means nothing any more.
    assert_eq!(
        Party::running().after([timer()]).progress(),
        Progress::Running
    );
}

#[test]
fn before_the_barrier_a_party_may_go_and_come_back() {
    let party = Party::at_gate();
    let (one, two) = (party.proof(1), party.proof(2));
    let party = party.after([
        Event::PeerReady(1, one.clone()),
        Event::PeerLost(1),
        Event::PeerReady(2, two),
    ]);
    assert_eq!(party.progress(), Progress::Preflight);
    assert_eq!(party.state.checkpoint(), Checkpoint::Staged);
    let party = party.after([Event::PeerReady(1, one)]);
    party.armed();
    assert_eq!(party.state.checkpoint(), Checkpoint::Committed);
}

/// Party 2 becomes ready at the last moment; then party 1's word that it is armed is still under way.
#[test]
fn a_word_that_is_under_way_at_the_deadline_is_awaited() {
    let late = Party::almost_open().after([Event::Timer(Timer::Preflight)]);
    assert_eq!(late.actions, [Action::StartTimer(Timer::Arm)]);
    let barrier = late.armed();
    let open = late.after([Event::PeerArmed(2, barrier)]);
    assert_eq!(open.progress(), Progress::Running);
    let open = open.after([Event::Timer(Timer::Arm)]);
    assert_eq!(open.progress(), Progress::Running);
    // It does not come.
    let late =
        Party::almost_open().after([Event::Timer(Timer::Preflight), Event::Timer(Timer::Arm)]);
    assert_eq!(
        late.failure(),
        Failure::at(2, Reason::Missing { seconds: 30 })
    );
}

#[test]
fn an_armed_party_waits_a_moment_for_one_that_it_has_lost() {
    // Everybody is armed for all this party knows, but not everybody is there.
    let lost = Party::almost_open().after([Event::PeerLost(1)]);
    assert_eq!(lost.actions, [Action::StartTimer(Timer::Rejoin)]);
    assert_eq!(lost.state.checkpoint(), Checkpoint::Committed);
    let barrier = lost.armed();
    let lost = lost.after([Event::PeerArmed(2, barrier)]);
    assert_eq!(lost.progress(), Progress::Preflight);
    let gone = Failure::at(1, Reason::Lost);
    // A connection is back when the party speaks.
    let again = lost.proof(1);
    let back = lost.after([Event::PeerReady(1, again), Event::PeerArmed(1, barrier)]);
    assert_eq!(back.progress(), Progress::Running);
    let back = back.after([Event::Timer(Timer::Rejoin), Event::Timer(Timer::Preflight)]);
    assert_eq!(back.progress(), Progress::Running);
    for timer in [Timer::Rejoin, Timer::Preflight] {
        let lost = Party::almost_open().after([Event::PeerLost(1), Event::Timer(timer)]);
        assert_eq!(lost.failure(), gone);
    }
    // It may have lost its power meanwhile, and says so.
    let restarted = Failure::at(1, Reason::AgentRestarted);
    let lost =
        Party::almost_open().after([Event::PeerLost(1), Event::PeerFailed(1, restarted.clone())]);
    assert_eq!(lost.failure(), restarted);
}

#[test]
fn a_new_proof_of_readiness_after_the_barrier_means_that_the_party_started_over() {
    let party = Party::running();
    let mut other = ready(party.context.manifest, 1);
    other.certificate = Some("another certificate".to_owned());
    let other = signed(&other, &["p1"]).verify(&[public("p1")], 1).unwrap();
    let again = party.proof(1);
    let party = party.after([Event::PeerReady(1, again)]);
    assert_eq!(
        party.progress(),
        Progress::Running,
        "the same one is no news"
    );
    assert_eq!(
        party
            .after([Event::PeerReady(1, Box::new(other))])
            .failure(),
        Failure::at(1, Reason::AgentRestarted)
    );
}

#[test]
fn a_program_that_ends_at_the_gate_fails_the_session_before_it_opens() {
    for party in [Party::at_gate(), Party::almost_open()] {
        let failed = party.after([ended(Exit::Signal(9), None)]);
        assert_eq!(
            failed.failure(),
            Failure::at(0, Reason::Killed { signal: 9 })
        );
    }
    // What an earlier life of the agent has left, and this one stopped, is no such end.
    let party = Party::resumed(Checkpoint::Staged).after([
        stopped_by_agent(),
        Event::Staged(Ok(())),
        stopped_by_agent(),
    ]);
    assert_eq!(party.progress(), Progress::Staged);
}

#[test]
fn a_party_may_finish_before_this_one_has_heard_that_all_are_armed() {
    let party = Party::almost_open().after([Event::PeerFinished(1, hashes("42"))]);
    let barrier = party.armed();
    let party = party.after([
        Event::PeerArmed(2, barrier),
        ended(Exit::Code(0), None),
        Event::PeerFinished(2, hashes("42")),
    ]);
    let equal = hashes("42");
    assert_eq!(party.state, State::Done { barrier, equal });
}

#[test]
fn a_session_of_one_party_needs_nobody() {
    let mut session = session();
    session.parties.truncate(1);
    session.mpyc.threshold = None;
    let context = Context {
        manifest: signed(&session, &["alice"]).digest(),
        session,
        me: 0,
    };
    let proof = signed(&ready(context.manifest, 0), &["p0"])
        .verify(&[public("p0")], 1)
        .unwrap();
    let staged = || State::Staged(vec![Peer::default()]);
    let (state, actions) = step(&context, staged(), Event::AtGate(Ok(Box::new(proof))));
    assert_eq!(state.progress(), Progress::Running);
    assert!(
        matches!(
            &actions[..],
            [Action::Tell(_), Action::Tell(_), Action::Open(_), ..]
        ),
        "{actions:?}"
    );
    let (state, _) = step(&context, state, Event::Timer(Timer::Connect));
    let (state, actions) = step(&context, state, ended(Exit::Code(0), None));
    assert_eq!(state.progress(), Progress::Done);
    assert_eq!(actions.last(), Some(&Action::Conclude(Outcome::Done)));
    let (_, actions) = step(&context, staged(), Event::Stop);
    let failure = Failure::at(0, Reason::Stopped);
    assert_eq!(
        actions,
        [Action::Kill, Action::Conclude(Outcome::Failed { failure })],
        "no grace alone"
    );
}
