//! The screens that need a hub, parsed and run as from a command line.

mod common;

use common::{PARTIES, World, e3, key, receipt, try_e3};
use e3_cli::commands::fleet::{Stale, accept, invite, watch};
use e3_cli::commands::session::push::push;
use e3_cli::error::Exit;
use e3_cli::output::Answer;
use e3_client::clock;
use e3_core::degraded::Degraded;
use e3_core::document::{Enrolment, PartyAnswer, Presence, Progress, SessionPresence};
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
        image: None,
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
    let accepted = e3(&world, &["fleet", "accept", "--all", "--yes"]).await;
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

#[tokio::test]
async fn nobody_is_accepted_whose_words_nobody_has_compared() {
    let world = populated().await;
    let before = world.file().parties.len();
    // A script cannot compare them, and has to say so.
    let error = try_e3(&world, &["fleet", "accept", "carol", "--json"]).await;
    let error = error.unwrap_err();
    assert_eq!(
        (error.exit(), error.kind().as_str()),
        (Exit::Input, "usage")
    );
    assert!(error.remedy().unwrap().contains("--yes"), "{error}");
    assert_eq!(world.file().parties.len(), before);
    // Nobody to accept, nothing to ask.
    e3(&world, &["fleet", "accept", "alice", "--json"]).await;
    let accepted = e3(&world, &["fleet", "accept", "carol", "--yes"]).await;
    let words = key(13).public().words();
    assert!(accepted.text.contains(&words), "{}", accepted.text);
    assert_eq!(accepted.json["accepted"][0]["words"], words);
}

#[tokio::test]
async fn a_watched_fleet_tells_each_change_and_outlives_its_hub() {
    let mut world = populated().await;
    let listen = world.url.trim_start_matches("http://").to_owned();
    let mut fleet = world.open().await;
    let (sender, mut shown) = tokio::sync::mpsc::unbounded_channel();
    let watching = tokio::spawn(async move {
        watch::watch(&mut fleet, &mut |shown| sender.send(shown).is_ok()).await
    });
    // The next change for which this holds; what comes before is passed over.
    let mut until = async |what: &str, holds: &dyn Fn(&serde_json::Value) -> bool| {
        let next = async {
            loop {
                let shown = shown.recv().await.expect("the watch goes on");
                if let Some(change) = shown.changes.iter().find(|change| holds(change)) {
                    return (change.clone(), shown.text.clone());
                }
            }
        };
        let next = tokio::time::timeout(std::time::Duration::from_secs(30), next).await;
        next.unwrap_or_else(|_| panic!("not told: {what}"))
    };
    let alice = |change: &serde_json::Value| change["party"]["name"] == "alice";
    let (change, text) = until("alice is there", &alice).await;
    assert_eq!(change["party"]["state"], "never seen");
    assert!(text.contains("carol"), "{text}");
    present(&world, 0, Some(Degraded::HeadExpired), Vec::new()).await;
    let (change, _) = until("alice is degraded", &alice).await;
    assert_eq!(change["party"]["state"], "degraded");
    // Its hub goes away, and nothing that was known with it.
    world.stop().await;
    let (change, text) = until("the hub is gone", &|change| change["change"] == "hub").await;
    assert_eq!(change["reachable"], false);
    assert!(
        text.contains("was known before") && text.contains("carol"),
        "{text}"
    );
    world.start_at(&listen, Tls::None).await.unwrap();
    let (change, _) = until("the hub is back", &|change| change["change"] == "hub").await;
    assert_eq!(change["reachable"], true);
    // Another command's doing.
    e3(&world, &["fleet", "accept", "carol", "--yes"]).await;
    let carol = |change: &serde_json::Value| change["party"]["name"] == "carol";
    let (change, _) = until("carol is accepted", &carol).await;
    assert_eq!(change["party"]["standing"], "accepted");
    watching.abort();
}

#[tokio::test]
async fn a_question_needs_a_party_and_an_owners_key() {
    let world = populated().await;
    let owner = world.key_file();
    let error = try_e3(&world, &["party", "doctor", "mallory", "--key", &owner]).await;
    assert_eq!(error.unwrap_err().kind(), "no-such-party");
    let stranger = world.folder.path().join("stranger.pem");
    e3_client::files::write_secret(&stranger, key(99).to_pem().as_bytes()).unwrap();
    let stranger = stranger.display().to_string();
    let error = try_e3(&world, &["party", "identify", "alice", "--key", &stranger]).await;
    let error = error.unwrap_err();
    assert_eq!(
        (error.exit(), error.kind().as_str()),
        (Exit::Refused, "key-not-allowed")
    );
    // Nobody answers for alice, who was never there.
    let line = ["party", "logs", "alice", "--timeout", "1", "--key", &owner];
    let error = try_e3(&world, &line).await.unwrap_err();
    assert_eq!(
        (error.exit(), error.kind().as_str()),
        (Exit::Unreachable, "no-answer")
    );
    // What the hub would like her to have said, she has not signed.
    let asked = world
        .store()
        .join(format!("requests/{}.json", key(11).public()));
    let asked = Envelope::parse(&std::fs::read(asked).unwrap(), 1 << 20).unwrap();
    let answer = PartyAnswer {
        fleet: "demo".parse().unwrap(),
        party: key(11).public(),
        request: asked.digest(),
        sealed: "AAAA".to_owned(),
    };
    let forged = Envelope::sign(&answer, &[&key(12)]).unwrap().to_bytes();
    let place = world.store().join("answers");
    std::fs::create_dir_all(&place).unwrap();
    let place = place.join(format!("{}.json", key(11).public()));
    // The hub forgets the answer with each question; a false one puts it there again and again.
    let forging = tokio::spawn(async move {
        loop {
            e3_client::files::write_atomic(&place, &forged).unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    let line = ["party", "logs", "alice", "--timeout", "20", "--key", &owner];
    let error = try_e3(&world, &line).await.unwrap_err();
    forging.abort();
    assert_eq!(
        (error.exit(), error.kind().as_str()),
        (Exit::Refused, "not-signed")
    );
}

#[tokio::test]
async fn a_clock_that_differs_from_the_hubs_fails_the_doctor() {
    // The test's own hub reads the clock of this machine, so it is one that says another date.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut world = World::new().await;
    let url = format!("http://{}", listener.local_addr().unwrap());
    let store = world.store();
    let serving = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 8192];
            let read = stream.read(&mut request).await.unwrap_or(0);
            let line = String::from_utf8_lossy(&request[..read]).into_owned();
            let path = line
                .split(' ')
                .nth(1)
                .unwrap_or("/")
                .trim_start_matches('/');
            let (status, body) = match std::fs::read(store.join(path)) {
                Ok(body) => (200, body),
                Err(_) => (404, Vec::new()),
            };
            let head = format!(
                "HTTP/1.1 {status} X\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
        }
    });
    world.stop().await;
    let mut file = world.file();
    file.set_hub(&url);
    file.save().unwrap();
    let answer = e3(&world, &["doctor", "--index", NO_INDEX]).await;
    serving.abort();
    let checks = answer.json["checks"].as_array().unwrap();
    let of = |what: &str| checks.iter().find(|check| check["what"] == what).unwrap();
    assert_eq!(
        (answer.exit, &of("clock")["state"]),
        (Exit::Failed, &"fail".into())
    );
    assert_eq!(of("hub")["state"], "ok", "{}", answer.text);
    assert_eq!(
        of("disk")["state"].as_str().map(|state| state != "fail"),
        Some(true)
    );
}

#[tokio::test]
async fn a_hubs_name_that_nobody_knows_fails_the_doctor() {
    let mut world = World::new().await;
    world.stop().await;
    let mut file = world.file();
    // RFC 6761: nobody will ever have that name.
    file.set_hub("http://hub.invalid:8420");
    file.save().unwrap();
    let answer = e3(&world, &["doctor", "--index", NO_INDEX]).await;
    let checks = answer.json["checks"].as_array().unwrap();
    let dns = checks.iter().find(|check| check["what"] == "dns").unwrap();
    assert_eq!((answer.exit, &dns["state"]), (Exit::Failed, &"fail".into()));
}
