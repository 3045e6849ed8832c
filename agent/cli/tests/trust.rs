//! Attacks on what the command reads: it verifies like a party does.

mod common;

use common::World;
use e3_cli::commands::fleet::publish::{LIFETIME, publish};
use e3_cli::commands::fleet::{OpenFleet, Stale};
use e3_cli::error::{Error, Exit};
use e3_client::{clock, files};
use e3_core::document::{Head, RootRef};
use e3_core::envelope::Envelope;
use e3_core::limits;
use e3_core::time::Time;
use e3_core::trust::TrustError;
use e3_hub::{Location, Tls};

fn read(world: &World, file: &str) -> Vec<u8> {
    files::read_bounded(&world.store().join(file), limits::HEAD).unwrap()
}

fn head_of(bytes: &[u8]) -> Head {
    Envelope::parse(bytes, limits::HEAD)
        .unwrap()
        .unverified()
        .unwrap()
}

#[tokio::test]
async fn an_older_head_is_refused_also_by_the_next_command() {
    let world = World::new().await;
    let old = read(&world, "head.json");
    let mut fleet = world.open().await;
    publish(&mut fleet, &world.owner, LIFETIME, |_| Ok(true))
        .await
        .unwrap();
    files::write_atomic(&world.store().join("head.json"), &old).unwrap();
    // The tree is the hub: whatever serves it shows the old head now.
    let mut file = world.file();
    file.set_hub(&format!("file://{}", world.store().display()));
    let mut next = OpenFleet::at(file).await.unwrap();
    let error = next.sync(Stale::Allow).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Trust(TrustError::Rollback {
                floor: 2,
                found: 1,
                ..
            })
        ),
        "{error:?}"
    );
    assert_eq!(error.exit(), Exit::Refused);
    assert!(error.remedy().is_some());
}

#[tokio::test]
async fn two_heads_with_one_counter_are_equivocation() {
    let world = World::new().await;
    let mut fleet = world.open().await;
    fleet.sync(Stale::Refuse).await.unwrap();
    let mut head = fleet.head().unwrap().clone();
    head.expires = head.expires.plus(1);
    let other = Envelope::sign(&head, &[&world.owner]).unwrap().to_bytes();
    let error = fleet.take_head(&other, Stale::Refuse).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Trust(TrustError::Equivocation { counter: 1, .. })
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_head_of_a_strange_key_is_refused() {
    let world = World::new().await;
    let mut fleet = world.open().await;
    let mut head = head_of(&read(&world, "head.json"));
    head.counter = 2;
    let forged = Envelope::sign(&head, &[&common::key(66)])
        .unwrap()
        .to_bytes();
    let error = fleet.take_head(&forged, Stale::Allow).await.unwrap_err();
    assert!(
        matches!(error, Error::Trust(TrustError::Envelope { .. })),
        "{error:?}"
    );
    assert!(fleet.trust.head.is_none(), "nothing of it was taken");
}

#[tokio::test]
async fn an_expired_head_is_refused_for_work_and_can_be_renewed() {
    // The owner has been away: the fleet was made a month ago, and its only head was good for 14 days.
    let month_ago = Time::from_unix(clock::now().unix() - 30 * 86_400);
    let mut world = World::made(|_| {}, month_ago);
    let file = world.file();
    let [root, head] = [file.root_path(1), file.folder.join("head.json")];
    let [root, head] =
        [root, head].map(|path| files::read_bounded(&path, limits::ENVELOPE).unwrap());
    e3_hub::init(
        &Location::Folder(world.store()),
        &root,
        Some(&head),
        month_ago,
    )
    .await
    .unwrap();
    world.start(Tls::None).await.unwrap();
    let mut fleet = world.open().await;
    let error = fleet.sync(Stale::Refuse).await.unwrap_err();
    assert!(
        matches!(error, Error::Trust(TrustError::Expired { .. })),
        "{error:?}"
    );
    assert!(
        error
            .remedy()
            .is_some_and(|remedy| remedy.contains("e3 hub renew"))
    );
    publish(&mut fleet, &world.owner, LIFETIME, |_| Ok(true))
        .await
        .unwrap();
    fleet.sync(Stale::Refuse).await.unwrap();
    assert!(fleet.trust.head_is_fresh(clock::now()));
}

#[tokio::test]
async fn a_hub_that_nobody_runs_is_unreachable() {
    let mut world = World::new().await;
    world.stop().await;
    let mut fleet = world.open().await;
    let error = fleet.sync(Stale::Allow).await.unwrap_err();
    assert_eq!(
        (error.exit(), error.kind().as_str()),
        (Exit::Unreachable, "hub-unreachable")
    );
}

#[tokio::test]
async fn a_hub_with_another_authority_than_pinned_is_not_talked_to() {
    let tls = |folder: &std::path::Path| Tls::SelfSigned {
        folder: folder.to_owned(),
        names: vec!["127.0.0.1".to_owned()],
    };
    let [ours, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let world = World::with(|_| {}, tls(ours.path())).await;
    let stranger = World::with(|_| {}, tls(other.path())).await;
    let sync = async |ca: Option<&str>| {
        let mut fleet = OpenFleet::at(world.file()).await.unwrap();
        fleet.hub = e3_client::hub::Hub::open(&world.url, ca.map(str::as_bytes)).unwrap();
        fleet.sync(Stale::Refuse).await
    };
    sync(world.ca_pem.as_deref()).await.unwrap();
    for wrong in [None, stranger.ca_pem.as_deref()] {
        let error = sync(wrong).await.unwrap_err();
        assert_eq!(
            (error.exit(), error.kind().as_str()),
            (Exit::Unreachable, "hub-certificate"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_trust_state_of_another_fleet_is_not_used() {
    let world = World::new().await;
    world.open().await.sync(Stale::Refuse).await.unwrap();
    let path = world.path().join(".e3/trust.json");
    let text = String::from_utf8(files::read_bounded(&path, 1 << 20).unwrap()).unwrap();
    let first = world.file().root.to_string();
    let other = e3_core::digest::Digest::of(b"other").to_string();
    files::write_private(&path, text.replacen(&first, &other, 1).as_bytes()).unwrap();
    let error = OpenFleet::at(world.file()).await.unwrap_err();
    assert!(matches!(error, Error::OtherRoot { .. }), "{error:?}");
    files::write_private(&path, b"{").unwrap();
    assert!(matches!(
        OpenFleet::at(world.file()).await,
        Err(Error::TrustState { .. })
    ));
}

#[tokio::test]
async fn a_new_root_is_walked_to_and_kept_in_the_folder() {
    let world = World::new().await;
    let mut fleet = world.open().await;
    fleet.sync(Stale::Refuse).await.unwrap();
    let next = common::key(2);
    let mut root = fleet.trust.root.clone();
    root.version = 2;
    root.head.keys.push(next.public());
    let root = Envelope::sign(&root, &[&world.owner]).unwrap();
    fleet.hub.put_root(2, root.to_bytes()).await.unwrap();
    publish(&mut fleet, &world.owner, LIFETIME, |head| {
        head.root = RootRef {
            version: 2,
            digest: root.digest(),
        };
        Ok(true)
    })
    .await
    .unwrap();
    // A folder that has seen nothing but the first root gets there, too.
    std::fs::remove_dir_all(world.path().join(".e3")).unwrap();
    std::fs::remove_file(world.file().root_path(2)).unwrap();
    let mut other = world.open().await;
    assert_eq!(other.trust.root.version, 1);
    publish(&mut other, &next, LIFETIME, |_| Ok(true))
        .await
        .unwrap();
    assert_eq!(
        (other.trust.root.version, other.head().unwrap().counter),
        (2, 3)
    );
    assert_eq!(world.file().newest_root().unwrap().digest, root.digest());
}

#[tokio::test]
async fn a_trust_state_that_is_gone_is_not_a_first_contact() {
    let world = World::new().await;
    world.open().await.sync(Stale::Refuse).await.unwrap();
    std::fs::remove_file(world.path().join(".e3/trust.json")).unwrap();
    let error = OpenFleet::at(world.file()).await.unwrap_err();
    assert!(matches!(error, Error::TrustStateGone { .. }), "{error:?}");
    std::fs::remove_dir_all(world.path().join(".e3")).unwrap();
    world.open().await.sync(Stale::Refuse).await.unwrap();
}
