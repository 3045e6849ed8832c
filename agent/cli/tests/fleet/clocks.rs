//! A party that has lived in 2099. Its clock cannot be set here, but what it has left at the hub can be made.

use std::process::Command;

use e3_client::files;
use e3_core::document::Presence;
use e3_core::envelope::Envelope;
use e3_core::time::Time;
use serde_json::Value;

use crate::common::{Rig, until};

/// What it says of itself, as the hub has it.
async fn presence(rig: &Rig) -> Presence {
    let party = &rig.fleet.open.file.parties[1];
    until("the hub holds a presence", async || {
        let bytes = rig.fleet.open.hub.presence(&party.key).await.ok()??;
        Presence::open(&bytes, &party.key, &rig.fleet.open.file.name)
    })
    .await
}

/// What its owner sees of it.
fn seen(rig: &Rig) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_e3"));
    command.args(["fleet", "status", "--json", "--fleet"]);
    let answer = command
        .arg(rig.fleet.folder.join("fleet"))
        .output()
        .unwrap();
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    let name = rig.fleet.open.file.parties[1].name.as_str();
    let parties = answer["parties"].as_array().unwrap();
    parties
        .iter()
        .find(|party| party["name"] == name)
        .unwrap()
        .clone()
}

#[tokio::test]
async fn a_party_that_has_lived_in_2099_is_heard_again_once_its_clock_is_right() {
    let mut rig = Rig::new().await;
    let now = presence(&rig).await.signed;
    rig.fleet.kill_agent(1).await;
    let key = files::read_key(&rig.fleet.parties[1].state().join("identity.pem")).unwrap();
    let future: Time = "2099-06-01T12:00:00Z".parse().unwrap();
    let then = Presence {
        counter: u64::try_from(future.unix() * 1000).unwrap(),
        signed: future,
        ..presence(&rig).await
    };
    let envelope = Envelope::sign(&then, &[&key]).unwrap().to_bytes();
    let hub = &rig.fleet.open.hub;
    hub.put_presence(&key.public(), envelope).await.unwrap();
    // Its owner is not told that it was heard just now.
    let ahead = seen(&rig)["clock_ahead"].as_i64().unwrap();
    assert!((future.since(now) - ahead).abs() < 3600, "{ahead}");

    rig.fleet.start_agent(1).unwrap();
    let heard = until("its presence replaces the one of 2099", async || {
        let heard = presence(&rig).await;
        (heard.counter > then.counter).then_some(heard)
    })
    .await;
    assert!(heard.signed < future);
    let now = seen(&rig);
    assert_eq!(
        (&now["state"], &now["clock_ahead"]),
        (&"ready".into(), &Value::Null)
    );
    // Each later one, too: it says how the session goes.
    rig.still_works().await;
    let what = "the hub hears of the session's end";
    until(what, async || {
        let heard = presence(&rig).await;
        (!heard.sessions.is_empty() && seen(&rig)["busy"] == false).then_some(())
    })
    .await;
    rig.stop().await;
}
