//! Every way in which the receipts of a session can be bad.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod fixture;

use e3_core::digest::Digest;
use e3_core::document::{Comparison, Exit, Outcome, OutputHash, Receipt, Session, Timings};
use e3_core::envelope::{Envelope, Verified};
use e3_core::session::verdict::{judge, open};
use e3_core::session::{Failure, Reason};
use fixture::*;

fn hash(text: &str) -> OutputHash {
    OutputHash {
        name: "stdout".to_owned(),
        comparison: Comparison::Equal,
        hmac: Digest::of(text.as_bytes()),
    }
}

fn manifest() -> Verified<Session> {
    signed(&session(), &["alice"])
        .verify(&[public("alice")], 1)
        .unwrap()
}

/// A receipt against which nothing speaks.
fn receipt(party: usize) -> Receipt {
    let session = session();
    Receipt {
        fleet: session.fleet,
        session: session.name,
        manifest: manifest().digest,
        party,
        key: session.parties[party].key,
        outcome: Outcome::Done,
        exit: Some(Exit::Code(0)),
        outputs: vec![hash("42")],
        program: Some(session.program.pack.digest),
        mpyc: Some(session.mpyc.wheel.digest),
        machine: Some(ready(Digest::of(b""), party).machine),
        barrier: Some(Digest::of(b"barrier")),
        rtt_us: std::collections::BTreeMap::new(),
        started: at(0),
        finished: at(0),
        timings: Timings::default(),
        published: None,
    }
}

fn receipts() -> [Option<Receipt>; 3] {
    [0, 1, 2].map(|party| Some(receipt(party)))
}

/// The problems with three receipts of which `bend` has bent the one of party 1.
fn problems(bend: impl Fn(&mut Receipt)) -> Vec<(usize, String)> {
    let mut receipts = receipts();
    bend(receipts[1].as_mut().unwrap());
    let verdict = judge(&session(), &receipts);
    assert_eq!(verdict.good, verdict.problems.is_empty());
    verdict
        .problems
        .into_iter()
        .map(|problem| (problem.party, problem.problem))
        .collect()
}

/// Asserts that party 1 alone is named, for this reason.
fn names(bend: impl Fn(&mut Receipt), reason: &str) {
    let problems = problems(bend);
    assert!(
        matches!(&problems[..], [(1, problem)] if problem.contains(reason)),
        "{reason}: {problems:?}"
    );
}

#[test]
fn three_good_receipts_make_a_good_session() {
    assert_eq!(problems(|_| {}), []);
}

#[test]
fn a_missing_receipt_makes_it_bad() {
    let mut receipts = receipts();
    receipts[1] = None;
    let verdict = judge(&session(), &receipts);
    assert!(!verdict.good);
    assert_eq!(
        (
            verdict.problems[0].party,
            verdict.problems[0].problem.as_str()
        ),
        (1, "there is no receipt")
    );
    // Fewer receipts than parties, and none at all.
    assert_eq!(judge(&session(), &receipts[..1]).problems.len(), 2);
    assert_eq!(judge(&session(), &[]).problems.len(), 3);
}

#[test]
fn a_receipt_of_failure_makes_it_bad() {
    let failure = Failure::at(2, Reason::Lost);
    names(
        |r| {
            r.outcome = Outcome::Failed {
                failure: failure.clone(),
            }
        },
        "party 2: it was lost",
    );
}

#[test]
fn another_exit_than_0_makes_it_bad() {
    for exit in [None, Some(Exit::Code(1)), Some(Exit::Signal(9))] {
        names(|r| r.exit = exit, "did not exit with 0");
    }
}

#[test]
fn another_barrier_makes_it_bad() {
    names(
        |r| r.barrier = Some(Digest::of(b"another")),
        "another barrier",
    );
    names(|r| r.barrier = None, "another barrier");
}

#[test]
fn no_barrier_anywhere_is_no_agreement() {
    let receipts = receipts().map(|receipt| {
        receipt.map(|receipt| Receipt {
            barrier: None,
            ..receipt
        })
    });
    assert_eq!(judge(&session(), &receipts).problems.len(), 3);
}

#[test]
fn another_program_or_mpyc_makes_it_bad() {
    for other in [None, Some(Digest::of(b"other"))] {
        names(|r| r.program = other, "another program");
        names(|r| r.mpyc = other, "another MPyC");
    }
}

#[test]
fn an_output_that_differs_makes_it_bad() {
    names(|r| r.outputs = vec![hash("41")], "its stdout differs");
}

#[test]
fn a_missing_hash_of_an_output_declared_equal_makes_it_bad() {
    let lacks = |problems: Vec<(usize, String)>| {
        assert!(
            problems
                .iter()
                .any(|(party, problem)| *party == 1 && problem.contains("lacks the hash")),
            "{problems:?}"
        );
    };
    lacks(problems(|r| r.outputs.clear()));
    // Hashed under its own key it cannot be compared.
    lacks(problems(|r| r.outputs[0].comparison = Comparison::Own));
    // Two hashes for one output are none.
    lacks(problems(|r| r.outputs = vec![hash("42"), hash("41")]));
    lacks(problems(|r| r.outputs[0].name = "stderr".to_owned()));
}

#[test]
fn outputs_that_are_not_declared_equal_may_differ() {
    let own = |party: usize| OutputHash {
        comparison: Comparison::Own,
        ..hash(&party.to_string())
    };
    let receipts = [0, 1, 2].map(|party| {
        Some(Receipt {
            outputs: vec![own(party)],
            ..receipt(party)
        })
    });
    let session = Session {
        equal: Vec::new(),
        ..session()
    };
    assert!(judge(&session, &receipts).good);
}

#[test]
fn several_problems_are_all_told() {
    let problems = problems(|r| {
        r.exit = Some(Exit::Code(1));
        r.barrier = None;
        r.program = None;
        r.mpyc = None;
        r.outputs = vec![hash("41")];
    });
    assert_eq!(problems.len(), 5);
}

#[test]
fn a_receipt_is_opened_only_for_its_party_and_session() {
    let manifest = manifest();
    let good = bytes(&receipt(1), &["p1"]);
    assert_eq!(open(&manifest, 1, &good), Ok(receipt(1)));
    let refused = |party, bytes: &[u8]| open(&manifest, party, bytes).unwrap_err();
    // Signed by another party, by nobody, or put in another place.
    refused(1, &bytes(&receipt(1), &["p0", "p2", "alice"]));
    refused(1, &bytes(&receipt(1), &[]));
    refused(0, &good);
    assert!(refused(3, &good).contains("no party 3"));
    refused(usize::MAX, &good);
    for bent in [
        Receipt {
            manifest: Digest::of(b"another session"),
            ..receipt(1)
        },
        Receipt {
            party: 0,
            ..receipt(1)
        },
        Receipt {
            key: public("p0"),
            ..receipt(1)
        },
        Receipt {
            fleet: "other".parse().unwrap(),
            ..receipt(1)
        },
        Receipt {
            session: "other".parse().unwrap(),
            ..receipt(1)
        },
    ] {
        assert!(refused(1, &bytes(&bent, &["p1"])).contains("another session or party"));
    }
    // Bytes that are no receipt.
    refused(1, b"");
    refused(1, &vec![b' '; e3_core::limits::ENVELOPE + 1]);
    refused(1, &bytes(&ready(manifest.digest, 1), &["p1"]));
    refused(1, &good[..good.len() - 1]);
    assert!(Envelope::parse(&good, usize::MAX).is_ok());
}
