//! Rule 4: the root chain, and recovery by it.

use e3_core::document::Root;
use e3_core::envelope::{Envelope, EnvelopeError};
use e3_core::trust::{Trust, TrustError};

use crate::fixture::*;

fn is_threshold(error: &TrustError) -> bool {
    matches!(
        error,
        TrustError::Envelope {
            source: EnvelopeError::Threshold { .. },
            ..
        }
    )
}

/// A root that hands the root role over to other keys.
fn handover() -> Root {
    Root {
        root: role(&["new-a", "new-b"], 2),
        ..after(&root())
    }
}

#[test]
fn the_first_root_is_the_pinned_one_or_none() {
    let (good, other) = (
        signed(&root(), &ROOT),
        signed(&Root { epoch: 2, ..root() }, &ROOT),
    );
    let error = Trust::first(&other.to_bytes(), &good.digest(), at(0)).unwrap_err();
    assert_eq!(
        error,
        TrustError::RootPin {
            pinned: good.digest(),
            found: other.digest()
        }
    );
    // Pinned, and still it must be signed.
    assert!(is_threshold(
        &Trust::first(&bytes(&root(), &["root-a"]), &good.digest(), at(0)).unwrap_err()
    ));
}

#[test]
fn a_gap_in_the_root_chain_is_refused() {
    let mut trust = trust();
    for version in [1, 3, u64::MAX] {
        let error = trust
            .accept_root(&bytes(&Root { version, ..root() }, &ROOT))
            .unwrap_err();
        assert_eq!(
            error,
            TrustError::RootVersion {
                current: 1,
                found: version
            }
        );
    }
    assert!(trust.accept_root(&bytes(&after(&root()), &ROOT)).is_ok());
    // An older root does not come back.
    let error = trust.accept_root(&bytes(&root(), &ROOT)).unwrap_err();
    assert_eq!(
        error,
        TrustError::RootVersion {
            current: 2,
            found: 1
        }
    );
}

#[test]
fn a_root_that_only_the_old_keys_signed_is_refused() {
    let mut trust = trust();
    assert!(is_threshold(
        &trust.accept_root(&bytes(&handover(), &ROOT)).unwrap_err()
    ));
    assert!(is_threshold(
        &trust
            .accept_root(&bytes(&handover(), &["root-a", "root-b", "new-a"]))
            .unwrap_err()
    ));
}

#[test]
fn a_root_that_only_the_new_keys_signed_is_refused() {
    let mut trust = trust();
    assert!(is_threshold(
        &trust
            .accept_root(&bytes(&handover(), &["new-a", "new-b"]))
            .unwrap_err()
    ));
    assert!(is_threshold(
        &trust
            .accept_root(&bytes(&handover(), &["new-a", "new-b", "root-a"]))
            .unwrap_err()
    ));
    assert!(
        trust
            .accept_root(&bytes(&handover(), &["new-a", "new-b", "root-a", "root-c"]))
            .is_ok()
    );
    // From now on the old keys are worth nothing.
    let third = Root {
        version: 3,
        ..root()
    };
    assert!(is_threshold(
        &trust.accept_root(&bytes(&third, &ROOT)).unwrap_err()
    ));
}

#[test]
fn a_root_of_another_fleet_is_refused() {
    let other = Root {
        fleet: "other".parse().unwrap(),
        ..after(&root())
    };
    assert!(matches!(
        trust().accept_root(&bytes(&other, &ROOT)).unwrap_err(),
        TrustError::OtherFleet { .. }
    ));
}

#[test]
fn an_epoch_never_goes_back_and_never_jumps() {
    let mut trust = trust();
    for epoch in [0, 3, u64::MAX] {
        let error = trust
            .accept_root(&bytes(
                &Root {
                    epoch,
                    ..after(&root())
                },
                &ROOT,
            ))
            .unwrap_err();
        assert_eq!(
            error,
            TrustError::RootEpoch {
                current: 1,
                found: epoch
            }
        );
    }
    trust
        .accept_root(&bytes(
            &Root {
                epoch: 2,
                ..after(&root())
            },
            &ROOT,
        ))
        .unwrap();
    // An epoch that is over cannot be used again: its counters would start afresh.
    let reused = Root {
        version: 3,
        epoch: 1,
        ..root()
    };
    assert_eq!(
        trust.accept_root(&bytes(&reused, &ROOT)).unwrap_err(),
        TrustError::RootEpoch {
            current: 2,
            found: 1
        }
    );
}

#[test]
fn a_fast_forward_is_undone_by_a_new_root() {
    let mut trust = trust();
    trust
        .accept_head(&bytes(&head(&trust, 7), &["head"]), at(0))
        .unwrap();
    // Whoever stole the head's key runs the counter and the clock as far as they go.
    let mut last = head(&trust, u64::MAX);
    last.signed = at(0);
    last.expires = e3_core::time::Time::MAX;
    trust.accept_head(&bytes(&last, &["head"]), at(0)).unwrap();
    let stuck = trust
        .accept_head(&bytes(&head(&trust, 8), &["head"]), at(0))
        .unwrap_err();
    assert_eq!(
        stuck,
        TrustError::Rollback {
            document: "head",
            floor: u64::MAX,
            found: 8
        }
    );
    // The owners answer with a new head key and a new epoch.
    let recovery = Root {
        epoch: 2,
        head: role(&["head-2"], 1),
        ..after(&root())
    };
    trust.accept_root(&bytes(&recovery, &ROOT)).unwrap();
    assert!(trust.head.is_none(), "nothing of the stolen key stays");
    assert!(trust.accept_head(&bytes(&last, &["head"]), at(0)).is_err());
    assert_eq!(
        trust.accept_head(&bytes(&head(&trust, 1), &["head-2"]), at(0)),
        Ok(true)
    );
}

#[test]
fn a_clock_run_forward_is_undone_by_a_new_root() {
    let mut trust = trust();
    // A day at a time the thief drags the floor of time along, past every expiry.
    for day in 0..400 {
        let mut dragging = head(&trust, u64::try_from(day).unwrap() + 1);
        (dragging.signed, dragging.expires) = (at(day), at(day + 1));
        trust
            .accept_head(&bytes(&dragging, &["head"]), at(0))
            .unwrap();
    }
    let mut honest = head(&trust, 1000);
    (honest.signed, honest.expires) = (at(0), at(7));
    assert!(matches!(
        trust.accept_head(&bytes(&honest, &["head"]), at(0)),
        Err(TrustError::Expired { .. })
    ));
    let recovery = Root {
        epoch: 2,
        head: role(&["head-2"], 1),
        ..after(&root())
    };
    trust.accept_root(&bytes(&recovery, &ROOT)).unwrap();
    assert_eq!(trust.now(at(0)), at(0));
    assert_eq!(
        trust.accept_head(&bytes(&head(&trust, 1), &["head-2"]), at(0)),
        Ok(true)
    );
}

#[test]
fn a_new_root_without_a_new_epoch_keeps_the_floor() {
    let mut trust = trust();
    trust
        .accept_head(&bytes(&head(&trust, 7), &["head"]), at(0))
        .unwrap();
    trust.accept_root(&bytes(&after(&root()), &ROOT)).unwrap();
    let error = trust
        .accept_head(&bytes(&head(&trust, 6), &["head"]), at(0))
        .unwrap_err();
    assert_eq!(
        error,
        TrustError::Rollback {
            document: "head",
            floor: 7,
            found: 6
        }
    );
}

#[test]
fn a_root_that_locks_everybody_out_is_refused() {
    // More signatures needed than there are keys.
    let mut root = after(&root());
    root.root.threshold = 4;
    assert!(Envelope::sign(&root, &[]).is_err());
    let text = serde_json::to_string(&root).unwrap();
    assert!(trust().accept_root(&raw("root", &text, &ROOT)).is_err());
}
