//! Preflight: a party that differs, lies or says two things, and receipts that do not fit.

use e3_core::digest::Digest;
use e3_core::document::{Ready, Session};
use e3_core::envelope::{Envelope, Verified};
use e3_core::session::{Checkpoint, Context, Event, Peer, Reason, State, barrier, resume, step};
use e3_core::trust::Refusal;

use crate::fixture::*;

fn context(me: usize) -> Context {
    let session = session();
    Context {
        manifest: signed(&session, &["alice"]).digest(),
        session,
        me,
    }
}

fn check(ready: &Ready) -> Option<Reason> {
    barrier::check(&context(0), 1, ready).err().map(|failure| {
        assert_eq!(failure.party, 1);
        failure.reason
    })
}

fn good() -> Ready {
    ready(context(0).manifest, 1)
}

fn proof(ready: &Ready) -> Verified<Ready> {
    let name = format!("p{}", ready.party);
    signed(ready, &[&name]).verify(&[public(&name)], 1).unwrap()
}

#[test]
fn a_party_that_differs_is_named_with_what_it_has() {
    assert_eq!(check(&good()), None);
    let has = Digest::of(b"other");
    let session: Session = session();
    let mut bent = good();
    bent.program = has;
    assert_eq!(
        check(&bent),
        Some(Reason::ProgramMismatch {
            pinned: session.program.pack.digest,
            has
        })
    );
    let mut bent = good();
    bent.mpyc = has;
    assert_eq!(
        check(&bent),
        Some(Reason::MpycFileMismatch {
            pinned: session.mpyc.wheel.digest,
            has
        })
    );
    let mut bent = good();
    bent.machine.mpyc = "0.10".to_owned();
    assert_eq!(
        check(&bent),
        Some(Reason::MpycMismatch {
            pinned: "0.11".to_owned(),
            has: "0.10".to_owned()
        })
    );
    let mut bent = good();
    bent.machine.modules.clear();
    assert_eq!(
        check(&bent),
        Some(Reason::ModuleMissing {
            module: "numpy".to_owned()
        })
    );
}

#[test]
fn a_ready_for_another_session_or_place_is_refused() {
    let bad = |ready: Ready| matches!(check(&ready), Some(Reason::BadReady { .. }));
    assert!(bad(Ready {
        manifest: Digest::of(b"another session"),
        ..good()
    }));
    assert!(bad(Ready { party: 2, ..good() }));
    assert!(bad(Ready {
        certificate: None,
        ..good()
    }));
    for endpoint in [
        "",
        "host",
        "host:0",
        "-I:80",
        "a b:80",
        "$(reboot):80",
        ":80",
    ] {
        assert!(
            bad(Ready {
                endpoint: endpoint.to_owned(),
                ..good()
            }),
            "{endpoint}"
        );
    }
}

#[test]
fn two_parties_cannot_claim_one_endpoint() {
    let mut readies = [0, 1, 2].map(|party| ready(context(0).manifest, party));
    assert!(barrier::compare(&context(0), &readies.each_ref()).is_ok());
    readies[2].endpoint = readies[0].endpoint.clone();
    let failure = barrier::compare(&context(0), &readies.each_ref()).unwrap_err();
    assert_eq!(failure.party, 2);
}

#[test]
fn word_sizes_must_fit_unless_the_manifest_mixes_them() {
    let mut readies = [0, 1, 2].map(|party| ready(context(0).manifest, party));
    readies[0].machine.word_size = 32;
    let failure = barrier::compare(&context(0), &readies.each_ref()).unwrap_err();
    assert_eq!(
        (failure.party, failure.reason),
        (
            0,
            Reason::WordSizeMismatch {
                expected: 64,
                has: 32
            }
        )
    );
    let mut mixed = context(0);
    mixed.session.mpyc.mixed_word_sizes = true;
    assert!(barrier::compare(&mixed, &readies.each_ref()).is_ok());
}

#[test]
fn a_clock_that_is_plainly_wrong_is_named() {
    assert!(barrier::check_clock(1, &good(), at(0)).is_ok());
    let failure = barrier::check_clock(
        1,
        &Ready {
            clock: at(-1),
            ..good()
        },
        at(0),
    )
    .unwrap_err();
    assert_eq!(
        (failure.party, failure.reason),
        (1, Reason::ClockSkew { seconds: -86_400 })
    );
}

#[test]
fn a_ready_that_differs_fails_the_session_before_anybody_is_armed() {
    // Whatever the daemon checks or forgets to check, the state machine does.
    let mut bent = good();
    bent.program = Digest::of(b"other");
    let (state, _) = resume(&context(0), Checkpoint::Staged);
    let (state, actions) = step(
        &context(0),
        state,
        Event::PeerReady(1, Box::new(proof(&bent))),
    );
    assert!(matches!(state, State::Failing { .. }));
    assert!(!actions.is_empty());
    // The own one, too.
    let mut own = ready(context(0).manifest, 0);
    own.machine.mpyc = "0.10".to_owned();
    let (state, _) = step(
        &context(0),
        State::Staged(vec![Peer::default(); 3]),
        Event::AtGate(Ok(Box::new(proof(&own)))),
    );
    assert!(matches!(state, State::Failing { .. }));
}

#[test]
fn a_party_that_shows_different_proofs_to_different_parties_opens_nothing() {
    let context = context(0);
    let (one, two) = (
        proof(&ready(context.manifest, 1)),
        proof(&ready(context.manifest, 2)),
    );
    let own = proof(&ready(context.manifest, 0));
    let mut state = State::Staged(vec![Peer::default(); 3]);
    for event in [
        Event::AtGate(Ok(Box::new(own))),
        Event::PeerReady(1, Box::new(one)),
        Event::PeerReady(2, Box::new(two)),
    ] {
        state = step(&context, state, event).0;
    }
    let State::Preflight {
        armed: Some(barrier),
        ..
    } = &state
    else {
        panic!("{state:?}")
    };
    let barrier = *barrier;
    state = step(&context, state, Event::PeerArmed(2, barrier)).0;
    // Party 1 was shown another proof of party 2, so it is armed for another barrier.
    let (state, actions) = step(
        &context,
        state,
        Event::PeerArmed(1, Digest::of(b"another barrier")),
    );
    assert!(matches!(state, State::Failing { .. }));
    assert!(
        !actions
            .iter()
            .any(|action| matches!(action, e3_core::session::Action::Open(_)))
    );
}

#[test]
fn a_false_accusation_of_nobody_or_of_the_accuser_itself_does_no_harm() {
    let context = context(0);
    let start = || State::Staged(vec![Peer::default(); 3]);
    let failure = |party| e3_core::session::Failure::at(party, Reason::Stopped);
    for event in [
        Event::PeerFailed(1, failure(3)),
        Event::PeerFailed(1, failure(usize::MAX)),
        Event::PeerFailed(9, failure(1)),
        Event::PeerFailed(0, failure(1)),
        Event::PeerLost(9),
        Event::PeerLost(0),
        Event::PeerArmed(usize::MAX, Digest::of(b"")),
        Event::PeerFinished(9, Vec::new()),
        Event::Impostor(9),
        Event::Impostor(0),
    ] {
        assert_eq!(
            step(&context, start(), event.clone()),
            (start(), Vec::new()),
            "{event:?}"
        );
    }
    // Also while explanations are collected.
    let failing = step(&context, start(), Event::PeerFailed(1, failure(1))).0;
    assert_eq!(
        step(&context, failing.clone(), Event::PeerFailed(2, failure(77))).0,
        failing
    );
}

#[test]
fn a_refusal_names_its_rule_in_scripts_and_in_words() {
    let reason = Reason::Refused {
        refusal: Refusal::Revoked,
    };
    assert_eq!(reason.kind(), "refused");
    let json = serde_json::to_string(&reason).unwrap();
    assert_eq!(json, r#"{"kind":"refused","refusal":{"rule":"revoked"}}"#);
    assert!(Envelope::parse(json.as_bytes(), 1000).is_err());
}
