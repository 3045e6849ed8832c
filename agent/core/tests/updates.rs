//! Updates in histories that nobody thought of: releases, failures, reboots and rotten disks in any
//! order, and what must hold in all of them.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod fixture;

use std::collections::{BTreeMap, BTreeSet};

use e3_core::digest::{Blob, Digest};
use e3_core::update::{Action, Event, Image, STARTS, Stage, State, step};
use fixture::at;
use proptest::prelude::*;

const INSTALLED: &str = "0.1.0";

/// What may happen to a machine, by number so that histories shrink well.
#[derive(Debug, Clone)]
enum Happening {
    Released {
        counter: u64,
        version: u64,
        file: u8,
    },
    Withdrawn,
    Checked(u8),
    Unfit(u8),
    Idle(bool),
    Start {
        updated: bool,
    },
    Spoilt(u8),
    Healthy(u8),
    Unproven(u8),
    Stopped(u8),
    Told(usize),
}

fn file(number: u8) -> Blob {
    Blob::of(&[number])
}

fn happening() -> impl Strategy<Value = Happening> {
    let file = || 0..4_u8;
    prop_oneof![
        4 => (1..6_u64, 0..5_u64, file())
            .prop_map(|(counter, version, file)| Happening::Released { counter, version, file }),
        1 => Just(Happening::Withdrawn),
        4 => file().prop_map(Happening::Checked),
        1 => file().prop_map(Happening::Unfit),
        4 => prop::bool::weighted(0.9).prop_map(Happening::Idle),
        6 => prop::bool::weighted(0.05).prop_map(|updated| Happening::Start { updated }),
        1 => file().prop_map(Happening::Spoilt),
        3 => file().prop_map(Happening::Healthy),
        1 => file().prop_map(Happening::Unproven),
        1 => file().prop_map(Happening::Stopped),
        1 => (0..5_usize).prop_map(Happening::Told),
    ]
}

fn event(happening: &Happening) -> Event {
    match happening {
        Happening::Released {
            counter,
            version,
            file: number,
        } => Event::Released {
            image: Image {
                epoch: 1,
                counter: *counter,
                version: format!("0.{version}.0"),
                expires: at(1),
                file: file(*number),
            },
            installed: INSTALLED.to_owned(),
        },
        Happening::Withdrawn => Event::Withdrawn,
        Happening::Checked(number) => Event::Checked(file(*number).digest),
        Happening::Unfit(number) => Event::Unfit {
            file: file(*number).digest,
            detail: String::new(),
        },
        Happening::Idle(in_time) => Event::Idle {
            now: at(if *in_time { 0 } else { 2 }),
        },
        Happening::Start { updated } => Event::Start {
            installed: if *updated { "0.3.0" } else { INSTALLED }.to_owned(),
        },
        Happening::Spoilt(number) => Event::Spoilt {
            file: file(*number).digest,
            detail: String::new(),
        },
        Happening::Healthy(number) => Event::Healthy(file(*number).digest),
        Happening::Unproven(number) => Event::Unproven(file(*number).digest),
        Happening::Stopped(number) => Event::Stopped(file(*number).digest),
        Happening::Told(count) => Event::Told(*count),
    }
}

/// What an onlooker remembers, who sees only events and actions.
#[derive(Default)]
struct Onlooker {
    /// Fetched, checked, and not seen spoilt since.
    whole: BTreeSet<Digest>,
    proved: BTreeSet<Digest>,
    bad: BTreeSet<Digest>,
    /// Starts on trial, less those that ended in good order.
    starts: BTreeMap<Digest, i32>,
    running: Option<Digest>,
}

impl Onlooker {
    fn before(&mut self, event: &Event, state: &State) {
        let is_at = |stage: Stage, file: &Digest| {
            let candidate = state.candidate.as_ref();
            candidate.is_some_and(|c| c.stage == stage && c.image.file.digest == *file)
        };
        let (is_trying, is_wanted) = (|f| is_at(Stage::Trying, f), |f| is_at(Stage::Wanted, f));
        match event {
            Event::Checked(file) if is_wanted(file) => drop(self.whole.insert(*file)),
            Event::Unfit { file, .. } if is_wanted(file) => drop(self.bad.insert(*file)),
            Event::Spoilt { file, .. } => {
                self.whole.remove(file);
                self.proved.remove(file);
            }
            Event::Healthy(file) if is_trying(file) => drop(self.proved.insert(*file)),
            Event::Stopped(file) if is_trying(file) => {
                let starts = self.starts.entry(*file).or_default();
                *starts = (*starts - 1).max(0);
            }
            _ => {}
        }
    }

    fn after(&mut self, old: &State, new: &State, actions: &[Action]) -> Result<(), TestCaseError> {
        for action in actions {
            match action {
                Action::Fetch(image) => {
                    if old
                        .candidate
                        .as_ref()
                        .is_none_or(|c| c.image.file != image.file)
                    {
                        self.starts.insert(image.file.digest, 0);
                    }
                }
                Action::Execute(image) => {
                    let file = image.file.digest;
                    prop_assert!(self.whole.contains(&file), "an unchecked binary runs");
                    prop_assert!(!new.bad.contains_key(&file), "a bad binary runs");
                    prop_assert!(
                        image.is_later_than(INSTALLED),
                        "one older than the installed runs"
                    );
                    self.running = Some(file);
                    if new.committed.as_ref() == Some(image) {
                        prop_assert!(
                            self.proved.contains(&file),
                            "what was kept never proved itself"
                        );
                    } else {
                        let newest = new.committed.as_ref().map(Image::age);
                        prop_assert!(newest < Some(image.age()), "an older one is tried");
                        let starts = self.starts.entry(file).or_default();
                        *starts += 1;
                        prop_assert!(*starts <= i32::from(STARTS), "tried too often");
                    }
                }
                Action::GoOn => self.running = None,
                Action::Adopt(_) | Action::Restart => {}
            }
        }
        for file in &self.bad {
            prop_assert!(new.bad.contains_key(file), "a bad one is forgotten");
        }
        self.bad.extend(new.bad.keys());
        Ok(())
    }
}

proptest! {
    #[test]
    fn no_history_runs_what_is_unchecked_bad_or_older(
        history in prop::collection::vec(happening(), 1..80),
    ) {
        let mut state = State::default();
        let mut onlooker = Onlooker::default();
        for happening in history {
            let event = event(&happening);
            onlooker.before(&event, &state);
            let (next, actions) = step(state.clone(), event);
            onlooker.after(&state, &next, &actions)?;
            // What is committed only grows, unless it was spoilt or the installed one has passed it.
            let ages = |state: &State| state.committed.as_ref().map(Image::age);
            let may_fall = matches!(happening, Happening::Spoilt(_) | Happening::Start { updated: true });
            prop_assert!(may_fall || ages(&next) >= ages(&state));
            // What runs or may run is kept.
            let kept = next.keeps();
            for action in &actions {
                if let Action::Execute(image) = action {
                    prop_assert!(kept.contains(&image.file.digest));
                }
            }
            prop_assert!(kept.len() <= 3);
            // A kill at any point goes on from what is on the disk.
            let text = serde_json::to_vec(&next).unwrap();
            prop_assert_eq!(&serde_json::from_slice::<State>(&text).unwrap(), &next);
            state = next;
        }
    }

    /// From wherever a history has led: if nothing proves itself any more, a few starts end on
    /// something that has, or on the installed one, and stay there.
    #[test]
    fn starts_without_proof_end_on_something_that_works(
        history in prop::collection::vec(happening(), 1..60),
    ) {
        let mut state = history.iter().fold(State::default(), |state, h| step(state, event(h)).0);
        let start = || Event::Start { installed: INSTALLED.to_owned() };
        for _ in 0..=STARTS {
            state = step(state, start()).0;
        }
        let (last, actions) = step(state.clone(), start());
        match (&last.committed, &actions[..]) {
            (Some(committed), [Action::Execute(image)]) => prop_assert_eq!(committed, image),
            (None, [Action::GoOn]) => {}
            other => prop_assert!(false, "{:?}", other),
        }
        prop_assert_eq!(state, last, "and it stays there");
    }
}

/// A stage 0 of long ago reads what a newer agent has written.
#[test]
fn a_state_of_a_newer_agent_is_still_read() {
    let state = serde_json::json!({
        "committed": {
            "epoch": 1, "counter": 2, "version": "0.2.0", "expires": "2026-12-01T00:00:00Z",
            "file": { "digest": Digest::of(b"x"), "size": 1 }, "colour": "blue",
        },
        "candidate": null,
        "bad": { Digest::of(b"y").to_string(): { "version": "0.3.0", "trouble": { "kind": "sulking" } } },
        "trouble": { "kind": "out-of-sorts", "because": "rain" },
        "moods": [],
    });
    let state: State = serde_json::from_value(state).unwrap();
    assert_eq!(state.committed.unwrap().counter, 2);
    assert!(state.bad.contains_key(&Digest::of(b"y")));
}
