//! Releases that are as they should be.

use std::fs;

use e3_core::digest::Digest;
use e3_core::update::Trouble;

use crate::fleet::{Fleet, agent, installed};

#[test]
fn a_release_is_fetched_tried_and_kept_and_the_last_two_stay() {
    let mut fleet = Fleet::new();
    let init = fleet.boot();
    fleet.until("the installed agent is up", || fleet.status().is_some());
    assert_eq!(init.runs(), Some(installed()));
    let image = Digest::of(&fs::read(installed()).unwrap());
    fleet.until("it says which file it is", || {
        fleet.in_effect()["sha256"] == image.to_string()
    });
    assert_eq!(fleet.in_effect()["origin"], "image");
    let mut files = Vec::new();
    for (counter, version) in [(1, "0.2.0"), (2, "0.3.0"), (7, "0.10.0")] {
        files.push(fleet.release(counter, version, &agent(counter)));
        let file = files.last().unwrap();
        fleet.until("its trial is shown", || {
            let told = fleet.in_effect();
            let trial = &told["candidate"];
            told["version"] == version && trial["stage"] == "trying" && trial["starts"] == 1
        });
        fleet.until_committed(&init, file);
        fleet.until("it says that it has proved itself", || {
            let told = fleet.in_effect();
            told["sha256"] == file.to_string()
                && told["origin"] == "update"
                && told["candidate"].is_null()
        });
    }
    assert_eq!(
        init.starts(),
        1,
        "it becomes its successor, it does not die for it"
    );
    let mut last: Vec<_> = files[1..].iter().map(Digest::hex).collect();
    last.sort();
    fleet.until("only the last two stay", || fleet.binaries() == last);
    assert_eq!(fleet.trouble(), None);
    // What was committed is what runs after a power cut, and after a shutdown.
    init.kill();
    fleet.until("it is up again", || {
        init.starts() == 2 && fleet.status().is_some()
    });
    assert_eq!(init.runs(), Some(fleet.binary(&files[2])));
    init.stop();
    let init = fleet.boot();
    fleet.until_committed(&init, &files[2]);
    init.stop();
    let journal = fleet.journal();
    assert_eq!(journal["update tried"], 3);
    assert_eq!(journal["update committed"], 3);
    assert_eq!(journal["release accepted"], 3);
    assert_eq!(
        fs::read_dir(fleet.path("tmp")).unwrap().count(),
        0,
        "nothing is left over"
    );
}

#[test]
fn an_owner_who_wants_no_updates_gets_none_and_the_installed_agent_back() {
    let mut fleet = Fleet::new();
    let init = fleet.boot();
    let file = fleet.release(1, "0.2.0", &agent(1));
    fleet.until_committed(&init, &file);
    init.stop();
    let config = fs::read_to_string(fleet.path("agent.toml")).unwrap();
    fs::write(
        fleet.path("agent.toml"),
        format!("update = false\n{config}"),
    )
    .unwrap();
    let init = fleet.boot();
    fleet.until("it is up", || fleet.status().is_some());
    assert_eq!(init.runs(), Some(installed()));
    fleet.release(2, "0.3.0", &agent(2));
    fleet.until("the head is taken", || {
        fleet.status().is_some_and(|s| s["head"] == 3)
    });
    assert_eq!(init.runs(), Some(installed()));
    assert_eq!(fleet.binaries(), [file.hex()]);
}

#[test]
fn an_installed_agent_that_is_as_new_is_not_replaced() {
    let mut fleet = Fleet::new();
    let init = fleet.boot();
    fleet.release(5, env!("CARGO_PKG_VERSION"), &agent(1));
    let accepted = || {
        let journal = fs::read_to_string(fleet.path("state/journal.jsonl")).unwrap_or_default();
        journal.contains("\"release\"")
    };
    fleet.until("the release is judged", accepted);
    fleet.until("it is up", || fleet.status().is_some());
    assert_eq!(
        (init.runs(), fleet.trouble()),
        (Some(installed()), None::<Trouble>)
    );
    assert!(fleet.binaries().is_empty());
}
