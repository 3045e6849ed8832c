//! Attacks by way of an update: old, bad, bent and foreign binaries.

use e3_core::digest::{Blob, Digest};
use e3_core::document::{Binary, Release};
use e3_core::envelope::Envelope;
use e3_core::trust::{TrustError, open_release};
use e3_core::update::{Action, Event, Image, STARTS, Stage, State, Trouble, step};

use crate::fixture::*;

const TARGET: &str = "x86_64-unknown-linux-musl";
const INSTALLED: &str = "0.1.0";

/// The release with this counter, version and binary, as the machine sees it.
fn image(counter: u64, version: &str, binary: &str) -> Image {
    let mut release = release(counter);
    version.clone_into(&mut release.version);
    release.binaries[0].file = Blob::of(binary.as_bytes());
    Image::of(&release, TARGET).unwrap()
}

/// Takes these steps and returns what is to be done after the last one.
fn walk(state: &mut State, events: impl IntoIterator<Item = Event>) -> Vec<Action> {
    let mut actions = Vec::new();
    for event in events {
        (*state, actions) = step(std::mem::take(state), event);
    }
    actions
}

fn released(image: &Image) -> Event {
    Event::Released {
        image: image.clone(),
        installed: INSTALLED.to_owned(),
    }
}

fn start() -> Event {
    Event::Start {
        installed: INSTALLED.to_owned(),
    }
}

/// From the release to the first start of its binary.
fn tried(image: &Image) -> [Event; 4] {
    [
        released(image),
        Event::Checked(image.file.digest),
        Event::Idle { now: at(0) },
        start(),
    ]
}

/// A machine that has committed this.
fn with_committed(image: &Image) -> State {
    let mut state = State::default();
    walk(&mut state, tried(image));
    walk(&mut state, [Event::Healthy(image.file.digest)]);
    assert_eq!(state.committed.as_ref(), Some(image));
    state
}

#[test]
fn a_binary_is_not_run_before_it_was_checked() {
    let new = image(1, "0.2.0", "new");
    let mut state = State::default();
    assert_eq!(
        walk(&mut state, [released(&new)]),
        [Action::Fetch(new.clone())]
    );
    let early = [
        Event::Idle { now: at(0) },
        start(),
        Event::Healthy(new.file.digest),
    ];
    walk(&mut state, early);
    // Somebody else's file says nothing about this one.
    walk(
        &mut state,
        [
            Event::Checked(Digest::of(b"other")),
            Event::Idle { now: at(0) },
        ],
    );
    assert_eq!(walk(&mut state, [start()]), [Action::GoOn]);
    assert_eq!(state.committed, None);
}

#[test]
fn a_binary_that_does_not_start_is_taken_back_and_never_tried_again() {
    let (old, new) = (image(1, "0.2.0", "old"), image(2, "0.3.0", "new"));
    let mut state = with_committed(&old);
    let mut action = walk(&mut state, tried(&new));
    for _ in 0..STARTS {
        assert_eq!(action, [Action::Execute(new.clone())]);
        action = walk(&mut state, [start()]);
    }
    assert_eq!(action, [Action::Execute(old.clone())]);
    let trouble = Trouble::Failed {
        version: "0.3.0".to_owned(),
        starts: STARTS,
    };
    assert_eq!(state.trouble.as_ref(), Some(&trouble));
    // Neither by the same release nor by a newer one that names the same file.
    for again in [new, image(9, "0.9.0", "new")] {
        assert_eq!(
            walk(&mut state, tried(&again)),
            [Action::Execute(old.clone())]
        );
        assert_eq!(state.candidate, None);
    }
    assert!(matches!(state.trouble, Some(Trouble::KnownBad { .. })));
    // Another file is another binary.
    let mended = image(10, "0.9.1", "mended");
    assert_eq!(walk(&mut state, tried(&mended)), [Action::Execute(mended)]);
}

#[test]
fn a_binary_that_fails_its_self_check_is_not_started_once() {
    let new = image(1, "0.2.0", "new");
    let mut state = State::default();
    let unfit = Event::Unfit {
        file: new.file.digest,
        detail: "\x1b[2Jno".to_owned(),
    };
    walk(
        &mut state,
        [released(&new), unfit, Event::Idle { now: at(0) }],
    );
    assert_eq!(walk(&mut state, [start()]), [Action::GoOn]);
    assert!(state.bad.contains_key(&new.file.digest));
    assert!(state.trouble.unwrap().to_string().contains("\u{fffd}[2Jno"));
}

#[test]
fn an_older_release_is_not_tried() {
    // The trust rules refuse its counter ...
    let mut trust = trust();
    trust
        .accept_release(&bytes(&release(3), &["release"]), at(0))
        .unwrap();
    let error = trust
        .accept_release(&bytes(&release(2), &["release"]), at(0))
        .unwrap_err();
    assert!(matches!(
        error,
        TrustError::Rollback {
            floor: 3,
            found: 2,
            ..
        }
    ));
    // ... and an update does not go back behind what has been committed, whatever it is asked.
    let good = image(3, "0.3.0", "good");
    let mut state = with_committed(&good);
    assert_eq!(
        walk(&mut state, tried(&image(2, "0.4.0", "old"))),
        [Action::Execute(good)]
    );
    // Nor behind what was installed, whatever its counter.
    let mut state = State::default();
    let old = image(9, INSTALLED, "old");
    assert_eq!(walk(&mut state, tried(&old)), [Action::GoOn]);
}

#[test]
fn an_expired_release_is_not_tried() {
    let mut trust = trust();
    let error = trust
        .accept_release(&bytes(&release(1), &["release"]), at(31))
        .unwrap_err();
    assert!(matches!(
        error,
        TrustError::Expired {
            document: "release",
            ..
        }
    ));
    // Fetched in time, and then a session ran until it had expired.
    let new = image(1, "0.2.0", "new");
    let mut state = State::default();
    walk(
        &mut state,
        [released(&new), Event::Checked(new.file.digest)],
    );
    assert_eq!(
        walk(&mut state, [Event::Idle { now: at(31) }, start()]),
        [Action::GoOn]
    );
}

#[test]
fn a_binary_that_was_changed_on_the_disk_is_fetched_again() {
    let (old, new) = (image(1, "0.2.0", "old"), image(2, "0.3.0", "new"));
    let mut state = with_committed(&old);
    walk(&mut state, tried(&new));
    let spoilt = |image: &Image| Event::Spoilt {
        file: image.file.digest,
        detail: "cut".to_owned(),
    };
    // Under trial: what was committed runs until the other one has come again.
    assert_eq!(
        walk(&mut state, [spoilt(&new), start()]),
        [Action::Execute(old.clone())]
    );
    assert_eq!(
        walk(&mut state, [released(&new)]),
        [Action::Fetch(new.clone())]
    );
    walk(&mut state, tried(&new));
    walk(&mut state, [Event::Healthy(new.file.digest)]);
    // Committed: the one before it, then the installed one.
    assert_eq!(
        walk(&mut state, [spoilt(&new), start()]),
        [Action::Execute(old.clone())]
    );
    assert_eq!(walk(&mut state, [released(&new)]), [Action::Fetch(new)]);
    assert_eq!(walk(&mut state, [spoilt(&old), start()]), [Action::GoOn]);
}

#[test]
fn a_binary_that_cannot_reach_its_hub_is_not_committed() {
    let new = image(1, "0.2.0", "new");
    let file = new.file.digest;
    let mut state = State::default();
    walk(&mut state, tried(&new));
    for _ in 1..STARTS {
        assert_eq!(walk(&mut state, [Event::Unproven(file)]), [Action::Restart]);
        // The agent that has verified a head meanwhile says that the hub is back.
        assert_eq!(walk(&mut state, [start()]), [Action::GoOn]);
        assert_eq!(
            walk(&mut state, [Event::Idle { now: at(0) }, start()]),
            [Action::Execute(new.clone())]
        );
    }
    walk(
        &mut state,
        [Event::Unproven(file), Event::Idle { now: at(0) }],
    );
    assert_eq!(walk(&mut state, [start()]), [Action::GoOn]);
    assert!(state.bad.contains_key(&file), "it had its three starts");
}

#[test]
fn a_binary_for_another_machine_is_not_taken() {
    let trouble = Image::of(&release(1), "aarch64-unknown-linux-musl").unwrap_err();
    assert!(matches!(trouble, Trouble::NoBinary { .. }));
    let mut twice = release(1);
    twice.binaries.push(Binary {
        target: TARGET.to_owned(),
        file: Blob::of(b"other"),
    });
    assert!(
        Envelope::sign(&twice, &[&key("release")]).is_err(),
        "one target, one binary"
    );
}

#[test]
fn a_release_of_dropped_keys_is_not_run_any_more() {
    let trust = trust();
    let envelope = bytes(&release(1), &["release"]);
    open_release(&trust.root, &envelope).unwrap();
    let mut next = after(&trust.root);
    next.release = role(&["new-release"], 1);
    assert!(matches!(
        open_release(&next, &envelope),
        Err(TrustError::Envelope {
            document: "release",
            ..
        })
    ));
    let mut next = after(&trust.root);
    next.epoch += 1;
    assert!(matches!(
        open_release(&next, &envelope),
        Err(TrustError::RootEpoch { .. })
    ));
}

#[test]
fn a_release_without_a_version_or_with_an_endless_binary_is_refused() {
    for version in ["newest", "1.2", "", "1.2.3\n"] {
        let release = Release {
            version: version.to_owned(),
            ..release(1)
        };
        assert!(
            Envelope::sign(&release, &[&key("release")]).is_err(),
            "{version:?}"
        );
    }
    for size in [0, e3_core::limits::AGENT + 1, u64::MAX] {
        let mut release = release(1);
        release.binaries[0].file.size = size;
        assert!(
            Envelope::sign(&release, &[&key("release")]).is_err(),
            "{size}"
        );
    }
}

#[test]
fn the_owners_own_newer_agent_is_not_replaced_by_an_older_release() {
    let mut state = with_committed(&image(1, "0.2.0", "old"));
    let ready = image(2, "0.3.0", "ready");
    walk(
        &mut state,
        [released(&ready), Event::Checked(ready.file.digest)],
    );
    let installed = Event::Start {
        installed: "0.3.0".to_owned(),
    };
    assert_eq!(walk(&mut state, [installed]), [Action::GoOn]);
    assert_eq!((state.committed, state.candidate), (None, None));
}

#[test]
fn a_reboot_or_a_release_that_is_taken_back_is_no_failure() {
    let new = image(1, "0.2.0", "new");
    let file = new.file.digest;
    let mut state = State::default();
    walk(&mut state, tried(&new));
    for _ in 0..3 * STARTS {
        let action = walk(&mut state, [Event::Stopped(file), start()]);
        assert_eq!(action, [Action::Execute(new.clone())]);
    }
    // Under trial it goes on; before that it goes away.
    walk(&mut state, [Event::Withdrawn]);
    assert!(
        state
            .candidate
            .as_ref()
            .is_some_and(|c| c.stage == Stage::Trying)
    );
    let mut state = State::default();
    walk(
        &mut state,
        [released(&new), Event::Checked(file), Event::Withdrawn],
    );
    assert_eq!(state.candidate, None);
}

#[test]
fn what_an_older_release_has_brought_is_not_tried_after_a_newer_one() {
    let (old, new) = (image(1, "0.2.0", "old"), image(2, INSTALLED, "installed"));
    for checked in [false, true] {
        let mut state = State::default();
        walk(&mut state, [released(&old)]);
        if checked {
            walk(&mut state, [Event::Checked(old.file.digest)]);
        }
        // The fleet goes back to what is installed. Nothing is to be fetched for that.
        assert_eq!(walk(&mut state, [released(&new)]), []);
        let later = [Event::Checked(old.file.digest), Event::Idle { now: at(0) }];
        assert_eq!(walk(&mut state, later), []);
        assert_eq!(walk(&mut state, [start()]), [Action::GoOn]);
    }
}

#[test]
fn a_binary_that_worked_once_and_has_failed_since_is_never_run_again() {
    let (once, newer) = (image(1, "0.2.0", "once"), image(2, "0.3.0", "newer"));
    let mut state = with_committed(&once);
    walk(&mut state, tried(&newer));
    walk(&mut state, [Event::Healthy(newer.file.digest)]);
    // The fleet goes back to it, and now it does not work.
    walk(&mut state, tried(&image(3, "0.4.0", "once")));
    for _ in 0..STARTS {
        walk(&mut state, [start()]);
    }
    assert!(state.bad.contains_key(&once.file.digest));
    let rotten = Event::Spoilt {
        file: newer.file.digest,
        detail: String::new(),
    };
    assert_eq!(walk(&mut state, [rotten, start()]), [Action::GoOn]);
}

#[test]
fn what_was_wrong_is_over_when_the_newest_release_is_what_runs() {
    let (old, new) = (image(1, "0.2.0", "old"), image(2, INSTALLED, "installed"));
    for (mut state, release) in [
        (with_committed(&old), &old),
        (with_committed(&old), &new),
        (State::default(), &new),
    ] {
        let detail = "it is signed by nobody".to_owned();
        state.trouble = Some(Trouble::Refused { detail });
        walk(&mut state, [released(release)]);
        assert_eq!(state.trouble, None);
    }
}
