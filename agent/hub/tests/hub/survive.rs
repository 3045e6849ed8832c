//! Killed in the middle of writing, again and again: the tree stays readable, and nothing that was
//! acknowledged is lost.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use e3_client::hub::Hub;
use e3_core::envelope::Envelope;
use e3_hub::{Location, Settings};

use crate::common::*;

const FOLDER: &str = "E3_HUB_TEST_FOLDER";
const SAYS: &str = "listening on ";

/// Not a test: the hub that is killed. Started by the test below in a process of its own.
#[tokio::test]
#[ignore = "is started by the test that kills it"]
async fn the_hub_that_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let settings = Settings::new(
        Location::Folder(folder.into()),
        ([127, 0, 0, 1], 0).into(),
        now,
    );
    let bound = e3_hub::serve(settings, std::future::pending())
        .await
        .unwrap();
    // The harness has begun the line already.
    println!("\n{SAYS}{}", bound.address);
    bound.stopped().await;
}

fn start(folder: &std::path::Path) -> (Child, Hub) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "survive::the_hub_that_is_killed",
            "--ignored",
            "--nocapture",
        ])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix(SAYS).map(ToOwned::to_owned));
    (
        child,
        Hub::open(&format!("http://{}", address.unwrap()), None).unwrap(),
    )
}

#[tokio::test]
async fn a_kill_at_any_time_leaves_a_readable_tree() {
    let kept = tempfile::tempdir().unwrap();
    let folder = kept.path().join("store");
    e3_hub::init(
        &Location::Folder(folder.clone()),
        &root_bytes(),
        Some(&head_bytes(1)),
        now(),
    )
    .await
    .unwrap();
    let bare = Hub::open(&format!("file://{}", folder.display()), None).unwrap();
    let mut acknowledged = 1;
    for round in 0..6_u64 {
        let (mut child, hub) = start(&folder);
        let first = acknowledged;
        let mut etag = hub.head(None).await.unwrap().unwrap().etag;
        // Publishes until the kill, which comes at another moment of a write each time.
        let publish = async {
            for counter in first + 1.. {
                // The head before the kill may be there without having been acknowledged.
                match hub.put_head(head_bytes(counter + round), Some(&etag)).await {
                    Ok(()) => acknowledged = counter + round,
                    Err(_) => break,
                }
                let Ok(read) = hub.head(None).await else {
                    break;
                };
                etag = read.unwrap().etag;
            }
        };
        let kill = async {
            tokio::time::sleep(std::time::Duration::from_micros(30_000 + 7_777 * round)).await;
            child.kill().unwrap();
        };
        tokio::join!(publish, kill);
        child.wait().unwrap();
        let head = bare.head(None).await.unwrap().unwrap().bytes;
        let envelope = Envelope::parse(&head, 1 << 16).unwrap();
        let head = envelope
            .verify::<e3_core::document::Head>(&[key(2).public()], 1)
            .unwrap()
            .document;
        assert!(
            head.counter >= acknowledged,
            "{} was acknowledged, {} is there",
            acknowledged,
            head.counter
        );
        acknowledged = head.counter;
    }
    assert!(acknowledged > 6, "nothing was published between the kills");
}
