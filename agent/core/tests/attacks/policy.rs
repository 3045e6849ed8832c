//! Rule 7: what a party's owner has a say in.

use e3_core::digest::Digest;
use e3_core::document::{Consent, OutputRule, Session};
use e3_core::name::Name;
use e3_core::trust::policy::{InputRule, Judgement};
use e3_core::trust::{Policy, Refusal};

use crate::fixture::*;

fn alice() -> Policy {
    Policy::of_owner(public("alice"))
}

fn judge(policy: &Policy, session: &Session, by: &[&str]) -> Result<Judgement, Refusal> {
    admit(&trust(), policy, "p0", session, by, at(0))
}

#[test]
fn consent_missing_one_party_is_refused() {
    let session = Session {
        consent: Consent::All,
        ..session()
    };
    let refused = judge(&alice(), &session, &["alice", "carol"]).unwrap_err();
    assert_eq!(
        refused,
        Refusal::ConsentMissing {
            owner: public("bob"),
            party: "p1".parse().unwrap()
        }
    );
    assert_eq!(
        judge(&alice(), &session, &["carol", "bob", "alice"]),
        Ok(Judgement::Accepted)
    );
}

#[test]
fn an_owner_who_asks_for_consent_gets_no_session_without() {
    let policy = Policy {
        require_consent: true,
        ..alice()
    };
    assert_eq!(
        judge(&policy, &session(), &["alice", "bob", "carol"]),
        Err(Refusal::ConsentRequired)
    );
    let all = Session {
        consent: Consent::All,
        ..session()
    };
    assert_eq!(
        judge(&policy, &all, &["alice", "bob", "carol"]),
        Ok(Judgement::Accepted)
    );
}

#[test]
fn an_owner_named_falsely_stops_the_session() {
    // Mallory, a signer of the fleet, names herself the owner of Alice's party to consent for her.
    let mut session = Session {
        consent: Consent::All,
        ..session()
    };
    session.parties[0].owner = public("carol");
    let policy = Policy {
        signers: vec![public("bob"), public("carol")],
        ..alice()
    };
    let refused = judge(&policy, &session, &["bob", "carol"]).unwrap_err();
    assert_eq!(
        refused,
        Refusal::WrongOwner {
            named: public("carol")
        }
    );
}

#[test]
fn a_signer_whom_the_owner_does_not_trust_counts_nothing() {
    let refused = judge(&alice(), &session(), &["bob", "carol"]).unwrap_err();
    assert_eq!(
        refused,
        Refusal::PolicyThreshold {
            valid: 0,
            threshold: 1
        }
    );
    let two = Policy {
        signers: vec![public("alice"), public("bob")],
        threshold: 2,
        ..alice()
    };
    assert_eq!(
        judge(&two, &session(), &["alice", "carol"]),
        Err(Refusal::PolicyThreshold {
            valid: 1,
            threshold: 2
        })
    );
    assert_eq!(
        judge(&two, &session(), &["alice", "bob"]),
        Ok(Judgement::Accepted)
    );
}

#[test]
fn a_signer_listed_twice_in_a_policy_counts_once() {
    let doubled = Policy {
        signers: vec![public("alice"), public("alice")],
        threshold: 2,
        ..alice()
    };
    assert_eq!(
        judge(&doubled, &session(), &["alice"]),
        Err(Refusal::PolicyThreshold {
            valid: 1,
            threshold: 2
        })
    );
}

#[test]
fn a_policy_with_a_threshold_of_zero_still_wants_a_signature() {
    let careless = Policy {
        threshold: 0,
        ..alice()
    };
    assert_eq!(
        judge(&careless, &session(), &["bob"]),
        Err(Refusal::PolicyThreshold {
            valid: 0,
            threshold: 1
        })
    );
}

#[test]
fn a_stranger_to_the_session_takes_no_part() {
    let refused = admit(
        &trust(),
        &alice(),
        "somebody else",
        &session(),
        &["alice"],
        at(0),
    );
    assert_eq!(refused, Err(Refusal::NotAParty));
}

#[test]
fn programs_and_versions_that_the_owner_has_not_listed_are_refused() {
    let program = session().program.pack.digest;
    let other = Policy {
        programs: Some(vec![Digest::of(b"other")]),
        ..alice()
    };
    assert_eq!(
        judge(&other, &session(), &["alice"]),
        Err(Refusal::ProgramNotAllowed { program })
    );
    let none = Policy {
        mpyc: Some(Vec::new()),
        ..alice()
    };
    assert_eq!(
        judge(&none, &session(), &["alice"]),
        Err(Refusal::MpycNotAllowed {
            version: "0.11".to_owned()
        })
    );
}

#[test]
fn an_input_is_given_only_to_what_the_owner_named() {
    let input: Name = "salary".parse().unwrap();
    let mut session = session();
    session.parties[0].inputs = vec![input.clone()];
    let refused = Err(Refusal::InputNotAllowed {
        input: input.clone(),
    });
    assert_eq!(judge(&alice(), &session, &["alice"]), refused);
    let with = |sessions: Option<Vec<String>>, programs| {
        let rule = InputRule {
            file: "/etc/e3/salary".to_owned(),
            sessions,
            programs,
        };
        Policy {
            inputs: [(input.clone(), rule)].into(),
            ..alice()
        }
    };
    let program = session.program.pack.digest;
    for good in [
        with(None, None),
        with(Some(vec!["sal*".to_owned()]), None),
        with(Some(vec!["salary".to_owned()]), Some(vec![program])),
    ] {
        assert_eq!(
            judge(&good, &session, &["alice"]),
            Ok(Judgement::Accepted),
            "{good:?}"
        );
    }
    for bad in [
        with(
            Some(vec![
                "sal".to_owned(),
                "xsalary".to_owned(),
                "salary2*".to_owned(),
            ]),
            None,
        ),
        with(Some(Vec::new()), None),
        with(None, Some(vec![Digest::of(b"another program")])),
    ] {
        assert_eq!(judge(&bad, &session, &["alice"]), refused, "{bad:?}");
    }
    // Other parties' inputs are their owners' business.
    session.parties[0].inputs.clear();
    session.parties[1].inputs = vec![input];
    assert_eq!(
        judge(&alice(), &session, &["alice"]),
        Ok(Judgement::Accepted)
    );
}

#[test]
fn output_is_published_only_with_the_owners_word() {
    let publish = Session {
        output: OutputRule::Publish,
        ..session()
    };
    assert_eq!(
        judge(&alice(), &publish, &["alice"]),
        Err(Refusal::PublishNotAllowed)
    );
    assert_eq!(
        judge(
            &Policy {
                publish: true,
                ..alice()
            },
            &publish,
            &["alice"]
        ),
        Ok(Judgement::Accepted)
    );
}

#[test]
fn a_session_over_the_owners_caps_is_refused() {
    let policy = alice();
    let mut greedy = [session(), session(), session(), session()];
    greedy[0].limits.memory = policy.caps.memory + 1;
    greedy[1].limits.cpu = policy.caps.cpu + 1;
    greedy[2].limits.tasks = policy.caps.tasks + 1;
    greedy[3].deadlines.run = policy.caps.run + 1;
    for (session, what) in greedy.iter().zip(["memory", "cpu", "tasks", "run"]) {
        let refused = judge(&policy, session, &["alice"]);
        assert!(
            matches!(&refused, Err(Refusal::LimitTooHigh { what: named, .. }) if named == what),
            "{refused:?}"
        );
    }
}
