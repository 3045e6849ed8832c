//! Deaths at every step of an update: the agent is killed as by a power cut, and comes up again.

use std::time::{Duration, Instant};

use e3_agent::update::disk::Disk;
use e3_core::digest::Blob;
use e3_core::update::{Candidate, Image, Stage, State};

use crate::fleet::{Fleet, PATIENCE, agent, target};

/// One release after the other; in each the agent is killed once, a little later than in the one
/// before, until one was committed before its time had come.
#[test]
fn an_agent_killed_at_any_moment_of_an_update_ends_with_the_update() {
    /// Between the moments.
    const STEP: Duration = Duration::from_millis(400);
    let mut fleet = Fleet::new();
    let init = fleet.boot();
    fleet.until("the installed agent is up", || fleet.status().is_some());
    let mut moments = 0;
    for counter in 1.. {
        let file = fleet.release(counter, &format!("0.2.{counter}"), &agent(counter));
        let begin = Instant::now();
        let committed = || {
            fleet
                .state()
                .committed
                .is_some_and(|image| image.file.digest == file)
        };
        let moment = STEP * u32::try_from(counter).unwrap();
        while begin.elapsed() < moment && !committed() {
            std::thread::sleep(Duration::from_millis(5));
        }
        if committed() {
            break;
        }
        moments += 1;
        init.kill();
        fleet.until_committed(&init, &file);
        assert!(begin.elapsed() < PATIENCE);
    }
    assert!(
        moments >= 3,
        "an update takes long enough to be killed in: {moments}"
    );
    init.stop();
    let journal = fleet.journal();
    assert_eq!(
        journal.get("update rolled-back"),
        None,
        "one death is no failure"
    );
}

/// The same by what is on the disk: right after each note of the state.
#[test]
fn an_agent_killed_at_each_stage_ends_with_the_update() {
    let mut fleet = Fleet::new();
    let init = fleet.boot();
    fleet.until("the installed agent is up", || fleet.status().is_some());
    for (counter, stage) in (1..).zip([Stage::Wanted, Stage::Ready, Stage::Trying]) {
        let file = fleet.release(counter, &format!("0.2.{counter}"), &agent(counter));
        // `Ready` may last for microseconds only: then what comes after it will do.
        let reached = || {
            let state = fleet.state();
            let candidate = state.candidate.filter(|c| c.image.file.digest == file);
            let rank = |stage| match stage {
                Stage::Wanted => 0,
                Stage::Ready => 1,
                Stage::Trying => 2,
            };
            candidate.is_some_and(|c| rank(c.stage) >= rank(stage))
        };
        let begin = Instant::now();
        while !reached() {
            assert!(begin.elapsed() < PATIENCE, "{stage:?}");
            std::thread::sleep(Duration::from_micros(500));
        }
        init.kill();
        fleet.until_committed(&init, &file);
    }
    init.stop();
    assert_eq!(fleet.journal()["update committed"], 3);
}

/// What a power cut leaves that comes when the binary is in its place, and nothing is done with it yet.
#[test]
fn a_binary_that_was_only_put_in_its_place_is_made_ready() {
    let mut fleet = Fleet::new();
    let bytes = agent(1);
    let draft = fleet.draft(1, "0.2.1", Blob::of(&bytes));
    let state = State {
        candidate: Some(Candidate {
            image: Image::of(&draft, &target()).unwrap(),
            stage: Stage::Wanted,
            starts: 0,
        }),
        ..State::default()
    };
    e3_client::files::private_folder(&fleet.path("state")).unwrap();
    Disk::new(&fleet.path("state")).save(&state).unwrap();
    let path = fleet.binary(&draft.binaries[0].file.digest);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, &bytes).unwrap();
    let file = fleet.release(1, "0.2.1", &bytes);
    let init = fleet.boot();
    fleet.until_committed(&init, &file);
    init.stop();
}
