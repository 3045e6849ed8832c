//! Rules 6 and 8: which sessions count, and that each runs once.

use e3_core::digest::Digest;
use e3_core::document::{Head, Root, Session};
use e3_core::envelope::Envelope;
use e3_core::trust::policy::Judgement;
use e3_core::trust::{Policy, Refusal, session_counter};

use crate::fixture::*;

fn alice() -> Policy {
    Policy::of_owner(public("alice"))
}

#[test]
fn a_replayed_session_is_refused() {
    let mut trust = trust();
    let (old, new) = (
        session(),
        Session {
            counter: 6,
            ..session()
        },
    );
    trust
        .floor
        .raise_to_session(&opened(&trust, &new, &["alice"]));
    let refused = admit(&trust, &alice(), "p0", &old, &["alice"], at(0)).unwrap_err();
    assert_eq!(
        refused,
        Refusal::Replayed {
            name: old.name.clone(),
            floor: 6,
            found: 5
        }
    );
    // The same counter with other contents is a replay, too; the very same session is not, so that a
    // party that was interrupted can go on.
    let twin = Session {
        expires: at(2),
        ..new.clone()
    };
    assert!(matches!(
        admit(&trust, &alice(), "p0", &twin, &["alice"], at(0)),
        Err(Refusal::Replayed { .. })
    ));
    assert_eq!(
        session_counter(&trust.floor, &opened(&trust, &new, &["alice"])),
        Ok(())
    );
    // More signatures on it do not make it another one.
    assert_eq!(
        session_counter(&trust.floor, &opened(&trust, &new, &["alice", "bob"])),
        Ok(())
    );
    // Each name has its own counter.
    let other = Session {
        name: "auction".parse().unwrap(),
        ..old
    };
    assert_eq!(
        session_counter(&trust.floor, &opened(&trust, &other, &["alice"])),
        Ok(())
    );
}

#[test]
fn a_revoked_session_is_refused() {
    let mut trust = trust();
    let revoked = opened(&trust, &session(), &["alice"]).digest;
    assert_eq!(
        admit(&trust, &alice(), "p0", &session(), &["alice"], at(0)),
        Ok(Judgement::Accepted)
    );
    let head = Head {
        revoked: vec![revoked],
        ..head(&trust, 1)
    };
    trust.accept_head(&bytes(&head, &["head"]), at(0)).unwrap();
    assert!(trust.revokes(&revoked));
    assert!(!trust.revokes(&Digest::of(b"another one")));
    assert_eq!(
        admit(&trust, &alice(), "p0", &session(), &["alice"], at(0)),
        Err(Refusal::Revoked)
    );
    // Signatures added later do not bring it back: it is revoked by what was signed.
    assert_eq!(
        admit(&trust, &alice(), "p0", &session(), &["alice", "bob"], at(0)),
        Err(Refusal::Revoked)
    );
}

#[test]
fn a_session_of_an_older_epoch_is_refused() {
    let mut trust = trust();
    trust
        .accept_root(&bytes(
            &Root {
                epoch: 2,
                ..after(&root())
            },
            &ROOT,
        ))
        .unwrap();
    let refused = admit(&trust, &alice(), "p0", &session(), &["alice"], at(0)).unwrap_err();
    assert_eq!(
        refused,
        Refusal::OtherEpoch {
            current: 2,
            found: 1
        }
    );
}

#[test]
fn a_session_of_another_fleet_is_refused() {
    let other = Session {
        fleet: "other".parse().unwrap(),
        ..session()
    };
    let refused = admit(&trust(), &alice(), "p0", &other, &["alice"], at(0)).unwrap_err();
    assert_eq!(
        refused,
        Refusal::OtherFleet {
            fleet: "other".parse().unwrap()
        }
    );
}

#[test]
fn a_session_signed_with_a_key_that_the_root_has_dropped_is_refused() {
    let mut trust = trust();
    let envelope = bytes(&session(), &["alice"]);
    let named = named(&session(), &envelope);
    assert!(trust.open_session(&named, &envelope).is_ok());
    let without = Root {
        session: role(&["bob", "carol"], 1),
        ..after(&root())
    };
    trust.accept_root(&bytes(&without, &ROOT)).unwrap();
    let refused = trust.open_session(&named, &envelope).unwrap_err();
    assert_eq!(
        refused,
        Refusal::FleetThreshold {
            valid: 0,
            threshold: 1
        }
    );
    // A policy that still trusts the key gains nothing by another's signature beside it.
    let refused = admit(&trust, &alice(), "p0", &session(), &["alice", "bob"], at(0)).unwrap_err();
    assert_eq!(
        refused,
        Refusal::PolicyThreshold {
            valid: 0,
            threshold: 1
        }
    );
}

#[test]
fn a_session_runs_only_in_its_time() {
    let judge = |day| admit(&trust(), &alice(), "p0", &session(), &["alice"], at(day));
    assert_eq!(judge(-2), Ok(Judgement::NotBefore(at(-1))));
    assert_eq!(judge(0), Ok(Judgement::Accepted));
    assert_eq!(judge(1), Err(Refusal::Expired { expired: at(1) }));
    let backwards = Session {
        not_before: at(1),
        expires: at(1),
        ..session()
    };
    assert!(Envelope::sign(&backwards, &[]).is_err());
}
