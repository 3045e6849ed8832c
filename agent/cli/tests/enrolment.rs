//! A machine joins: from the invite to fleet.toml.

mod common;

use std::collections::BTreeMap;

use common::{World, e3, key, try_e3};
use e3_cli::commands::fleet::{OpenFleet, Stale, Standing, accept, enrolled, invite, join_file};
use e3_cli::error::Error;
use e3_client::clock;
use e3_core::document::{Enrolment, Presence, Token};
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;
use e3_core::mesh::link::Id;
use e3_core::mesh::{Backend, Roster};
use e3_core::time::Time;
use e3_hub::Tls;
use serde_json::json;

/// What a machine does with its join file.
async fn join(fleet: &OpenFleet, join_file: &str, identity: &SecretKey) {
    join_at(fleet, join_file, identity, clock::now()).await;
}

async fn join_at(fleet: &OpenFleet, join_file: &str, identity: &SecretKey, signed: Time) {
    let join: toml::Table = join_file.parse().unwrap();
    let token = Token::from_text(join["token"].as_str().unwrap()).unwrap();
    let enrolment = Enrolment {
        fleet: fleet.file.name.clone(),
        invite: token.invite.digest(),
        party: identity.public(),
        signed,
    };
    let envelope = Envelope::sign(&enrolment, &[identity, &token.key]).unwrap();
    fleet
        .hub
        .enrol(&envelope.to_bytes(), &token.invite.to_bytes())
        .await
        .unwrap();
}

#[tokio::test]
async fn an_invited_machine_becomes_a_party_when_it_is_accepted() {
    let world = World::new().await;
    let mut fleet = world.open().await;
    fleet.sync(Stale::Refuse).await.unwrap();
    let name = "alice".parse().unwrap();
    let invited = invite(&fleet, &name, &world.owner, 600).unwrap();
    let text = join_file(&fleet, &invited).unwrap();
    let parsed: toml::Table = text.parse().unwrap();
    for (field, value) in [("fleet", "demo"), ("hub", &world.url), ("name", "alice")] {
        assert_eq!(parsed[field].as_str(), Some(value), "{field}");
    }
    assert_eq!(
        parsed["root"].as_str(),
        Some(world.file().root.to_string().as_str())
    );
    assert_eq!(
        parsed["owner"].as_str(),
        Some(world.owner.public().to_string().as_str())
    );
    assert!(parsed["policy"].is_table());

    join(&fleet, &text, &key(11)).await;
    let (parties, refused) = enrolled(&fleet).await.unwrap();
    assert!(refused.is_empty(), "{refused:?}");
    assert_eq!(
        parties.iter().map(|p| p.standing).collect::<Vec<_>>(),
        [Standing::New]
    );
    let added = accept(&mut fleet, None).await.unwrap();
    assert_eq!(added.len(), 1);
    assert_eq!(world.file().parties, added);
    assert!(accept(&mut fleet, None).await.unwrap().is_empty());
    let (parties, _) = enrolled(&fleet).await.unwrap();
    assert_eq!(parties[0].standing, Standing::Accepted);
    let unknown = accept(&mut fleet, Some(&["bob".parse().unwrap()]))
        .await
        .unwrap_err();
    assert!(matches!(unknown, Error::NoSuchParty(..)), "{unknown:?}");
}

#[tokio::test]
async fn a_second_machine_of_a_name_is_only_taken_when_it_is_named() {
    let world = World::new().await;
    let mut fleet = world.open().await;
    fleet.sync(Stale::Refuse).await.unwrap();
    let name: e3_core::name::Name = "alice".parse().unwrap();
    let invites = [0, 1].map(|_| invite(&fleet, &name, &world.owner, 600).unwrap());
    join(&fleet, &join_file(&fleet, &invites[0]).unwrap(), &key(11)).await;
    accept(&mut fleet, None).await.unwrap();
    join(&fleet, &join_file(&fleet, &invites[1]).unwrap(), &key(12)).await;
    assert!(accept(&mut fleet, None).await.unwrap().is_empty());
    let (parties, _) = enrolled(&fleet).await.unwrap();
    let standings: Vec<_> = parties.iter().map(|p| (p.member.key, p.standing)).collect();
    assert!(
        standings.contains(&(key(12).public(), Standing::OtherKey)),
        "{standings:?}"
    );
    assert!(
        standings.contains(&(key(11).public(), Standing::Accepted)),
        "{standings:?}"
    );
}

#[tokio::test]
async fn only_owners_invite() {
    let world = World::new().await;
    let fleet = world.open().await;
    let error = invite(&fleet, &"alice".parse().unwrap(), &key(9), 600).err();
    assert!(
        matches!(
            error,
            Some(Error::NotAllowed {
                role: "invites",
                ..
            })
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_enrolment_that_the_hub_made_up_is_refused_by_name() {
    let world = World::new().await;
    let fleet = world.open().await;
    let invited = invite(&fleet, &"alice".parse().unwrap(), &world.owner, 600).unwrap();
    // The hub has the invite, but not its one-time secret.
    let thief = key(66);
    let enrolment = Enrolment {
        fleet: fleet.file.name.clone(),
        invite: invited.token.invite.digest(),
        party: thief.public(),
        signed: clock::now(),
    };
    let enrolment = Envelope::sign(&enrolment, &[&thief]).unwrap().to_bytes();
    let record = [
        b"{\"enrolment\":",
        enrolment.as_slice(),
        b",\"invite\":",
        &invited.token.invite.to_bytes(),
        b"}",
    ]
    .concat();
    let folder = world.store().join("parties");
    std::fs::create_dir_all(&folder).unwrap();
    e3_client::files::write_atomic(&folder.join(format!("{}.json", thief.public())), &record)
        .unwrap();
    let (parties, refused) = enrolled(&fleet).await.unwrap();
    assert!(parties.is_empty());
    assert!(
        refused[0].contains(&thief.public().to_string()),
        "{refused:?}"
    );
}

#[tokio::test]
async fn the_door_shows_who_waits_and_turns_away_for_good() {
    let world = World::new().await;
    let key_file = world.key_file();
    let mut fleet = world.open().await;
    fleet.sync(Stale::Refuse).await.unwrap();
    let names = ["alice", "bob"].map(|name| name.parse::<e3_core::name::Name>().unwrap());
    let mut files = Vec::new();
    for (name, n) in names.iter().zip(11..) {
        let invited = invite(&fleet, name, &world.owner, 600).unwrap();
        let file = join_file(&fleet, &invited).unwrap();
        join(&fleet, &file, &key(n)).await;
        files.push(file);
    }
    let pending = e3(&world, &["fleet", "pending"]).await;
    assert_eq!(pending.json["pending"].as_array().unwrap().len(), 2);
    let words = key(11).public().words();
    assert_eq!(pending.json["pending"][0]["words"], words);
    assert!(pending.text.contains(&words), "{}", pending.text);
    let denied = e3(&world, &["fleet", "deny", "bob", "--key", &key_file]).await;
    assert_eq!(denied.json["denied"][0]["name"], "bob");
    e3(&world, &["fleet", "approve", "alice", "--yes"]).await;
    let pending = e3(&world, &["fleet", "pending"]).await;
    assert_eq!(pending.text, "Nobody waits.\n");
    // Who is in is not turned away by mistake.
    let error = try_e3(&world, &["fleet", "deny", "alice", "--key", &key_file]).await;
    assert!(matches!(error, Err(Error::NoSuchParty(..))), "{error:?}");
    assert_eq!(world.file().parties.len(), 1);

    // It comes again with the same token.
    let token: toml::Table = files[1].parse().unwrap();
    let token = Token::from_text(token["token"].as_str().unwrap()).unwrap();
    let enrolment = Enrolment {
        fleet: fleet.file.name.clone(),
        invite: token.invite.digest(),
        party: key(12).public(),
        signed: clock::now(),
    };
    let envelope = Envelope::sign(&enrolment, &[&key(12), &token.key]).unwrap();
    let again = fleet
        .hub
        .enrol(&envelope.to_bytes(), &token.invite.to_bytes())
        .await
        .unwrap_err();
    assert!(
        again.to_string().contains("taken this invite back"),
        "{again}"
    );
}

#[tokio::test]
async fn a_party_and_an_invite_are_taken_back() {
    let world = World::new().await;
    let key_file = world.key_file();
    let joins = world.folder.path().join("joins");
    let folder = joins.display().to_string();
    let invite = [
        "fleet",
        "invite",
        "pi",
        "--count",
        "3",
        "--for",
        "pi",
        "--expires",
        "1h",
    ];
    let invite = [&invite[..], &["--key", &key_file, "-o", &folder]].concat();
    let invited = e3(&world, &invite).await;
    assert_eq!(invited.json["invites"].as_array().unwrap().len(), 3);
    // Nothing is written over, and nothing is half done.
    std::fs::remove_file(joins.join("pi-2.toml")).unwrap();
    let again = try_e3(&world, &invite).await;
    assert!(matches!(again, Err(Error::Exists { .. })), "{again:?}");
    assert!(!joins.join("pi-2.toml").exists());

    let fleet = world.open().await;
    let file = std::fs::read_to_string(joins.join("pi-1.toml")).unwrap();
    join(&fleet, &file, &key(11)).await;
    e3(&world, &["fleet", "accept", "pi-1", "--yes"]).await;
    let revoke = ["fleet", "revoke", "pi-1", "pi-3", "--key", &key_file];
    let revoked = e3(&world, &revoke).await;
    assert_eq!(
        (&revoked.json["invites"], &revoked.json["head"]),
        (&2.into(), &serde_json::Value::Null)
    );
    assert!(world.file().parties.is_empty());
    let status = e3(&world, &["fleet", "status"]).await;
    assert!(status.json["parties"].as_array().unwrap().is_empty());
    let left: Vec<_> = status.json["invites"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["name"].clone())
        .collect();
    assert_eq!(left, ["pi-2"]);
    // Once more says that there is nobody.
    let error = try_e3(&world, &revoke).await;
    assert!(matches!(error, Err(Error::NoSuchParty(..))), "{error:?}");
}

/// As a tool does that destroys many machines at once.
#[tokio::test]
async fn commands_that_change_the_fleet_at_the_same_time_lose_nothing() {
    let world = World::new().await;
    let key_file = world.key_file();
    let joins = world.folder.path().join("joins").display().to_string();
    e3(
        &world,
        &[
            "fleet", "invite", "p", "--count", "4", "--key", &key_file, "-o", &joins,
        ],
    )
    .await;
    let fleet = world.open().await;
    for (n, place) in (1..=4).zip(11..) {
        let file = std::fs::read_to_string(format!("{joins}/p-{n}.toml")).unwrap();
        join(&fleet, &file, &key(place)).await;
    }
    e3(&world, &["fleet", "accept", "--all", "--yes"]).await;
    assert_eq!(world.file().parties.len(), 4);
    let folder = world.path().display().to_string();
    // Locks of files hold between processes, so processes they are.
    let revoke = |name: String| {
        tokio::process::Command::new(env!("CARGO_BIN_EXE_e3"))
            .args(["fleet", "revoke", "--if-known", &name, "nobody"])
            .args(["--key", &key_file, "--fleet", &folder])
            .output()
    };
    let all = (1..=4).map(|n| revoke(format!("p-{n}")));
    let all: Vec<_> = all.map(tokio::spawn).collect();
    for one in all {
        let output = one.await.unwrap().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    assert!(
        world.file().parties.is_empty(),
        "{:?}",
        world.file().parties
    );
}

/// What a machine says of itself once it has enrolled: with its key for the built-in mesh.
async fn speak(fleet: &OpenFleet, name: &str, identity: &SecretKey, link: &str) {
    let presence = Presence {
        fleet: fleet.file.name.clone(),
        party: identity.public(),
        name: name.parse().unwrap(),
        owner: key(1).public(),
        counter: 1,
        signed: clock::now(),
        agent: "0.1.0".to_owned(),
        image: None,
        addresses: Vec::new(),
        meshes: BTreeMap::new(),
        mesh_endpoints: BTreeMap::new(),
        mesh_keys: [("link".to_owned(), link.to_owned())].into(),
        degraded: None,
        update: None,
        root: 1,
        head: 1,
        sessions: Vec::new(),
    };
    let envelope = Envelope::sign(&presence, &[identity]).unwrap();
    let party = identity.public();
    let told = fleet.hub.put_presence(&party, envelope.to_bytes());
    told.await.unwrap();
}

/// A machine that has come as far as the door.
async fn comes(world: &World, fleet: &OpenFleet, name: &str, identity: &SecretKey, link: &str) {
    let invited = invite(fleet, &name.parse().unwrap(), &world.owner, 600).unwrap();
    join(fleet, &join_file(fleet, &invited).unwrap(), identity).await;
    speak(fleet, name, identity, link).await;
}

/// A fleet whose owner has chosen nothing.
async fn unchosen() -> World {
    let relay = "https://hub.example:8421".to_owned();
    World::with(|plan| plan.relay = Some(relay), Tls::None).await
}

/// The key of a machine for the built-in mesh.
fn link(n: u8) -> String {
    Id::from(key(n).public()).to_string()
}

async fn roster(world: &World) -> (u64, Roster) {
    let mut fleet = world.open().await;
    fleet.sync(Stale::Refuse).await.unwrap();
    let head = fleet.head().unwrap();
    (
        head.counter,
        head.meshes[0].backend.roster().unwrap().clone(),
    )
}

#[tokio::test]
async fn a_fleet_that_has_chosen_nothing_meets_at_the_relay_of_its_hub_or_directly() {
    let world = unchosen().await;
    let mut fleet = world.open().await;
    fleet.sync(Stale::Refuse).await.unwrap();
    let plan = &fleet.head().unwrap().meshes[0];
    let Backend::Link(link) = &plan.backend else {
        panic!("{plan:?}")
    };
    assert!(plan.direct);
    assert_eq!(link.relays[0].url, "https://hub.example:8421");
    // The authority is the one that the hub will have.
    let own = e3_hub::authority(&world.path().join("keys/hub-tls")).unwrap();
    assert_eq!(link.authorities.as_deref(), Some(own.as_str()));
    let told = std::fs::read_to_string(world.path().join("relay-ca.pem")).unwrap();
    assert_eq!(told, own);
}

#[tokio::test]
async fn who_is_accepted_is_let_in_by_the_same_head() {
    let world = unchosen().await;
    let fleet = world.open().await;
    for (name, n) in [("alice", 11), ("bob", 12)] {
        comes(&world, &fleet, name, &key(n), &link(n)).await;
    }
    // Nobody is in before that.
    assert_eq!(roster(&world).await, (1, Roster::default()));
    let owner = world.key_file();
    let answer = e3(
        &world,
        &["fleet", "accept", "--all", "--yes", "--key", &owner],
    )
    .await;
    assert_eq!(answer.json["let_in"], json!(["alice", "bob"]));
    let (head, members) = roster(&world).await;
    // One head for both.
    assert_eq!((head, members.members.len()), (2, 2));
    assert_eq!(members.key(&key(11).public()), Some(link(11).as_str()));
    let again = e3(
        &world,
        &["fleet", "accept", "--all", "--yes", "--key", &owner],
    )
    .await;
    assert_eq!(
        (again.json["let_in"].clone(), roster(&world).await.0),
        (json!([]), 2)
    );
    let status = e3(&world, &["fleet", "status"]).await;
    assert_eq!(status.json["warnings"], json!([]));

    // Another machine takes the name: it takes the place, too.
    let first = roster(&world).await.1;
    let fleet = world.open().await;
    let mut other = fleet.clone();
    other.file.remove_party(&"bob".parse().unwrap());
    let invited = invite(&other, &"bob".parse().unwrap(), &world.owner, 600).unwrap();
    // Which one came last is told by the second.
    let later = clock::now().plus(2);
    join_at(
        &fleet,
        &join_file(&fleet, &invited).unwrap(),
        &key(13),
        later,
    )
    .await;
    speak(&fleet, "bob", &key(13), &link(13)).await;
    let answer = e3(
        &world,
        &["fleet", "accept", "bob", "--yes", "--key", &owner],
    )
    .await;
    assert_eq!(answer.json["let_in"], json!(["bob"]));
    let (head, members) = roster(&world).await;
    assert_eq!((head, members.members.len()), (3, 2));
    assert!(first.key(&key(12).public()).is_some() && members.key(&key(12).public()).is_none());
}

#[tokio::test]
async fn who_cannot_sign_heads_accepts_and_leaves_the_rest_to_others() {
    let world = unchosen().await;
    let fleet = world.open().await;
    comes(&world, &fleet, "alice", &key(11), &link(11)).await;
    let stranger = world.folder.path().join("stranger.pem");
    e3_client::files::write_secret(&stranger, key(66).to_pem().as_bytes()).unwrap();
    for file in [stranger, world.folder.path().join("nowhere.pem")] {
        let mut fleet = world.file();
        fleet.remove_party(&"alice".parse().unwrap());
        fleet.save().unwrap();
        let file = file.display().to_string();
        let answer = e3(
            &world,
            &["fleet", "accept", "alice", "--yes", "--key", &file],
        )
        .await;
        assert!(answer.text.contains("e3 mesh sign"), "{}", answer.text);
        assert_eq!(world.file().parties.len(), 1);
    }
    let status = e3(&world, &["fleet", "status"]).await;
    let warning = status.json["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("alice") && warning.contains("e3 mesh sign"),
        "{warning}"
    );
    let owner = world.key_file();
    let signed = e3(&world, &["mesh", "sign", "--key", &owner]).await;
    assert_eq!(signed.json["signed"], json!(["alice"]));
}

#[tokio::test]
async fn of_two_machines_that_show_one_key_neither_is_let_in_and_both_are_named() {
    let world = unchosen().await;
    let fleet = world.open().await;
    comes(&world, &fleet, "alice", &key(11), &link(11)).await;
    // Mallory has seen it on the hub, and is accepted first.
    comes(&world, &fleet, "mallory", &key(66), &link(11)).await;
    let owner = world.key_file();
    for name in ["mallory", "alice"] {
        let answer = e3(&world, &["fleet", "accept", name, "--yes", "--key", &owner]).await;
        assert_eq!(answer.json["let_in"], json!([]), "{name}");
        let why = answer.json["refused"].to_string();
        assert!(why.contains("alice") && why.contains("mallory"), "{why}");
        assert!(answer.text.contains("e3 fleet revoke"), "{}", answer.text);
    }
    let signed = e3(&world, &["mesh", "sign", "--key", &owner]).await;
    assert_eq!(
        (signed.json["signed"].clone(), roster(&world).await.0),
        (json!([]), 1)
    );
    assert_eq!(signed.json["refused"].as_array().unwrap().len(), 2);
    let status = e3(&world, &["fleet", "status"]).await;
    assert_eq!(status.json["warnings"].as_array().unwrap().len(), 2);
    // Once the thief is out, its victim comes in.
    e3(&world, &["fleet", "revoke", "mallory", "--key", &owner]).await;
    let signed = e3(&world, &["mesh", "sign", "--key", &owner]).await;
    assert_eq!(signed.json["signed"], json!(["alice"]));
}
