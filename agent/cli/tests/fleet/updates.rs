//! Agents that replace themselves, and sessions that must not notice.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use e3_cli::commands::fleet::publish::{LIFETIME, publish};
use e3_client::clock;
use e3_core::digest::{Blob, Digest};
use e3_core::document::{Binary, Release};
use e3_core::envelope::Envelope;
use e3_core::update::{Stage, State};

use crate::common::{DEADLINE, Rig, agent, slow, until};

/// Releases the agent with something behind its end: another file, which works like it.
async fn release(rig: &mut Rig) -> Digest {
    let mut bytes = fs::read(agent()).unwrap();
    bytes.extend_from_slice(b"\nthe next agent\n");
    let keys = rig.fleet.open.file.folder.join("keys/release.pem");
    let (key, now) = (e3_client::files::read_key(&keys).unwrap(), clock::now());
    let release = Release {
        fleet: rig.fleet.open.trust.root.fleet.clone(),
        epoch: rig.fleet.open.trust.root.epoch,
        counter: 1,
        version: "999.0.0".to_owned(),
        signed: now,
        expires: now.plus(3600),
        binaries: vec![Binary {
            target: format!("{}-unknown-linux-musl", std::env::consts::ARCH),
            file: Blob::of(&bytes),
        }],
    };
    let envelope = Envelope::sign(&release, &[&key]).unwrap().to_bytes();
    let named = Blob::of(&envelope);
    let hub = &rig.fleet.open.hub;
    let stored = hub.put_release(envelope).await.unwrap();
    hub.put_binary(&stored, bytes).await.unwrap();
    let owner = e3_client::files::read_key(&rig.fleet.folder.join("owner.pem")).unwrap();
    publish(&mut rig.fleet.open, &owner, LIFETIME, |head| {
        head.release = Some(named);
        Ok(true)
    })
    .await
    .unwrap();
    release.binaries[0].file.digest
}

/// The binary that a machine's agent is.
fn runs(rig: &Rig, place: usize) -> PathBuf {
    fs::read_link(format!("/proc/{}/exe", rig.agent_pid(place))).unwrap()
}

fn stage(rig: &Rig, place: usize) -> Option<Stage> {
    let path = rig.fleet.parties[place].state().join("update.json");
    let state: State = serde_json::from_slice(&fs::read(path).ok()?).unwrap();
    Some(state.candidate?.stage)
}

#[tokio::test]
async fn an_update_waits_until_the_session_is_over_and_the_next_one_runs_on_it() {
    let mut rig = Rig::new().await;
    let before: Vec<PathBuf> = (0..3).map(|place| runs(&rig, place)).collect();
    let run = rig.push(&slow()).await;
    rig.runs_at(&run, &[0, 1, 2]).await;
    let file = release(&mut rig).await;
    for place in 0..3 {
        let begin = Instant::now();
        while stage(&rig, place) != Some(Stage::Ready) {
            let late = begin.elapsed() > DEADLINE;
            assert!(!late, "not ready at {place}; {}", rig.logs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    // Every party's agent has had its chance to start over, and is still the one that began the session.
    for (place, before) in before.iter().enumerate() {
        assert_eq!(runs(&rig, place), *before);
    }
    run.finish();
    rig.ends_well(&run).await;
    for place in 0..3 {
        let state = rig.fleet.parties[place].state();
        let new = state.join("bin").join(file.hex()).join("e3-agent");
        let what = format!("the update runs at {place}; {}", rig.logs());
        until(&what, async || (runs(&rig, place) == new).then_some(())).await;
    }
    rig.still_works().await;
    rig.stop().await;
}
