//! Releases whose binaries are no good: they pass every check, and then do not work.

use std::fs;

use e3_core::update::{STARTS, Trouble};

use crate::fleet::{Fleet, agent, installed};
use crate::programs;

/// Releases this after a good one; it must be taken back, never tried again, and replaced by the next.
fn is_taken_back(binary: &[u8]) {
    let mut fleet = Fleet::new();
    let init = fleet.boot();
    let good = fleet.release(1, "0.2.0", &agent(1));
    fleet.until_committed(&init, &good);
    let bad = fleet.release(2, "0.3.0", binary);
    let failed = Trouble::Failed {
        version: "0.3.0".to_owned(),
        starts: STARTS,
    };
    fleet.until("it is taken back", || {
        fleet.trouble().as_ref() == Some(&failed)
    });
    assert_eq!(init.runs(), Some(fleet.binary(&good)));
    // The first one took over from the good one, in its process.
    assert_eq!(init.starts(), 1 + usize::from(STARTS), "{:?}", init.ends());
    // Another release of the same file changes nothing.
    fleet.release(3, "0.4.0", binary);
    let known = Trouble::KnownBad {
        version: "0.4.0".to_owned(),
    };
    fleet.until("it is known", || fleet.trouble().as_ref() == Some(&known));
    assert_eq!(init.runs(), Some(fleet.binary(&good)));
    assert_eq!(init.starts(), 1 + usize::from(STARTS));
    let mended = fleet.release(4, "0.4.1", &agent(4));
    fleet.until_committed(&init, &mended);
    assert!(
        !fleet.binaries().contains(&bad.hex()),
        "a bad binary does not stay"
    );
    init.stop();
    let journal = fleet.journal();
    assert_eq!(journal["update rolled-back"], 1);
    assert_eq!(journal["update committed"], 2);
}

#[test]
fn a_binary_that_crashes_is_taken_back() {
    is_taken_back(&programs::crashes());
}

#[test]
fn a_binary_that_never_gets_ready_is_taken_back() {
    is_taken_back(&programs::hangs());
}

#[test]
fn a_binary_that_falls_asleep_is_taken_back() {
    is_taken_back(&programs::falls_asleep());
}

#[test]
fn a_binary_that_ends_at_once_is_taken_back() {
    is_taken_back(&programs::ends_at_once());
}

#[test]
fn a_binary_that_cannot_reach_its_hub_is_set_aside_and_the_installed_agent_goes_on() {
    let mut fleet = Fleet::new();
    let init = fleet.boot();
    fleet.until("the installed agent is up", || fleet.status().is_some());
    let file = fleet.release(1, "0.2.0", &agent(1));
    let accepted = || {
        let journal = fs::read_to_string(fleet.path("state/journal.jsonl")).unwrap();
        journal.contains("\"release\"")
    };
    fleet.until("the release is accepted", accepted);
    // The binary is still to be had, but from now on nobody can verify a head.
    let [hub, away] = ["hub/head.json", "hub/away"].map(|part| fleet.path(part));
    fs::rename(&hub, &away).unwrap();
    fleet.until("it is on trial", || {
        init.runs() == Some(fleet.binary(&file))
    });
    let unproven = |trouble: Option<Trouble>| matches!(trouble, Some(Trouble::Unproven { .. }));
    fleet.until("it is set aside", || {
        init.runs() == Some(installed()) && unproven(fleet.trouble())
    });
    assert_eq!(fleet.state().committed, None);
    fs::rename(&away, &hub).unwrap();
    fleet.until_committed(&init, &file);
    assert_eq!(init.starts(), 1);
}

#[test]
fn a_binary_that_does_not_come_up_is_set_aside_and_the_installed_agent_goes_on() {
    let mut fleet = Fleet::new();
    let init = fleet.boot();
    fleet.until("the installed agent is up", || fleet.status().is_some());
    fleet.until("it is ready", || {
        fleet
            .status()
            .is_some_and(|status| status["phase"]["name"] == "ready")
    });
    // The agent that works has it in memory. The next one answers for itself, and does nothing else.
    let [identity, away] = ["state/identity.pem", "state/away"].map(|part| fleet.path(part));
    fs::rename(&identity, &away).unwrap();
    let file = fleet.release(1, "0.2.0", &agent(1));
    fleet.until("it is on trial", || {
        init.runs() == Some(fleet.binary(&file)) && fleet.status().is_some()
    });
    fleet.until("it is set aside", || init.runs() == Some(installed()));
    assert_eq!(fleet.state().committed, None);
    fs::rename(&away, &identity).unwrap();
    fleet.until_committed(&init, &file);
    assert_eq!(init.starts(), 1);
}
