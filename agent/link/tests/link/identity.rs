//! Who may speak to whom.

use std::io::Write as _;

use e3_core::mesh::link::{Answer, PeerPath, Problem, Reach, Serve};

use crate::world::{Machine, Service, dial, is_reset, pair, until};

#[test]
fn a_stranger_is_turned_away_and_told_so() {
    let service = Service::new();
    let (mut near, mut far) = pair(service.port());
    // A third machine knows where the far one is, and whom it trusts.
    let mut stranger = Machine::new();
    let reach = Reach {
        port: service.port(),
        listen: None,
    };
    stranger.knows(&far, true).reach.push(reach);
    stranger.config.hold_seconds = 2;
    near.start();
    far.start();
    stranger.start();
    let mut client = dial(&stranger, 0, 0);
    client.write_all(b"let me in").unwrap();
    until("it is told", || {
        let seen = stranger.sees(&far);
        (seen.problems == [Problem::NotAPeer]).then_some(())
    });
    assert!(is_reset(client));
    service.0.set_nonblocking(true).unwrap();
    assert!(
        service.0.accept().is_err(),
        "it has not reached the service"
    );
    let status = far.status();
    assert!(status.strangers >= 1);
    assert_eq!(status.peers.len(), 1);
    near.until_connected(&far);
}

#[test]
fn somebody_else_at_a_peers_address_is_no_peer() {
    let service = Service::new();
    let (mut near, far) = pair(service.port());
    // Whoever answers at the far machine's address holds another key, and would let the near one in.
    let mut impostor = Machine::new();
    impostor.config.bind.clone_from(&far.config.bind);
    let serve = Serve {
        port: service.port(),
        target: None,
    };
    impostor.knows(&near, true).serve.push(serve);
    near.config.hold_seconds = 2;
    near.start();
    impostor.start();
    let mut client = dial(&near, 0, 0);
    client.write_all(b"secret").unwrap();
    until("it is told", || {
        let problems = near.sees(&far).problems;
        matches!(problems[..], [Problem::WrongIdentity { .. }]).then_some(())
    });
    assert!(is_reset(client));
    service.0.set_nonblocking(true).unwrap();
    assert!(service.0.accept().is_err(), "no byte has gone there");
    assert_eq!(near.sees(&far).path, PeerPath::None);
}

#[test]
fn a_peer_that_is_dropped_is_cut_off_and_can_be_taken_again() {
    let service = Service::new();
    let (mut near, mut far) = pair(service.port());
    near.start();
    far.start();
    let mut client = dial(&near, 0, 0);
    client.write_all(b"x").unwrap();
    let (served, _) = service.accept();
    let dropped = std::mem::take(&mut far.config.peers);
    assert_eq!(far.reload(), Answer::Reloaded(2));
    assert!(is_reset(client));
    drop(served);
    until("it is told", || {
        let seen = near.sees(&far);
        (seen.problems == [Problem::NotAPeer]).then_some(())
    });
    far.config.peers = dropped;
    assert_eq!(far.reload(), Answer::Reloaded(3));
    near.until_connected(&far);
    let mut client = dial(&near, 0, 0);
    client.write_all(b"x").unwrap();
    service.accept();
}

#[test]
fn a_peer_without_an_address_or_a_relay_has_no_way() {
    let mut near = Machine::new();
    let far = Machine::new();
    near.knows(&far, false);
    near.start();
    until("it is told", || {
        (near.sees(&far).problems == [Problem::NoWay]).then_some(())
    });
}

#[test]
fn one_side_that_can_be_reached_is_enough() {
    let service = Service::new();
    let (mut near, mut far) = pair(service.port());
    near.config.peers[0].addresses.clear();
    near.start();
    far.start();
    let mut client = dial(&near, 0, 0);
    client.write_all(b"x").unwrap();
    service.accept();
}
