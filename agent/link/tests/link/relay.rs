//! The fleet's relay, and machines that have nothing else.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use e3_core::mesh::link::{PeerPath, Problem, Reach, RelayReady, Serve};

use crate::place::{Authority, NOW, Place};
use crate::world::{Machine, Service, dial, tcp_port, until};

/// Two machines that know nothing of each other's addresses.
fn hidden(place: &Place, port: u16) -> (Machine, Machine) {
    let (mut near, mut far) = (Machine::new(), Machine::new());
    near.knows(&far, false)
        .reach
        .push(Reach { port, listen: None });
    far.knows(&near, false)
        .serve
        .push(Serve { port, target: None });
    place.serves(&mut near);
    place.serves(&mut far);
    (near, far)
}

fn until_problem(machine: &Machine, is_it: impl Fn(&Problem) -> bool) {
    until("it is told", || {
        machine.status().problems.iter().any(&is_it).then_some(())
    });
}

fn exchange(near: &Machine, service: &Service) {
    let mut client = dial(near, 0, 0);
    client.write_all(b"ping").unwrap();
    let (mut served, _) = service.accept();
    let mut word = [0; 4];
    served.read_exact(&mut word).unwrap();
    served.write_all(&word).unwrap();
    drop(served);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "ping");
}

#[test]
fn machines_that_know_only_the_relay_find_each_other_and_go_on_without_it() {
    let service = Service::new();
    let mut place = Place::new();
    let (mut near, mut far) = hidden(&place, service.port());
    place.allow(&[&near, &far]);
    place.start();
    near.start();
    far.start();
    exchange(&near, &service);
    let status = until("it is at the relay", || {
        Some(near.status()).filter(|status| status.relays.iter().any(|relay| relay.connected))
    });
    assert!(status.problems.is_empty(), "{:?}", status.problems);
    // The relay has told each what its address looks like, so they need it no more.
    until("a direct path", || {
        matches!(near.sees(&far).path, PeerPath::Direct { .. }).then_some(())
    });
    assert_eq!(near.status().udp, Some(true));
    let mut client = dial(&near, 0, 0);
    client.write_all(b"x").unwrap();
    let (mut served, _) = service.accept();
    served.read_exact(&mut [0]).unwrap();
    place.process = None;
    until_problem(&near, |problem| matches!(problem, Problem::NoRelay { .. }));
    client.write_all(b"y").unwrap();
    served.read_exact(&mut [0]).unwrap();
    exchange(&near, &service);
    // And it is found again.
    place.start();
    until("it is found again", || {
        near.status().problems.is_empty().then_some(())
    });
}

#[test]
fn a_key_that_is_not_on_the_list_is_refused_until_it_is_and_cut_off_when_it_is_taken_off() {
    let service = Service::new();
    let mut place = Place::new();
    let (mut near, mut far) = hidden(&place, service.port());
    place.allow(&[&far]);
    place.start();
    near.start();
    far.start();
    until_problem(&near, |problem| {
        matches!(problem, Problem::RelayRefused { .. })
    });
    until("the other is served", || {
        far.status().problems.is_empty().then_some(())
    });
    place.allow(&[&near, &far]);
    until("it is served", || {
        near.status().problems.is_empty().then_some(())
    });
    exchange(&near, &service);
    place.allow(&[&near]);
    until_problem(&far, |problem| {
        matches!(problem, Problem::RelayRefused { .. })
    });
    assert!(near.status().problems.is_empty());
}

#[test]
fn a_relay_with_a_certificate_of_somebody_else_is_not_used() {
    let mut place = Place::new();
    let (mut near, far) = hidden(&place, tcp_port());
    place.allow(&[&near, &far]);
    place.show(&Authority::new().sign(NOW));
    place.start();
    near.start();
    until_problem(&near, |problem| {
        matches!(problem, Problem::RelayCertificate { .. })
    });
    // The right one is put in its place while the relay runs.
    place.show(&place.authority.sign(NOW));
    until("it is used", || {
        near.status().problems.is_empty().then_some(())
    });
}

#[test]
fn a_certificate_for_another_time_is_told_from_a_wrong_one() {
    for years in [(2010, 2011), (2099, 2100)] {
        let mut place = Place::new();
        let (mut near, far) = hidden(&place, tcp_port());
        place.allow(&[&near, &far]);
        place.show(&place.authority.sign(years));
        place.start();
        near.start();
        until_problem(&near, |problem| {
            matches!(problem, Problem::ClockWrong { .. })
        });
    }
}

#[test]
fn a_clock_behind_the_certificate_is_lifted_to_the_floor() {
    let mut place = Place::new();
    let (mut near, far) = hidden(&place, tcp_port());
    place.allow(&[&near, &far]);
    place.show(&place.authority.sign((2090, 2100)));
    place.start();
    near.config.clock_floor = Some("2095-01-01T00:00:00Z".parse().unwrap());
    near.start();
    until("it is used", || {
        near.status()
            .relays
            .iter()
            .any(|relay| relay.connected)
            .then_some(())
    });
}

#[test]
fn a_relay_that_is_nowhere_is_named() {
    let place = Place::new();
    let (mut near, _far) = hidden(&place, tcp_port());
    near.start();
    until_problem(&near, |problem| matches!(problem, Problem::NoRelay { .. }));
}

#[test]
fn an_attached_relay_says_where_it_is_and_ends_with_whoever_has_started_it() {
    let mut place = Place::new();
    // Any free ports.
    place.config.listen.set_port(0);
    place.config.discovery.set_port(0);
    place.allow(&[]);
    let mut child = place.attached();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ready: RelayReady = serde_json::from_str(&line).unwrap();
    assert!(ready.listen.port() != 0 && ready.discovery.port() != 0);
    TcpStream::connect(ready.listen).unwrap();
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_relay_whose_port_is_taken_says_which() {
    let mut place = Place::new();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    place.config.listen = holder.local_addr().unwrap();
    place.allow(&[]);
    let ended = place.attached().wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    let expected = format!("the relay cannot listen at {}", place.config.listen);
    assert!(
        !ended.status.success() && said.contains(&expected),
        "{said}"
    );
    assert!(said.contains("Address already in use"), "{said}");
}
