//! Sessions from the bundle to the verdict, over a real hub.

mod common;

use common::{World, receipt};
use e3_cli::commands::fleet::Stale;
use e3_cli::commands::fleet::publish::{LIFETIME, publish};
use e3_cli::commands::session::find::find;
use e3_cli::commands::session::list;
use e3_cli::commands::session::push::{Pushed, push};
use e3_cli::commands::session::stop::stop;
use e3_cli::commands::session::watch::watch;
use e3_cli::error::{Error, Exit};
use e3_cli::output::progress::Progress;
use e3_core::session::{Failure, Reason};
use e3_core::trust::Refusal;

async fn pushed(world: &World, name: &str, counter: u64) -> Pushed {
    let mut fleet = world.open().await;
    push(
        &mut fleet,
        &world.bundle(name, counter),
        &world.owner,
        &mut |_| {},
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn a_push_names_the_session_and_a_second_one_changes_nothing() {
    let world = World::new().await;
    let bundle = world.bundle("salary", 1);
    let mut fleet = world.open().await;
    let first = push(&mut fleet, &bundle, &world.owner, &mut |_| {})
        .await
        .unwrap();
    assert_eq!(first.published.map(|p| p.head.counter), Some(2));
    assert_eq!(
        fleet.head().unwrap().sessions,
        std::slice::from_ref(&first.named)
    );
    let again = push(&mut fleet, &bundle, &world.owner, &mut |_| {})
        .await
        .unwrap();
    assert!(again.published.is_none());
    assert_eq!(fleet.head().unwrap().counter, 2);
    // Everything that a party needs is there, as named.
    let session = find(&fleet, "salary").await.unwrap();
    assert_eq!(
        fleet
            .hub
            .blob(&session.document.program.pack)
            .await
            .unwrap(),
        bundle.pack().unwrap()
    );
    assert_eq!(
        fleet.hub.blob(&session.document.mpyc.wheel).await.unwrap(),
        bundle.wheel().unwrap()
    );
    for word in [
        session.digest.to_string(),
        bundle.path.display().to_string(),
    ] {
        assert_eq!(find(&fleet, &word).await.unwrap().digest, session.digest);
    }
}

#[tokio::test]
async fn owners_who_publish_at_the_same_time_all_succeed() {
    let world = World::new().await;
    let bundles = ["a", "b", "c", "d"].map(|name| world.bundle(name, 1));
    let push_one = async |bundle| {
        let mut fleet = world.open().await;
        push(&mut fleet, bundle, &world.owner, &mut |_| {})
            .await
            .unwrap();
    };
    let [a, b, c, d] = &bundles;
    tokio::join!(push_one(a), push_one(b), push_one(c), push_one(d));
    let mut fleet = world.open().await;
    fleet.sync(Stale::Refuse).await.unwrap();
    let head = fleet.head().unwrap();
    assert_eq!((head.counter, head.sessions.len()), (5, 4));
}

#[tokio::test]
async fn a_lower_counter_of_a_name_is_refused_before_the_parties_have_to() {
    let world = World::new().await;
    pushed(&world, "salary", 5).await;
    let mut fleet = world.open().await;
    let old = push(
        &mut fleet,
        &world.bundle("salary", 4),
        &world.owner,
        &mut |_| {},
    )
    .await
    .unwrap_err();
    assert!(
        matches!(
            old,
            Error::Session {
                source: Refusal::Replayed {
                    floor: 5,
                    found: 4,
                    ..
                },
                ..
            }
        ),
        "{old:?}"
    );
    assert_eq!(old.exit(), Exit::Refused);
}

#[tokio::test]
async fn too_few_signatures_are_told_before_anything_is_uploaded() {
    let second = common::key(2);
    let world = World::with(
        |plan| {
            plan.session_signers = vec![common::key(2).public()];
            plan.threshold = 2;
        },
        e3_hub::Tls::None,
    )
    .await;
    let mut fleet = world.open().await;
    let mut bundle = world.bundle("salary", 1);
    let error = push(&mut fleet, &bundle, &world.owner, &mut |_| {})
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Unsigned {
                valid: 1,
                threshold: 2,
                ..
            }
        ),
        "{error:?}"
    );
    bundle.add_signature(&second).unwrap();
    push(&mut fleet, &bundle, &world.owner, &mut |_| {})
        .await
        .unwrap();
    // A session signer is no publisher.
    let bundle = world.bundle_signed("b", 1, &[&world.owner, &second]);
    let error = push(&mut fleet, &bundle, &second, &mut |_| {})
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::NotAllowed { role: "head", .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_stopped_session_is_revoked_and_cannot_come_back() {
    let world = World::new().await;
    let Pushed { session, .. } = pushed(&world, "salary", 1).await;
    let mut fleet = world.open().await;
    assert!(
        stop(&mut fleet, &session.digest, &world.owner)
            .await
            .unwrap()
            .is_some()
    );
    assert!(fleet.trust.revokes(&session.digest));
    assert!(
        stop(&mut fleet, &session.digest, &world.owner)
            .await
            .unwrap()
            .is_none()
    );
    // A later head keeps the revocation.
    publish(&mut fleet, &world.owner, LIFETIME, |_| Ok(true))
        .await
        .unwrap();
    assert!(fleet.trust.revokes(&session.digest));
    let bundle =
        e3_cli::manifest::bundle::Bundle::open(&world.folder.path().join("salary-1.session"))
            .unwrap();
    let error = push(&mut fleet, &bundle, &world.owner, &mut |_| {})
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Session {
                source: Refusal::Revoked,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_watch_ends_with_the_last_receipt() {
    let world = World::new().await;
    let Pushed { session, named, .. } = pushed(&world, "salary", 1).await;
    let mut fleet = world.open().await;
    let hub = fleet.hub.clone();
    // Each receipt comes when the watcher has shown something: it is there, and listens.
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let parties = async {
        for place in 0..3 {
            heard.recv().await.unwrap();
            let bytes = receipt(&session.document, session.digest, place, None);
            hub.put_receipt(&named.envelope.digest, &session.digest, place, bytes)
                .await
                .unwrap();
        }
    };
    let mut shown = Vec::new();
    let mut tell = |event: Progress| {
        shown.push(event.clone());
        let _ = told.send(event);
    };
    let (conclusion, ()) = tokio::join!(watch(&mut fleet, &session, None, &mut tell), parties);
    let conclusion = conclusion.unwrap();
    assert!(conclusion.verdict.good, "{conclusion:?}");
    assert_eq!(shown.iter().filter(|event| event.ended).count(), 3);
    let answer = conclusion.answer(&session);
    assert_eq!(
        (answer.exit, answer.json["outcome"].as_str()),
        (Exit::Ok, Some("done"))
    );
}

#[tokio::test]
async fn a_failed_session_names_the_party_and_the_reason() {
    let world = World::new().await;
    let Pushed { session, named, .. } = pushed(&world, "salary", 1).await;
    let mut fleet = world.open().await;
    let failure = Failure::at(
        2,
        Reason::MpycMismatch {
            pinned: "0.11".into(),
            has: "0.10".into(),
        },
    );
    for place in 0..3 {
        let bytes = receipt(
            &session.document,
            session.digest,
            place,
            Some(failure.clone()),
        );
        fleet
            .hub
            .put_receipt(&named.envelope.digest, &session.digest, place, bytes)
            .await
            .unwrap();
    }
    let conclusion = watch(&mut fleet, &session, None, &mut |_| {})
        .await
        .unwrap();
    let answer = conclusion.answer(&session);
    assert_eq!(answer.exit, Exit::Failed);
    assert_eq!(
        (&answer.json["party"], &answer.json["name"]),
        (&2.into(), &"carol".into())
    );
    assert_eq!(answer.json["reason"]["kind"], "mpyc-mismatch");
    assert!(
        answer.text.contains("party 2 (carol): it has MPyC 0.10"),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn the_receipt_of_an_absent_party_is_not_waited_for() {
    let world = World::new().await;
    let Pushed { session, named, .. } = pushed(&world, "salary", 1).await;
    let mut fleet = world.open().await;
    let failure = Failure::at(1, Reason::Missing { seconds: 30 });
    for place in [0, 2] {
        let bytes = receipt(
            &session.document,
            session.digest,
            place,
            Some(failure.clone()),
        );
        fleet
            .hub
            .put_receipt(&named.envelope.digest, &session.digest, place, bytes)
            .await
            .unwrap();
    }
    let conclusion = watch(&mut fleet, &session, None, &mut |_| {})
        .await
        .unwrap();
    assert_eq!(conclusion.culprit, Some(failure));
    // Nobody is blamed: then it is waited for, as long as the person wants.
    let other = pushed(&world, "other", 1).await.session;
    let error = watch(
        &mut fleet,
        &other,
        Some(std::time::Duration::ZERO),
        &mut |_| {},
    )
    .await
    .unwrap_err();
    assert!(
        matches!(
            error,
            Error::NoVerdict {
                missing: 3,
                parties: 3,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.exit(), Exit::Failed);
}

#[tokio::test]
async fn a_receipt_on_the_hub_that_the_party_has_not_signed_does_not_count() {
    let world = World::new().await;
    let Pushed { session, .. } = pushed(&world, "salary", 1).await;
    let folder = world.store().join("receipts").join(session.digest.hex());
    std::fs::create_dir_all(&folder).unwrap();
    // The hub is in the hands of somebody who puts bob's receipt in alice's place.
    let bobs = receipt(&session.document, session.digest, 1, None);
    e3_client::files::write_atomic(&folder.join("0.json"), &bobs).unwrap();
    let mut fleet = world.open().await;
    fleet.sync(Stale::Refuse).await.unwrap();
    let (receipts, refused) = list::receipts(&fleet, &session).await.unwrap();
    assert!(receipts.iter().all(Option::is_none));
    assert_eq!(refused.len(), 1, "{refused:?}");
}

#[tokio::test]
async fn a_watch_outlives_its_hub() {
    let mut world = World::new().await;
    let Pushed { session, named, .. } = pushed(&world, "salary", 1).await;
    let mut fleet = world.open().await;
    let hub = fleet.hub.clone();
    let address = world.url.trim_start_matches("http://").to_owned();
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel::<Progress>();
    let story = async {
        // It watches; the hub dies, which it says; the hub comes back, with all receipts.
        heard.recv().await.unwrap();
        world.stop().await;
        while heard.recv().await.unwrap().subject != "hub" {}
        world.start_at(&address, e3_hub::Tls::None).await.unwrap();
        for place in 0..3 {
            let bytes = receipt(&session.document, session.digest, place, None);
            hub.put_receipt(&named.envelope.digest, &session.digest, place, bytes)
                .await
                .unwrap();
        }
    };
    let mut tell = |event| {
        let _ = told.send(event);
    };
    let (conclusion, ()) = tokio::join!(watch(&mut fleet, &session, None, &mut tell), story);
    assert!(conclusion.unwrap().verdict.good);
}
