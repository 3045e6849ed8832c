//! A machine joins: from the invite to fleet.toml.

mod common;

use common::{World, key};
use e3_cli::commands::fleet::{OpenFleet, Stale, Standing, accept, enrolled, invite, join_file};
use e3_cli::error::Error;
use e3_client::clock;
use e3_core::document::{Enrolment, Token};
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;

/// What a machine does with its join file.
async fn join(fleet: &OpenFleet, join_file: &str, identity: &SecretKey) {
    let join: toml::Table = join_file.parse().unwrap();
    let token = Token::from_text(join["token"].as_str().unwrap()).unwrap();
    let enrolment = Enrolment {
        fleet: fleet.file.name.clone(),
        invite: token.invite.digest(),
        party: identity.public(),
        signed: clock::now(),
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
