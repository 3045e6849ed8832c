//! What happens to programs' connections.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use e3_core::mesh::link::{Answer, PeerPath, Problem, Reach, Serve};

use crate::world::{Service, dial, is_reset, pair, tcp_port, until};

/// A service's reset, which is how a program that crashes looks like.
fn reset(stream: std::net::TcpStream) {
    stream.set_nonblocking(true).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::from_std(stream).unwrap();
        stream.set_zero_linger().unwrap();
    });
}

#[test]
fn bytes_go_both_ways_and_a_half_close_is_passed_on() {
    let service = Service::new();
    let (mut near, mut far) = pair(service.port());
    near.start();
    far.start();
    let mut client = dial(&near, 0, 0);
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let writer = {
        let (mut client, sent) = (client.try_clone().unwrap(), sent.clone());
        std::thread::spawn(move || {
            client.write_all(&sent).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        })
    };
    let (mut served, from) = service.accept();
    let mut received = Vec::new();
    served.read_to_end(&mut received).unwrap();
    assert!(received == sent, "3 MB arrive as they were sent");
    writer.join().unwrap();
    // The other direction is still open.
    served.write_all(b"all 3000000 came").unwrap();
    drop(served);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "all 3000000 came");
    assert_eq!(
        from.ip(),
        far.config.peers[0].local,
        "a service sees by the address which peer it is"
    );
    let seen = near.sees(&far);
    assert_eq!((seen.sent, seen.received), (3_000_000, 16));
    assert!(matches!(seen.path, PeerPath::Direct { .. }), "{seen:?}");
    assert!(seen.rtt_us.is_some() && seen.last_seen_ms.is_some());
    until("nothing is carried any more", || {
        (far.sees(&near).carried == 0).then_some(())
    });
    near.stop();
    far.stop();
}

#[test]
fn a_peer_that_comes_late_is_waited_for() {
    let service = Service::new();
    let (mut near, mut far) = pair(service.port());
    near.start();
    let mut client = dial(&near, 0, 0);
    client.write_all(b"early").unwrap();
    until("it is held", || (near.sees(&far).held == 1).then_some(()));
    far.start();
    let (mut served, _) = service.accept();
    let mut word = [0; 5];
    served.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"early");
    assert_eq!(near.sees(&far).held, 0);
}

#[test]
fn a_service_that_comes_late_is_waited_for() {
    let port = tcp_port();
    let (mut near, mut far) = pair(port);
    near.start();
    far.start();
    near.until_connected(&far);
    let mut client = dial(&near, 0, 0);
    client.write_all(b"early").unwrap();
    until("it is held", || (near.sees(&far).held == 1).then_some(()));
    let service = Service::at(port);
    let (mut served, _) = service.accept();
    let mut word = [0; 5];
    served.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"early");
}

#[test]
fn who_waits_in_vain_is_reset_and_not_told_an_end() {
    let (mut near, far) = pair(tcp_port());
    near.config.hold_seconds = 1;
    near.start();
    let begun = Instant::now();
    let client = dial(&near, 0, 0);
    assert!(is_reset(client));
    assert!(begun.elapsed() >= Duration::from_millis(900));
    assert_eq!(near.sees(&far).held, 0);
}

#[test]
fn a_program_that_leaves_is_not_held() {
    let (mut near, far) = pair(tcp_port());
    near.start();
    let client = dial(&near, 0, 0);
    until("it is held", || (near.sees(&far).held == 1).then_some(()));
    drop(client);
    until("it is forgotten", || {
        (near.sees(&far).held == 0).then_some(())
    });
}

#[test]
fn a_break_is_passed_on_as_a_break() {
    let service = Service::new();
    let (mut near, mut far) = pair(service.port());
    near.start();
    far.start();
    let mut client = dial(&near, 0, 0);
    client.write_all(b"x").unwrap();
    let (mut served, _) = service.accept();
    served.read_exact(&mut [0]).unwrap();
    served.write_all(b"half an ans").unwrap();
    let mut heard = [0; 11];
    client.read_exact(&mut heard).unwrap();
    reset(served);
    assert!(is_reset(client));

    // And the other way.
    let mut client = dial(&near, 0, 0);
    client.write_all(b"x").unwrap();
    let (mut served, _) = service.accept();
    served.read_exact(&mut [0]).unwrap();
    reset(client);
    assert!(is_reset(served));
}

#[test]
fn a_port_that_is_not_served_is_refused_until_it_is() {
    let service = Service::new();
    let (mut near, mut far) = pair(service.port());
    let allowed = std::mem::take(&mut far.config.peers[0].serve);
    near.start();
    far.start();
    let mut client = dial(&near, 0, 0);
    client.write_all(b"x").unwrap();
    let problem = Problem::NotServed {
        port: service.port(),
    };
    until("it is told", || {
        near.sees(&far).problems.contains(&problem).then_some(())
    });
    service.0.set_nonblocking(true).unwrap();
    assert!(service.0.accept().is_err(), "nobody has reached it");
    // The program is still held, and gets through as soon as it may.
    far.config.peers[0].serve = allowed;
    assert_eq!(far.reload(), Answer::Reloaded(2));
    let (mut served, _) = service.accept();
    served.read_exact(&mut [0]).unwrap();
    until("it is over", || {
        near.sees(&far).problems.is_empty().then_some(())
    });
}

#[test]
fn a_port_that_is_taken_back_ends_what_it_carries() {
    let service = Service::new();
    let (mut near, mut far) = pair(service.port());
    near.start();
    far.start();
    let mut client = dial(&near, 0, 0);
    client.write_all(b"x").unwrap();
    let (mut served, _) = service.accept();
    served.read_exact(&mut [0]).unwrap();
    far.config.peers[0].serve.clear();
    assert_eq!(far.reload(), Answer::Reloaded(2));
    assert!(is_reset(client));
    assert!(is_reset(served));
    assert_ne!(
        near.sees(&far).path,
        PeerPath::None,
        "the peers stay connected"
    );
}

#[test]
fn a_listener_goes_when_it_is_no_longer_wanted_and_others_stay() {
    let service = Service::new();
    let (mut near, mut far) = pair(service.port());
    let other = tcp_port();
    let reach = Reach {
        port: service.port(),
        listen: Some(other),
    };
    near.config.peers[0].reach.push(reach);
    near.start();
    far.start();
    let mut kept = dial(&near, 0, 0);
    kept.write_all(b"x").unwrap();
    let (mut served, _) = service.accept();
    served.read_exact(&mut [0]).unwrap();
    drop(dial(&near, 0, 1));
    near.config.peers[0].reach.pop();
    assert_eq!(near.reload(), Answer::Reloaded(2));
    let gone = SocketAddr::from((near.config.peers[0].local, other));
    until("nobody listens", || {
        std::net::TcpStream::connect(gone).err()
    });
    kept.write_all(b"y").unwrap();
    served.read_exact(&mut [0]).unwrap();
}

#[test]
fn an_address_that_somebody_holds_is_named_and_used_when_it_is_free() {
    let service = Service::new();
    let (mut near, mut far) = pair(service.port());
    let listen = SocketAddr::from((near.config.peers[0].local, service.port()));
    let squatter = TcpListener::bind(listen).unwrap();
    near.start();
    far.start();
    let problem = Problem::PortTaken { listen };
    until("it is told", || {
        near.sees(&far).problems.contains(&problem).then_some(())
    });
    drop(squatter);
    let mut client = dial(&near, 0, 0);
    client.write_all(b"x").unwrap();
    service.accept();
    assert!(!near.sees(&far).problems.contains(&problem));
}

#[test]
fn a_peer_that_is_killed_and_starts_anew_is_back_at_once() {
    let service = Service::new();
    let (mut near, mut far) = pair(service.port());
    near.start();
    far.start();
    let mut client = dial(&near, 0, 0);
    client.write_all(b"x").unwrap();
    let (mut served, _) = service.accept();
    served.read_exact(&mut [0]).unwrap();
    far.kill();
    let begun = Instant::now();
    far.start();
    // What the dead process carried is known to be dead, long before the silence would tell.
    assert!(is_reset(client));
    let mut client = dial(&near, 0, 0);
    client.write_all(b"y").unwrap();
    let (mut served, _) = service.accept();
    let mut word = [0];
    served.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"y");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "it took {took:?}");
}

#[test]
fn many_connections_are_carried_at_once_and_too_many_are_reset_without_harm_to_other_services() {
    let (service, other) = (Service::new(), Service::new());
    let (mut near, mut far) = pair(service.port());
    let port = other.port();
    near.config.peers[0]
        .reach
        .push(Reach { port, listen: None });
    far.config.peers[0].serve.push(Serve { port, target: None });
    near.start();
    far.start();
    let mut clients = Vec::new();
    let mut served = Vec::new();
    for n in 0..32_u8 {
        let mut client = dial(&near, 0, 0);
        client.write_all(&[n]).unwrap();
        clients.push(client);
        let (mut stream, _) = service.accept();
        let mut word = [0];
        stream.read_exact(&mut word).unwrap();
        assert_eq!(word, [n]);
        served.push(stream);
    }
    assert!(is_reset(dial(&near, 0, 0)), "there is no room for one more");
    assert!(near.sees(&far).problems.contains(&Problem::TooMany));
    let mut elsewhere = dial(&near, 0, 1);
    elsewhere.write_all(b"x").unwrap();
    other.accept();
    clients.pop();
    served.pop();
    until("there is room again", || {
        let mut client = dial(&near, 0, 0);
        client.write_all(b"x").ok()?;
        service.0.set_nonblocking(true).unwrap();
        client
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let error = client.read(&mut [0]).err()?;
        (error.kind() == std::io::ErrorKind::WouldBlock).then_some(())
    });
}

/// Writes until nothing goes any more, as the other end does not read, and then as much again.
fn fill(
    mut client: std::net::TcpStream,
    message: &[u8],
    count: usize,
) -> std::thread::JoinHandle<()> {
    let message = message.to_vec();
    std::thread::spawn(move || {
        for _ in 0..count {
            client.write_all(&message).unwrap();
        }
    })
}

#[test]
fn a_program_that_does_not_read_for_long_loses_nothing() {
    let service = Service::new();
    let (mut near, mut far) = pair(service.port());
    near.start();
    far.start();
    // In pieces as large as can be, and in such as have a packet of their own each.
    for (size, count) in [(65_536, 1024), (1_000, 20_000), (100, 50_000)] {
        let client = dial(&near, 0, 0);
        let message = vec![7; size];
        let writer = fill(client, &message, count);
        let (mut served, _) = service.accept();
        let mut last = None;
        until("no more goes", || {
            std::thread::sleep(Duration::from_millis(300));
            let sent = near.sees(&far).sent;
            (last.replace(sent) == Some(sent)).then_some(())
        });
        let mut bytes = vec![0; size * count];
        served.read_exact(&mut bytes).unwrap();
        writer.join().unwrap();
        assert!(bytes.iter().all(|byte| *byte == 7));
    }
}
