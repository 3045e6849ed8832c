//! A fleet changes its keys: by files that are signed one after the other, while the machines run.

use std::fs;
use std::path::{Path, PathBuf};

use e3_cli::commands::fleet::publish::{LIFETIME, publish};
use e3_cli::commands::fleet::push::{Pushed, push};
use e3_cli::commands::fleet::rotate::{Change, rotate};
use e3_cli::commands::fleet::sign::Paper;
use e3_cli::commands::fleet::{OpenFleet, Stale};
use e3_cli::error::Error;
use e3_client::clock;
use e3_core::document::{Head, RoleName};
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;

use crate::common::{Plan, QUICK, Rig, until};

const QUICK_PLAN: Plan<'_> = Plan {
    program: QUICK,
    args: Vec::new(),
    keys: "",
    tables: "",
};

/// Makes the next root with the owner's signature.
fn next_root(rig: &Rig, name: &str, change: &Change) -> Paper {
    let path = rig.scratch.path().join(name);
    let fleet = &rig.fleet;
    rotate(&fleet.open.file, change, &fleet.owner, &path, clock::now()).unwrap()
}

/// Every party follows to that root.
async fn follows(rig: &Rig, version: u64) {
    for place in 0..3 {
        let what = format!("party {place} holds root {version}; {}", rig.logs());
        let there = || {
            rig.trust(place)
                .filter(|trust| trust.root.version == version)
        };
        until(&what, async || there()).await;
    }
}

/// The newest head, changed and signed anew by this key.
fn forged(open: &OpenFleet, key: &SecretKey) -> Vec<u8> {
    let head = open.head().unwrap();
    let head = Head {
        counter: head.counter + 1,
        signed: clock::now(),
        ..head.clone()
    };
    Envelope::sign(&head, &[key]).unwrap().to_bytes()
}

#[tokio::test]
async fn a_fleet_replaces_its_head_key_and_the_old_one_counts_for_nothing() {
    let mut rig = Rig::new().await;
    rig.still_works().await;
    let old = rig.fleet.owner.public();
    let new = e3_client::random::key();
    let change = Change {
        add: vec![(RoleName::Head, new.public())],
        remove: vec![(RoleName::Head, old)],
        ..Change::default()
    };
    let root = next_root(&rig, "root-2.json", &change);
    assert!(root.is_complete());
    // The old key cannot sign the head that has to stand on it: nothing is half done.
    let open = &mut rig.fleet.open;
    let refused = push(open, &root, &rig.fleet.owner).await;
    assert!(
        matches!(refused, Err(Error::NotAllowed { .. })),
        "{refused:?}"
    );
    assert!(open.hub.root(2).await.unwrap().is_none());
    let pushed = push(open, &root, &new).await.unwrap();
    assert!(matches!(pushed, Pushed::Root(2, _)), "{pushed:?}");
    follows(&rig, 2).await;

    // The old key: refused by the command, by the hub, and by every machine.
    let open = &mut rig.fleet.open;
    let again = publish(open, &rig.fleet.owner, LIFETIME, |_| Ok(true)).await;
    assert!(matches!(again, Err(Error::NotAllowed { .. })), "{again:?}");
    let etag = open.sync(Stale::Refuse).await.unwrap();
    let bytes = forged(open, &rig.fleet.owner);
    let refused = open.hub.put_head(bytes.clone(), Some(&etag)).await;
    assert!(refused.is_err(), "the hub takes a head of the old key");
    let stored = rig.fleet.folder.join("hub/head.json");
    let good = fs::read(&stored).unwrap();
    replace(&stored, &bytes);
    let what = "every machine refuses the head of the old key";
    let refused = |place: usize| {
        let log = rig.fleet.parties[place].folder.join("agent.log");
        let log = fs::read_to_string(log).unwrap();
        log.contains("a head is refused").then_some(())
    };
    for place in 0..3 {
        until(what, async || refused(place)).await;
        let held = rig.trust(place).unwrap().head.unwrap().counter;
        assert_eq!(held, rig.fleet.open.head().unwrap().counter);
    }
    replace(&stored, &good);
    let hub = &rig.fleet.open.hub;
    until("the hub shows the good head again", async || {
        let head = hub.head(None).await.ok()??;
        (head.bytes == good).then_some(())
    })
    .await;

    // The new key publishes; sessions are signed as before.
    let (path, _) = rig.manifest(&QUICK_PLAN);
    let (bundle, _) = rig.fleet.sign(&path).await.unwrap();
    let open = &mut rig.fleet.open;
    let push = e3_cli::commands::session::push::push;
    let pushed = push(open, &bundle, &new, &mut |_| {}).await.unwrap();
    ends_well(&rig, pushed.session).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_head_that_needs_two_signatures_collects_them_in_one_file() {
    let mut rig = Rig::new().await;
    let two = e3_client::random::key();
    let change = Change {
        add: vec![
            (RoleName::Head, two.public()),
            (RoleName::Root, two.public()),
        ],
        threshold: vec![(RoleName::Head, 2), (RoleName::Root, 2)],
        ..Change::default()
    };
    let mut root = next_root(&rig, "root-2.json", &change);
    // Rule 4: its own threshold counts, too.
    assert!(!root.is_complete());
    let refused = push(&mut rig.fleet.open, &root, &rig.fleet.owner).await;
    assert!(matches!(refused, Err(Error::Trust(_))), "{refused:?}");
    let stranger = root.sign(&e3_client::random::key());
    assert!(matches!(stranger, Err(Error::NotAllowed { .. })));
    root.sign(&two).unwrap();
    assert!(root.is_complete());
    let waiting = push(&mut rig.fleet.open, &root, &rig.fleet.owner)
        .await
        .map(drop);
    let file = waiting_in(waiting);
    finish(&mut rig, &file, &two).await;
    follows(&rig, 2).await;

    // A session's head, too; running the command again changes nothing.
    let (path, _) = rig.manifest(&QUICK_PLAN);
    let (bundle, _) = rig.fleet.sign(&path).await.unwrap();
    let session_push = e3_cli::commands::session::push::push;
    let open = &mut rig.fleet.open;
    let waiting = session_push(open, &bundle, &rig.fleet.owner, &mut |_| {}).await;
    let file = waiting_in(waiting.map(drop));
    let alone = Paper::open(&file, &open.trust.root).unwrap();
    let refused = push(open, &alone, &rig.fleet.owner).await;
    assert!(matches!(refused, Err(Error::Trust(_))), "{refused:?}");
    finish(&mut rig, &file, &two).await;
    let open = &mut rig.fleet.open;
    let pushed = session_push(open, &bundle, &rig.fleet.owner, &mut |_| {})
        .await
        .unwrap();
    assert!(pushed.published.is_none());
    ends_well(&rig, pushed.session).await;
    rig.stop().await;
}

/// The file in which a head waits for more signatures.
fn waiting_in(result: Result<(), Error>) -> PathBuf {
    match result {
        Err(Error::MoreSignatures { path, .. }) => path,
        other => panic!("{other:?}"),
    }
}

/// The other signer has the file on another machine, where there is no hub; both copies are merged.
async fn finish(rig: &mut Rig, file: &Path, key: &SecretKey) {
    let copy = rig.scratch.path().join("copy.json");
    fs::copy(file, &copy).unwrap();
    let root = rig.fleet.open.file.newest_root().unwrap().document;
    let mut signed = Paper::open(&copy, &root).unwrap();
    signed.sign(key).unwrap();
    let mut paper = Paper::open(file, &root).unwrap();
    paper.merge(&signed).unwrap();
    assert!(paper.is_complete());
    let pushed = push(&mut rig.fleet.open, &paper, &rig.fleet.owner).await;
    let pushed = pushed.unwrap();
    assert!(matches!(pushed, Pushed::Head(_)), "{pushed:?}");
}

/// As whoever has the hub's disk could.
fn replace(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, bytes).unwrap();
    fs::rename(&new, path).unwrap();
}

async fn ends_well(rig: &Rig, session: e3_core::envelope::Verified<e3_core::document::Session>) {
    let run = crate::common::Run {
        session,
        marks: rig.scratch.path().to_owned(),
    };
    rig.ends_well(&run).await;
}
