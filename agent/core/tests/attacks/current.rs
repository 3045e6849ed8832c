//! Rules 5, 6, 10 and 11: what is current.

use e3_core::document::{Head, Root, SessionRef};
use e3_core::time::Time;
use e3_core::trust::{Refusal, Trust, TrustError};

use crate::fixture::*;

fn accept(trust: &mut Trust, head: &Head, system: Time) -> Result<bool, TrustError> {
    trust.accept_head(&bytes(head, &["head"]), system)
}

/// Offers a head with this counter.
fn counted(trust: &mut Trust, counter: u64) -> Result<bool, TrustError> {
    let head = head(trust, counter);
    accept(trust, &head, at(0))
}

#[test]
fn a_rollback_is_refused() {
    let mut trust = trust();
    counted(&mut trust, 7).unwrap();
    let error = counted(&mut trust, 6).unwrap_err();
    assert_eq!(
        error,
        TrustError::Rollback {
            document: "head",
            floor: 7,
            found: 6
        }
    );
    // Releases have a counter of their own.
    trust
        .accept_release(&bytes(&release(3), &["release"]), at(0))
        .unwrap();
    let error = trust
        .accept_release(&bytes(&release(2), &["release"]), at(0))
        .unwrap_err();
    assert_eq!(
        error,
        TrustError::Rollback {
            document: "release",
            floor: 3,
            found: 2
        }
    );
}

#[test]
fn an_equivocation_is_refused_and_told_from_a_repetition() {
    let mut trust = trust();
    let first = head(&trust, 7);
    assert_eq!(accept(&mut trust, &first, at(0)), Ok(true));
    assert_eq!(accept(&mut trust, &first, at(0)), Ok(false));
    let other = Head {
        expires: at(8),
        ..first
    };
    let error = accept(&mut trust, &other, at(0)).unwrap_err();
    assert_eq!(
        error,
        TrustError::Equivocation {
            document: "head",
            counter: 7
        }
    );
    trust
        .accept_release(&bytes(&release(3), &["release"]), at(0))
        .unwrap();
    let other = e3_core::document::Release {
        version: "6.6.6".to_owned(),
        ..release(3)
    };
    let error = trust
        .accept_release(&bytes(&other, &["release"]), at(0))
        .unwrap_err();
    assert_eq!(
        error,
        TrustError::Equivocation {
            document: "release",
            counter: 3
        }
    );
}

#[test]
fn a_frozen_head_starts_nothing_new() {
    let mut trust = trust();
    let frozen = head(&trust, 7);
    accept(&mut trust, &frozen, at(0)).unwrap();
    assert!(trust.head_is_fresh(at(6)));
    assert!(!trust.head_is_fresh(at(7)));
    // A party that has never seen it does not take it any more, the other one keeps it (rule 11).
    let error = accept(&mut self::trust(), &frozen, at(8)).unwrap_err();
    assert_eq!(
        error,
        TrustError::Expired {
            document: "head",
            expired: at(7)
        }
    );
    assert!(accept(&mut trust, &frozen, at(8)).is_err());
    assert_eq!(trust.head, Some(frozen));
}

#[test]
fn a_head_of_another_fleet_is_refused() {
    let mut trust = trust();
    let other = Head {
        fleet: "other".parse().unwrap(),
        ..head(&trust, 1)
    };
    assert!(matches!(
        accept(&mut trust, &other, at(0)),
        Err(TrustError::OtherFleet { .. })
    ));
}

#[test]
fn a_head_of_an_older_root_is_refused() {
    let mut trust = trust();
    let before = head(&trust, 9);
    trust.accept_root(&bytes(&after(&root()), &ROOT)).unwrap();
    let error = accept(&mut trust, &before, at(0)).unwrap_err();
    assert_eq!(
        error,
        TrustError::OtherRoot {
            current: 2,
            found: 1
        }
    );
}

#[test]
fn a_head_of_a_newer_root_waits_for_the_chain() {
    let mut trust = trust();
    let new = signed(&after(&root()), &ROOT);
    let mut ahead = head(&trust, 9);
    (ahead.root.version, ahead.root.digest) = (2, new.digest());
    assert_eq!(
        accept(&mut trust, &ahead, at(0)),
        Err(TrustError::OtherRoot {
            current: 1,
            found: 2
        })
    );
    assert_eq!(trust.missing_roots(&bytes(&ahead, &["head"])), Ok(2..=2));
    trust.accept_root(&new.to_bytes()).unwrap();
    assert_eq!(accept(&mut trust, &ahead, at(0)), Ok(true));
}

#[test]
fn a_head_on_a_twin_of_the_root_is_an_equivocation() {
    let mut trust = trust();
    let mut twin = head(&trust, 1);
    twin.root.digest = signed(
        &Root {
            signed: at(-9),
            ..root()
        },
        &ROOT,
    )
    .digest();
    let error = accept(&mut trust, &twin, at(0)).unwrap_err();
    assert_eq!(
        error,
        TrustError::Equivocation {
            document: "root",
            counter: 1
        }
    );
}

#[test]
fn a_head_of_another_epoch_is_refused() {
    let mut trust = trust();
    let other = Head {
        epoch: 2,
        ..head(&trust, 1)
    };
    assert!(matches!(
        accept(&mut trust, &other, at(0)),
        Err(TrustError::OtherRoot { .. })
    ));
}

#[test]
fn a_head_from_the_future_is_refused() {
    let mut trust = trust();
    let future = Head {
        signed: at(2),
        expires: at(9),
        ..head(&trust, 1)
    };
    let error = accept(&mut trust, &future, at(0)).unwrap_err();
    assert_eq!(
        error,
        TrustError::FromTheFuture {
            signed: at(2),
            ahead: 2 * 86_400
        }
    );
    assert_eq!(trust.floor.time, self::trust().floor.time);
}

#[test]
fn a_board_without_a_clock_follows_heads_of_any_age_but_never_expired_ones() {
    let mut trust = trust();
    let boot = Time::from_unix(40);
    let later = Head {
        signed: at(400),
        expires: at(409),
        ..head(&trust, 1)
    };
    assert_eq!(accept(&mut trust, &later, boot), Ok(true));
    assert_eq!(trust.now(boot), at(400));
    let expired = Head {
        signed: at(390),
        expires: at(399),
        ..head(&trust, 2)
    };
    let error = accept(&mut trust, &expired, boot).unwrap_err();
    assert!(matches!(error, TrustError::Expired { .. }), "{error}");
}

#[test]
fn a_clock_set_back_revives_nothing() {
    let mut trust = trust();
    let old = Head {
        signed: at(-3),
        expires: at(-2),
        ..head(&trust, 1)
    };
    let new = Head {
        signed: at(0),
        ..head(&trust, 2)
    };
    accept(&mut trust, &new, at(0)).unwrap();
    // The floor of time is what the newest head says, whatever the clock claims.
    assert_eq!(trust.now(Time::MIN), at(0));
    let expired = Head { counter: 3, ..old };
    assert!(matches!(
        accept(&mut trust, &expired, at(-3)),
        Err(TrustError::Expired { .. })
    ));
    // And so a session that expired yesterday stays expired.
    let policy = e3_core::trust::Policy::of_owner(public("alice"));
    let mut session = session();
    (session.not_before, session.expires) = (at(-3), at(-1));
    let refused = admit(&trust, &policy, "p0", &session, &["alice"], at(-2)).unwrap_err();
    assert_eq!(refused, Refusal::Expired { expired: at(-1) });
}

#[test]
fn a_machine_without_a_clock_is_at_least_at_its_image() {
    let trust = trust();
    assert_eq!(trust.floor.built, at(-30));
    assert!(trust.now(Time::MIN) >= at(-30));
}

#[test]
fn a_mix_of_old_and_new_documents_is_refused() {
    let mut trust = trust();
    let (old, mut new) = (session(), session());
    new.counter = 6;
    let (old_bytes, new_bytes) = (bytes(&old, &["alice"]), bytes(&new, &["alice"]));
    let named = named(&new, &new_bytes);
    let head = Head {
        sessions: vec![named.clone()],
        ..head(&trust, 1)
    };
    accept(&mut trust, &head, at(0)).unwrap();
    let named = &trust.head.as_ref().unwrap().sessions[0];
    assert!(trust.open_session(named, &new_bytes).is_ok());
    // Validly signed, and not what the head names.
    assert_eq!(
        trust.open_session(named, &old_bytes).unwrap_err(),
        Refusal::NotAsNamed
    );
    // A head that says other things about the envelope than the envelope itself.
    for lie in [
        SessionRef {
            counter: 9,
            ..named.clone()
        },
        SessionRef {
            name: "other".parse().unwrap(),
            ..named.clone()
        },
        SessionRef {
            manifest: e3_core::digest::Digest::of(b""),
            ..named.clone()
        },
    ] {
        assert_eq!(
            trust.open_session(&lie, &new_bytes).unwrap_err(),
            Refusal::NotAsNamed
        );
    }
}

#[test]
fn a_refused_document_changes_nothing() {
    let mut trust = trust();
    counted(&mut trust, 7).unwrap();
    let before = trust.clone();
    let _ = accept(&mut trust, &head(&before, 3), at(0)).unwrap_err();
    let _ = accept(
        &mut trust,
        &Head {
            expires: at(-1),
            signed: at(-2),
            ..head(&before, 9)
        },
        at(0),
    )
    .unwrap_err();
    let _ = trust
        .accept_root(&bytes(
            &Root {
                version: 3,
                ..root()
            },
            &ROOT,
        ))
        .unwrap_err();
    let _ = trust
        .accept_release(&bytes(&release(1), &["head"]), at(0))
        .unwrap_err();
    assert_eq!(trust, before);
}
