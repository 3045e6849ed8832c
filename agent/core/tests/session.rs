//! Each transition of a session, as an example that can be read. What holds for all histories of a
//! whole fleet is tested in `agent/testkit/src/sim`.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod fixture;

use e3_core::digest::Digest;
use e3_core::document::{Comparison, Exit, Outcome, OutputHash, Progress, Ready};
use e3_core::envelope::Verified;
use e3_core::session::{
    Action, Checkpoint, Context, Ended, Event, Failure, Peer, Reason, State, Tell, Timer, resume,
    resume_refused, step,
};
use e3_core::trust::Refusal;
use fixture::*;

/// Party 0 of a session of three.
struct Party {
    context: Context,
    state: State,
    /// What the last event made it do.
    actions: Vec<Action>,
}

impl Party {
    fn new() -> Self {
        Self::resumed(Checkpoint::Fetched)
    }

    fn resumed(checkpoint: Checkpoint) -> Self {
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
    fn after(mut self, events: impl IntoIterator<Item = Event>) -> Self {
        for event in events {
            (self.state, self.actions) = step(&self.context, self.state, event);
        }
        self
    }

    fn proof(&self, party: usize) -> Box<Verified<Ready>> {
        let name = format!("p{party}");
        let ready = signed(&ready(self.context.manifest, party), &[&name]);
        Box::new(ready.verify(&[public(&name)], 1).unwrap())
    }

    /// Everything that two parties of three and the own machine say until the barrier is complete
    /// but for the last word of party 2.
    fn almost_open() -> Self {
        let party = Self::at_gate();
        let (one, two) = (party.proof(1), party.proof(2));
        let party = party.after([Event::PeerReady(1, one), Event::PeerReady(2, two)]);
        let barrier = party.armed();
        party.after([Event::PeerArmed(1, barrier)])
    }

    fn at_gate() -> Self {
        let party = Self::new().after([Event::Judged(Ok(())), Event::Staged(Ok(()))]);
        let own = party.proof(0);
        party.after([Event::AtGate(Ok(own))])
    }

    fn running() -> Self {
        let party = Self::almost_open();
        let barrier = party.armed();
        party.after([Event::PeerArmed(2, barrier)])
    }

    fn armed(&self) -> Digest {
        match &self.state {
            State::Preflight {
                armed: Some(barrier),
                ..
            } => *barrier,
            other => panic!("not armed: {other:?}"),
        }
    }

    fn failure(self) -> Failure {
        let party = self.after([Event::Timer(Timer::Grace)]);
        party
            .state
            .failure()
            .unwrap_or_else(|| panic!("not failed: {:?}", party.state))
            .clone()
    }

    fn progress(&self) -> Progress {
        self.state.progress()
    }
}

fn hashes(text: &str) -> Vec<OutputHash> {
    let hmac = Digest::of(text.as_bytes());
    vec![OutputHash {
        name: "stdout".to_owned(),
        comparison: Comparison::Equal,
        hmac,
    }]
}

fn ended(exit: Exit, exception: Option<&str>) -> Event {
    let exception = exception.map(str::to_owned);
    Event::Ended(Ended {
        exit,
        exception,
        equal: hashes("42"),
        killed_by_agent: false,
    })
}

fn stopped_by_agent() -> Event {
    let exit = Exit::Signal(9);
    Event::Ended(Ended {
        exit,
        exception: None,
        equal: Vec::new(),
        killed_by_agent: true,
    })
}

fn failing(failure: &Failure) -> Vec<Action> {
    vec![
        Action::Kill,
        Action::Tell(Tell::Failed(failure.clone())),
        Action::StartTimer(Timer::Grace),
    ]
}

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
    // All are ready, and one does not get armed.
    assert_eq!(Party::almost_open().after([timer()]).failure(), missing(2));
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

#[test]
fn after_the_barrier_a_lost_party_ends_the_session() {
    for party in [Party::almost_open(), Party::running()] {
        assert_eq!(
            party.after([Event::PeerLost(2)]).failure(),
            Failure::at(2, Reason::Lost)
        );
    }
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
        failing(&restarted)
    );
    let failure = Failure::at(2, Reason::Lost);
    assert_eq!(
        Party::resumed(Checkpoint::Failing {
            failure: failure.clone()
        })
        .actions,
        failing(&failure)
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
        assert_eq!(resumed(checkpoint), failing(&failure));
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
