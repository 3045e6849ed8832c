//! Sessions that must not run, or not any more: refused before they are pushed, or by the parties
//! themselves, who do not rely on anybody's good will.

use std::fs;

use e3_cli::commands::fleet::publish::{LIFETIME, publish};
use e3_cli::commands::fleet::push::{Pushed, push};
use e3_cli::commands::fleet::rotate::{Change, rotate};
use e3_cli::commands::session::stop::stop;
use e3_cli::error::Error;
use e3_client::clock;
use e3_core::document::SessionRef;
use e3_core::session::{Failure, Reason};
use e3_core::trust::Refusal;

use crate::common::{Plan, QUICK, Rig, failure, slow, starts, until};

#[tokio::test]
async fn a_session_that_is_revoked_stops_wherever_it_stands_and_leaves_nothing() {
    let mut rig = Rig::new().await;
    // While it runs.
    let run = rig.push(&slow()).await;
    rig.runs_at(&run, &[0, 1, 2]).await;
    stop(&mut rig.fleet.open, &run.session.digest, &rig.fleet.owner)
        .await
        .unwrap();
    assert_eq!(rig.fails(&run).await.reason, Reason::Stopped);
    // While it is being staged: what is laid out afterwards, the inputs before all, goes again.
    for place in 0..3 {
        rig.give(place, "salary", "4711");
    }
    rig.hold_question();
    let tables = "[inputs]\nsalary = \"all\"\n";
    let run = rig
        .push(&Plan {
            program: QUICK,
            tables,
            ..Plan::default()
        })
        .await;
    for place in 0..3 {
        rig.reaches(place, &run, "verified").await;
    }
    stop(&mut rig.fleet.open, &run.session.digest, &rig.fleet.owner)
        .await
        .unwrap();
    for place in 0..3 {
        rig.reaches(place, &run, "failed").await;
    }
    rig.release();
    assert_eq!(rig.fails(&run).await.reason, Reason::Stopped);
    // A session that was pushed later was staged later, too: by then nothing comes any more.
    rig.still_works().await;
    rig.is_clean(&run).await;
    // Revoked is revoked: it cannot be pushed again.
    let bundle = rig.scratch.path().join("session-2.session");
    let bundle = e3_cli::manifest::bundle::Bundle::open(&bundle).unwrap();
    let again = e3_cli::commands::session::push::push;
    let again = again(&mut rig.fleet.open, &bundle, &rig.fleet.owner, &mut |_| {}).await;
    assert!(
        matches!(
            again,
            Err(Error::Session {
                source: Refusal::Revoked,
                ..
            })
        ),
        "{again:?}"
    );
    rig.stop().await;
}

#[tokio::test]
async fn an_older_session_of_the_same_name_is_refused_by_the_command_and_by_every_party() {
    let mut rig = Rig::new().await;
    let plan = |counter: &str| format!("counter = {counter}\n");
    let name = |path: &std::path::Path| {
        let text = fs::read_to_string(path).unwrap();
        let line = text.lines().next().unwrap().to_owned();
        fs::write(path, text.replace(&line, "name = \"replayed\"")).unwrap();
    };
    let (new, old) = (plan("7"), plan("5"));
    let (path, marks) = rig.manifest(&Plan {
        keys: &new,
        ..slow()
    });
    name(&path);
    fs::write(marks.join("stop"), "").unwrap();
    let pushed = rig.fleet.push(&path, &mut |_| {}).await.unwrap();
    let run = crate::common::Run {
        session: pushed.session,
        marks,
    };
    rig.ends_well(&run).await;
    // The command says no at once.
    let (path, marks) = rig.manifest(&Plan {
        keys: &old,
        ..slow()
    });
    name(&path);
    let (bundle, _) = rig.fleet.sign(&path).await.unwrap();
    let push = e3_cli::commands::session::push::push;
    let refused = push(&mut rig.fleet.open, &bundle, &rig.fleet.owner, &mut |_| {}).await;
    let is_replay = |error: &Error| {
        let Error::Session { source, .. } = error else {
            return false;
        };
        matches!(
            source,
            Refusal::Replayed {
                floor: 7,
                found: 5,
                ..
            }
        )
    };
    assert!(refused.as_ref().is_err_and(is_replay), "{refused:?}");
    // The parties do, too, when somebody with the head's key publishes it all the same.
    let session = bundle.session.clone();
    let envelope = bundle.envelope.to_bytes();
    let named = SessionRef::of(&session, &bundle.envelope);
    rig.fleet
        .open
        .hub
        .put_session(envelope.clone())
        .await
        .unwrap();
    let published = publish(&mut rig.fleet.open, &rig.fleet.owner, LIFETIME, |head| {
        head.sessions = vec![named.clone()];
        Ok(true)
    });
    published.await.unwrap();
    let session = rig.fleet.open.open_session("replayed", &envelope).unwrap();
    let run = crate::common::Run { session, marks };
    let failure = rig.fails(&run).await;
    let Reason::Refused { refusal } = failure.reason else {
        panic!("{failure}")
    };
    assert!(
        matches!(
            refusal,
            Refusal::Replayed {
                floor: 7,
                found: 5,
                ..
            }
        ),
        "{refusal}"
    );
    assert!((0..3).all(|place| starts(&run, place).is_empty()));
    rig.stop().await;
}

#[tokio::test]
async fn a_party_whose_owner_refuses_is_named_by_every_party_and_no_program_starts() {
    let mut rig = Rig::new().await;
    rig.give(0, "salary", "1");
    rig.give(1, "salary", "2");
    // Carol's owner has a policy, but not for this input.
    rig.give(2, "bid", "3");
    let tables = "[inputs]\nsalary = \"all\"\n";
    let run = rig.push(&Plan { tables, ..slow() }).await;
    let input = "salary".parse().unwrap();
    let reason = Reason::Refused {
        refusal: Refusal::InputNotAllowed { input },
    };
    assert_eq!(rig.fails(&run).await, Failure::at(2, reason));
    // Allowed, but the file is gone: the path stays on that machine.
    rig.give(2, "salary", "3");
    fs::remove_file(rig.fleet.parties[2].folder.join("salary")).unwrap();
    let run = rig.push(&Plan { tables, ..slow() }).await;
    let failure = rig.fails(&run).await;
    assert_eq!(
        (failure.party, failure.reason.kind().as_str()),
        (2, "refused"),
        "{failure}"
    );
    assert!(
        !failure
            .to_string()
            .contains(rig.fleet.folder.to_str().unwrap()),
        "{failure}"
    );
    // A policy that is no TOML refuses everything, and is read again for the next session.
    fs::write(rig.fleet.parties[2].policy(), "inputs = 5").unwrap();
    let run = rig.push(&Plan { tables, ..slow() }).await;
    assert_eq!(rig.fails(&run).await.party, 2);
    rig.give(2, "salary", "3");
    let run = rig
        .push(&Plan {
            program: QUICK,
            tables,
            ..Plan::default()
        })
        .await;
    rig.ends_well(&run).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_session_without_everybodys_consent_is_refused_before_anything_is_uploaded() {
    let mut rig = Rig::new().await;
    // Another owner, who is a signer of the fleet, too, but has not signed.
    let other = e3_client::random::key();
    let (path, _) = rig.manifest(&Plan {
        keys: "consent = \"all\"",
        ..slow()
    });
    let (mut bundle, wheel) = rig.fleet.sign(&path).await.unwrap();
    let mut session = bundle.session.clone();
    session.parties[2].owner = other.public();
    let envelope = e3_core::envelope::Envelope::sign(&session, &[&rig.fleet.owner]).unwrap();
    let pack = bundle.pack().unwrap();
    let path = rig.scratch.path().join("without-consent.session");
    bundle =
        e3_cli::manifest::bundle::Bundle::create(&path, session, envelope, &pack, &wheel).unwrap();
    let push = e3_cli::commands::session::push::push;
    let refused = push(&mut rig.fleet.open, &bundle, &rig.fleet.owner, &mut |_| {}).await;
    let is_missing = |error: &Error| {
        let Error::Session { source, .. } = error else {
            return false;
        };
        matches!(source, Refusal::ConsentMissing { owner, .. } if *owner == other.public())
    };
    assert!(refused.as_ref().is_err_and(is_missing), "{refused:?}");
    let pack = rig.fleet.open.hub.blob(&bundle.session.program.pack).await;
    assert!(pack.is_err(), "the program was uploaded");
    rig.stop().await;
}

/// The same fleet in a new epoch, as its owners would have it after a key was stolen.
async fn new_epoch(rig: &mut Rig) {
    let change = Change {
        new_epoch: true,
        ..Change::default()
    };
    let path = rig.scratch.path().join("root-2.json");
    let open = &mut rig.fleet.open;
    let root = rotate(&open.file, &change, &rig.fleet.owner, &path, clock::now()).unwrap();
    let pushed = push(open, &root, &rig.fleet.owner).await.unwrap();
    assert_eq!(pushed, Pushed::Root(2, 1), "counters start afresh");
    assert!(open.head().unwrap().sessions.is_empty());
}

#[tokio::test]
async fn a_session_whose_epoch_ends_while_its_agent_is_down_ends_with_a_receipt() {
    let mut rig = Rig::new().await;
    let run = rig.push(&slow()).await;
    rig.runs_at(&run, &[0, 1, 2]).await;
    new_epoch(&mut rig).await;
    // Rule 11: a new root is no reason to end what runs.
    for place in 0..3 {
        let what = format!("party {place} is in the new epoch; {}", rig.logs());
        let epoch = || rig.trust(place).filter(|trust| trust.root.epoch == 2);
        until(&what, async || epoch()).await;
        assert_eq!(rig.checkpoint(place, &run), "committed");
    }
    rig.restart(1).await;
    let refusal = Refusal::OtherEpoch {
        current: 2,
        found: 1,
    };
    for receipt in rig.receipts(&run).await {
        let named = failure(&receipt).expect("the session has failed");
        assert_eq!(named.party, 1, "{named}; {}", rig.logs());
        if receipt.party == 1 {
            let refusal = refusal.clone();
            assert_eq!(named.reason, Reason::Refused { refusal });
        }
    }
    rig.is_clean(&run).await;
    rig.still_works().await;
    rig.stop().await;
}
