//! Straight ways of WireGuard in histories that nobody thought of: machines that join, leave, move, lose their keys and
//! restart in any order, and what must hold in all of them.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use e3_core::key::{PublicKey, SecretKey};
use e3_core::mesh::wireguard::{Action, Event, Known, Straight, TRY};
use e3_core::mesh::{Anchor, Backend, Member, Plan, Roster};
use proptest::prelude::*;

/// The machines: of these the first is the anchor, if it is a member.
const PARTIES: u8 = 5;
const ANCHOR: u8 = 0;

fn party(number: u8) -> PublicKey {
    SecretKey::from_seed(&[number; 32]).public()
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

/// A plan for these members, each with the key of this generation; nobody with none.
fn plan(generations: &[Option<u8>]) -> Plan {
    let members = (0..).zip(generations).filter_map(|(number, generation)| {
        let key = format!("key {number} {}", (*generation)?);
        let party = party(number);
        Some(Member { party, key })
    });
    Plan {
        direct: false,
        anchors: vec![Anchor {
            party: party(ANCHOR),
            endpoints: vec!["a:1".to_owned()],
        }],
        backend: Backend::Wireguard(Roster {
            members: members.collect(),
            revoked: Vec::new(),
        }),
    }
}

fn all() -> Plan {
    plan(&[Some(0); PARTIES as usize])
}

/// A machine of a fleet of five that hears these.
fn machine(me: u8, heard: &[u8]) -> Straight {
    let mut machine = Straight::new(party(me));
    machine.step(Event::Plan(Some(&all())));
    for other in heard {
        assert!(
            machine
                .step(Event::Up(party(*other)))
                .contains(&Action::Tell)
        );
    }
    machine
}

/// Whom it hears.
fn heard(machine: &Straight) -> Vec<u8> {
    let heard = &machine.known().heard;
    (0..PARTIES)
        .filter(|number| heard.contains(&party(*number)))
        .collect()
}

fn found(ports: &[(u8, u16)], seconds: u64) -> Event<'static> {
    let endpoints = ports
        .iter()
        .map(|(number, port)| (party(*number), at(*port)));
    Event::Found {
        endpoints: endpoints.collect(),
        now: Duration::from_secs(seconds),
    }
}

#[test]
fn whoever_has_another_key_is_met_anew() {
    let mut machine = machine(1, &[0, 2, 3]);
    let actions = machine.step(Event::Plan(Some(&plan(&[
        Some(0),
        Some(0),
        Some(1),
        Some(0),
        None,
    ]))));
    assert!(actions.contains(&Action::Tell));
    assert_eq!(heard(&machine), [0, 3]);
}

#[test]
fn a_device_that_was_made_anew_hears_nobody() {
    let mut machine = machine(1, &[0, 2]);
    let actions = machine.step(Event::Started { is_anew: true });
    assert!(actions.contains(&Action::Tell) && actions.contains(&Action::Look));
    assert!(heard(&machine).is_empty());
}

#[test]
fn what_came_while_the_daemon_was_starting_is_told_to_it() {
    let mut machine = machine(1, &[]);
    // Whoever tells the device finds it not running yet.
    machine.step(Event::Up(party(2)));
    assert_eq!(
        machine.step(Event::Started { is_anew: false }),
        [Action::Tell]
    );
    assert_eq!(heard(&machine), [2]);
}

#[test]
fn a_device_is_told_of_every_plan() {
    // What was on its way to it when the plan came may be of the one before.
    let mut machine = machine(1, &[0]);
    assert_eq!(machine.step(Event::Plan(Some(&all()))), [Action::Tell]);
}

#[test]
fn only_an_anchor_says_that_somebody_else_has_moved() {
    let mut machine = machine(1, &[0, 2, 3]);
    let moved = |by, who| Event::Moved {
        by: party(by),
        party: party(who),
    };
    for (by, who) in [(2, 3), (3, 3), (2, 0), (4, 2), (0, 0)] {
        assert_eq!(machine.step(moved(by, who)), [], "{by} of {who}");
    }
    assert_eq!(heard(&machine), [0, 2, 3]);
    assert_eq!(
        machine.step(moved(0, 3)),
        [Action::Tell, Action::Look],
        "an anchor of another"
    );
    assert_eq!(heard(&machine), [0, 2]);
}

#[test]
fn an_anchor_passes_on_what_somebody_says_of_themselves_and_nothing_else() {
    let mut anchor = machine(ANCHOR, &[1, 2, 3]);
    let moved = |by, who| Event::Moved {
        by: party(by),
        party: party(who),
    };
    for (by, who) in [(1, 2), (2, 0), (4, 4)] {
        assert_eq!(anchor.step(moved(by, who)), [], "{by} of {who}");
    }
    let mut actions = anchor.step(moved(1, 1));
    assert_eq!(actions.pop(), Some(Action::Tell));
    let mut told = [2, 3].map(|to| Action::Say {
        to: party(to),
        party: party(1),
    });
    told.sort_by_key(|action| format!("{action:?}"));
    actions.sort_by_key(|action| format!("{action:?}"));
    assert_eq!(actions, told);
    assert_eq!(heard(&anchor), [1, 2, 3], "the way to an anchor stays");
}

#[test]
fn a_machine_that_moves_tells_its_anchor_and_keeps_the_way_to_it() {
    let mut machine = machine(1, &[0, 2]);
    let actions = machine.step(Event::OwnMove);
    let say = Action::Say {
        to: party(ANCHOR),
        party: party(1),
    };
    for action in [say, Action::Tell, Action::Publish, Action::Look] {
        assert!(actions.contains(&action), "{actions:?}");
    }
    assert_eq!(heard(&machine), [0]);
}

#[test]
fn where_it_is_seen_counts_from_an_anchor_alone_and_is_told_once() {
    let mut machine = machine(1, &[0, 2]);
    let seen = |by, port| Event::Seen {
        by: party(by),
        endpoint: at(port),
    };
    assert_eq!(machine.step(seen(2, 1)), []);
    assert_eq!(machine.known().seen, None);
    assert_eq!(machine.step(seen(0, 1)), [Action::Publish]);
    assert_eq!(machine.step(seen(0, 1)), []);
    assert_eq!(machine.step(seen(0, 2)), [Action::Publish]);
}

#[test]
fn an_endpoint_at_which_nobody_answers_is_given_up_until_there_is_a_reason() {
    let mut machine = machine(1, &[2]);
    let end = TRY.as_secs();
    let dial = Action::Dial(party(3));
    let both = [Action::Dial(party(2)), dial];
    let actions = machine.step(found(&[(2, 1), (3, 1)], 0));
    assert!(
        both.iter().all(|dial| actions.contains(dial)),
        "{actions:?}"
    );
    assert_eq!(machine.step(found(&[(2, 1), (3, 1)], end - 1)), []);
    // Whoever is heard stays where they are.
    assert_eq!(machine.step(found(&[(2, 1), (3, 1)], end)), [Action::Tell]);
    assert_eq!(
        machine.known().endpoints,
        BTreeMap::from([(party(2), at(1))])
    );
    assert_eq!(machine.step(found(&[(2, 1), (3, 1)], 2 * end)), []);
    // Another endpoint is tried, and the same one when this machine has moved.
    let again = machine.step(found(&[(2, 1), (3, 2)], 2 * end));
    assert_eq!(again, [dial, Action::Tell]);
    machine.step(found(&[(2, 1), (3, 2)], 4 * end));
    machine.step(Event::OwnMove);
    assert!(machine.step(found(&[(3, 2)], 4 * end)).contains(&dial));
}

/// What may happen to a machine, by number so that histories shrink well.
#[derive(Debug, Clone)]
enum Happening {
    Plan(Option<Vec<Option<u8>>>),
    Up(u8),
    Down(u8),
    Moved(u8, u8),
    OwnMove,
    Seen(u8, u16),
    Found(Vec<(u8, u16)>),
    /// The files for the device's next start are written.
    Prepare,
    Started(bool),
    Stopped,
}

fn happening() -> impl Strategy<Value = Happening> {
    let number = || 0..PARTIES;
    let generation = prop::option::weighted(0.8, 0..2_u8);
    let generations = prop::collection::vec(generation, PARTIES as usize);
    let endpoints = prop::collection::vec((number(), 1..4_u16), 0..6);
    prop_oneof![
        3 => prop::option::weighted(0.9, generations).prop_map(Happening::Plan),
        6 => number().prop_map(Happening::Up),
        2 => number().prop_map(Happening::Down),
        2 => (number(), number()).prop_map(|(by, who)| Happening::Moved(by, who)),
        1 => Just(Happening::OwnMove),
        1 => (number(), 1..4_u16).prop_map(|(by, port)| Happening::Seen(by, port)),
        3 => endpoints.prop_map(Happening::Found),
        1 => Just(Happening::Prepare),
        2 => prop::bool::ANY.prop_map(Happening::Started),
        1 => Just(Happening::Stopped),
    ]
}

/// What a machine learns of it, if anything; nothing takes long.
fn step(machine: &mut Straight, happening: &Happening) -> Vec<Action> {
    match happening {
        Happening::Plan(generations) => {
            let plan = generations.as_deref().map(plan);
            machine.step(Event::Plan(plan.as_ref()))
        }
        Happening::Up(number) => machine.step(Event::Up(party(*number))),
        Happening::Down(number) => machine.step(Event::Down(party(*number))),
        Happening::Moved(by, who) => machine.step(Event::Moved {
            by: party(*by),
            party: party(*who),
        }),
        Happening::OwnMove => machine.step(Event::OwnMove),
        Happening::Seen(by, port) => machine.step(Event::Seen {
            by: party(*by),
            endpoint: at(*port),
        }),
        Happening::Found(ports) => machine.step(found(ports, 0)),
        Happening::Started(is_anew) => machine.step(Event::Started { is_anew: *is_anew }),
        Happening::Prepare | Happening::Stopped => Vec::new(),
    }
}

proptest! {
    /// Whatever happens, a device that runs has been told what is known, and nothing is known of strangers.
    #[test]
    fn a_device_that_runs_is_never_behind(
        me in 0..PARTIES,
        history in prop::collection::vec(happening(), 0..60),
    ) {
        let mut machine = Straight::new(party(me));
        // What a device is told; where the machine is seen is not for it.
        let told = |machine: &Straight| Known { seen: None, ..machine.known().clone() };
        let (mut files, mut device) = (told(&machine), None);
        let mut members = Vec::new();
        for happening in &history {
            match happening {
                Happening::Prepare => files = told(&machine),
                Happening::Started(_) => device = Some(files.clone()),
                Happening::Stopped => device = None,
                Happening::Plan(generations) => {
                    members = generations.iter().flatten().map(Option::is_some).collect();
                }
                _ => {}
            }
            let actions = step(&mut machine, happening);
            if device.is_some() && actions.contains(&Action::Tell) {
                files = told(&machine);
                device = Some(files.clone());
            }
            if let Some(device) = &device {
                prop_assert_eq!(device, &told(&machine), "after {:?}", happening);
            }
            for number in 0..PARTIES {
                let known = machine.known();
                let is_known = known.heard.contains(&party(number))
                    || known.endpoints.contains_key(&party(number));
                let is_member = number != me && members.get(usize::from(number)) == Some(&true);
                prop_assert!(!is_known || is_member, "{} after {:?}", number, happening);
            }
            if let Happening::Started(true) = happening {
                prop_assert!(machine.known().heard.is_empty());
            }
        }
    }
}
