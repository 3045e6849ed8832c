//! The screens that need a hub, parsed and run as from a command line.

mod common;

use common::{PARTIES, World, e3, key, receipt};
use e3_cli::commands::fleet::{Stale, accept, invite};
use e3_cli::commands::session::push::push;
use e3_cli::error::Exit;
use e3_cli::output::Answer;
use e3_client::clock;
use e3_core::degraded::Degraded;
use e3_core::document::{Enrolment, Presence, Progress, SessionPresence};
use e3_core::envelope::Envelope;
use e3_core::session::{Failure, Reason};
use e3_core::time::Time;
use e3_core::update::Trouble;
use e3_hub::Tls;

const DAY: u64 = 86_400;
/// Tests ask nobody on the internet.
const NO_INDEX: &str = "http://127.0.0.1:1/simple";

/// alice, bob and carol enrol; alice and bob are accepted.
async fn populated() -> World {
    let world = World::with(|plan| plan.head_lifetime = 14 * DAY + DAY / 2, Tls::None).await;
    let mut fleet = world.open().await;
    fleet.sync(Stale::Refuse).await.unwrap();
    for (name, n) in PARTIES {
        let invited = invite(&fleet, &name.parse().unwrap(), &world.owner, 600).unwrap();
        let identity = key(n);
        let enrolment = Enrolment {
            fleet: fleet.file.name.clone(),
            invite: invited.token.invite.digest(),
            party: identity.public(),
            signed: clock::now(),
        };
        let enrolment = Envelope::sign(&enrolment, &[&identity, &invited.token.key]).unwrap();
        fleet
            .hub
            .enrol(&enrolment.to_bytes(), &invited.token.invite.to_bytes())
            .await
            .unwrap();
    }
    accept(
        &mut fleet,
        Some(&["alice".parse().unwrap(), "bob".parse().unwrap()]),
    )
    .await
    .unwrap();
    world
}

async fn present(
    world: &World,
    place: usize,
    degraded: Option<Degraded>,
    sessions: Vec<SessionPresence>,
) {
    let (name, n) = PARTIES[place];
    let presence = Presence {
        fleet: "demo".parse().unwrap(),
        party: key(n).public(),
        name: name.parse().unwrap(),
        owner: world.owner.public(),
        counter: 1,
        // Five and a half minutes ago, so that the screen is the same a few seconds later.
        signed: Time::from_unix(clock::now().unix() - 330),
        agent: "0.1.0".to_owned(),
        addresses: Vec::new(),
        meshes: std::collections::BTreeMap::default(),
        mesh_keys: std::collections::BTreeMap::default(),
        mesh_endpoints: std::collections::BTreeMap::default(),
        degraded,
        // The first one had a bad update; it works all the same.
        update: (place == 0).then(|| Trouble::Failed {
            version: "0.2.0".to_owned(),
            starts: 3,
        }),
        root: 1,
        head: 1,
        sessions,
    };
    let bytes = Envelope::sign(&presence, &[&key(n)]).unwrap().to_bytes();
    world
        .open()
        .await
        .hub
        .put_presence(&key(n).public(), bytes)
        .await
        .unwrap();
}

#[tokio::test]
async fn fleet_status_tells_how_everybody_is() {
    let world = populated().await;
    let mut fleet = world.open().await;
    let pushed = push(
        &mut fleet,
        &world.bundle("salary", 1),
        &world.owner,
        &mut |_| {},
    )
    .await
    .unwrap();
    let running = SessionPresence {
        manifest: pushed.session.digest,
        progress: Progress::Running,
        failure: None,
    };
    present(&world, 0, None, vec![running]).await;
    present(&world, 1, Some(Degraded::HeadExpired), Vec::new()).await;
    let key_file = world.folder.path().join("owner.pem");
    e3_client::files::write_secret(&key_file, world.owner.to_pem().as_bytes()).unwrap();
    let (key_file, join) = (
        key_file.display().to_string(),
        world.folder.path().join("dave.toml").display().to_string(),
    );
    e3(
        &world,
        &["fleet", "invite", "dave", "--key", &key_file, "-o", &join],
    )
    .await;
    let mut status = e3(&world, &["fleet", "status"]).await;
    // The invite was made some milliseconds or a second ago.
    status.text = status.text.replace("ends in 6 days", "ends in 7 days");
    insta::assert_snapshot!(status.text);
    assert_eq!(status.exit, Exit::Ok);
    let parties = status.json["parties"].as_array().unwrap();
    let new: Vec<_> = parties
        .iter()
        .filter(|p| p["new"] == true)
        .map(|p| p["name"].as_str().unwrap())
        .collect();
    assert_eq!(new, ["carol"]);
    assert_eq!(status.json["head"]["fresh"], true);
    let accepted = e3(&world, &["fleet", "accept", "--all"]).await;
    assert_eq!(accepted.json["accepted"][0]["name"], "carol");
    // The same tree without any process: presences are read, enrolments cannot be listed.
    let mut file = world.file();
    file.set_hub(&format!("file://{}", world.store().display()));
    file.save().unwrap();
    let still = e3(&world, &["fleet", "status"]).await;
    let states: Vec<_> = still.json["parties"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["state"].clone())
        .collect();
    assert_eq!(states, ["ready", "degraded", "never seen"]);
}

#[tokio::test]
async fn sessions_are_listed_watched_and_verified() {
    let world = populated().await;
    let mut fleet = world.open().await;
    let empty = e3(&world, &["session", "list"]).await;
    insta::assert_snapshot!(empty.text, @"The head names no session. `e3 session push BUNDLE` publishes one.\n");
    let good = push(
        &mut fleet,
        &world.bundle("auction", 1),
        &world.owner,
        &mut |_| {},
    )
    .await
    .unwrap();
    let bad = push(
        &mut fleet,
        &world.bundle("salary", 1),
        &world.owner,
        &mut |_| {},
    )
    .await
    .unwrap();
    push(
        &mut fleet,
        &world.bundle("waiting", 1),
        &world.owner,
        &mut |_| {},
    )
    .await
    .unwrap();
    let failure = Failure::at(
        1,
        Reason::Exited {
            code: 1,
            exception: Some("ValueError".to_owned()),
        },
    );
    for (pushed, failure) in [(&good, None), (&bad, Some(&failure))] {
        for place in 0..3 {
            let (session, manifest) = (&pushed.session.document, pushed.session.digest);
            let bytes = receipt(session, manifest, place, failure.cloned());
            fleet
                .hub
                .put_receipt(&pushed.named.envelope.digest, &manifest, place, bytes)
                .await
                .unwrap();
        }
    }
    let hide = |answer: &Answer| {
        [&good, &bad]
            .iter()
            .fold(answer.text.clone(), |text, pushed| {
                text.replace(&pushed.session.digest.to_string(), "sha256:MANIFEST")
            })
    };
    let list = e3(&world, &["session", "list"]).await;
    let states: Vec<_> = list.json["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["good", "failed", "current"]);
    let watched = e3(&world, &["session", "watch", "auction"]).await;
    insta::assert_snapshot!(hide(&watched));
    assert_eq!(
        (watched.exit, watched.json["outcome"].as_str()),
        (Exit::Ok, Some("done"))
    );
    let failed = e3(&world, &["receipts", "verify", "salary"]).await;
    insta::assert_snapshot!(hide(&failed));
    assert_eq!(
        (failed.exit, failed.json["reason"]["kind"].as_str()),
        (Exit::Failed, Some("exited"))
    );
    // The same from a folder of receipts and the bundle, without any hub.
    let folder = world
        .store()
        .join("receipts")
        .join(good.session.digest.hex());
    let folder = folder.display().to_string();
    let bundle = world
        .folder
        .path()
        .join("auction-1.session")
        .display()
        .to_string();
    let mut world = world;
    world.stop().await;
    let offline = e3(&world, &["receipts", "verify", &bundle, "--dir", &folder]).await;
    assert_eq!(offline.json["outcome"], "done");
    std::fs::remove_file(std::path::Path::new(&folder).join("1.json")).unwrap();
    let missing = e3(&world, &["receipts", "verify", &bundle, "--dir", &folder]).await;
    assert_eq!(
        (missing.exit, missing.json["name"].as_str()),
        (Exit::Failed, Some("bob"))
    );
}

#[tokio::test]
async fn a_failing_doctor_says_which_check_failed() {
    let mut world = World::new().await;
    let good = e3(
        &world,
        &[
            "doctor",
            "--key",
            "/nonexistent/key.pem",
            "--index",
            NO_INDEX,
        ],
    )
    .await;
    let state = |answer: &Answer, what: &str| {
        let checks = answer.json["checks"].as_array().unwrap();
        checks
            .iter()
            .find(|check| check["what"] == what)
            .map(|check| check["state"].as_str().unwrap().to_owned())
    };
    for what in ["python", "fleet", "hub", "head", "clock"] {
        assert_eq!(
            state(&good, what).as_deref(),
            Some("ok"),
            "{what}: {}",
            good.text
        );
    }
    assert_eq!(state(&good, "key").as_deref(), Some("warn"));
    world.stop().await;
    let bad = e3(&world, &["doctor", "--index", NO_INDEX]).await;
    assert_eq!(
        (bad.exit, state(&bad, "hub").as_deref()),
        (Exit::Failed, Some("fail"))
    );
}

#[tokio::test]
async fn a_hub_does_not_serve_another_fleets_store() {
    let [mut ours, mut theirs] = [World::new().await, World::new().await];
    ours.stop().await;
    theirs.stop().await;
    for file in ["head.json", "root/1.json"] {
        std::fs::copy(theirs.store().join(file), ours.store().join(file)).unwrap();
    }
    let error = ours.start(Tls::None).await.unwrap_err();
    assert_eq!(
        (error.exit(), error.kind().as_str()),
        (Exit::Input, "serve")
    );
    theirs.start(Tls::None).await.unwrap();
}
