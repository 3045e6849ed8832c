//! Machines behind routers, in namespaces: `cargo test -p e3-link --test link nat -- --ignored --nocapture`, as root.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use e3_core::mesh::link::{PeerPath, Problem, Reach, Serve};

use crate::network::{Network, Router};
use crate::place::{PUBLIC, Place};
use crate::world::{DEADLINE, Machine, Service, dial, until};

const PORT: u16 = 7300;
/// Where the second party of a computation listens.
const MPYC: u16 = 11466;
/// Moved to measure how fast a mesh is.
const BULK: usize = 64 * 1024 * 1024;

/// Two machines that know only the relay.
struct Lab {
    network: Network,
    place: Place,
    near: Machine,
    far: Machine,
    service: Service,
}

impl Lab {
    fn new(routers: [Router; 2], change: impl FnOnce(&mut Place)) -> Self {
        let network = Network::new(&routers);
        let mut place = Place::new();
        place.config.listen = SocketAddr::new(PUBLIC.parse().unwrap(), 443);
        place.config.discovery = SocketAddr::new(PUBLIC.parse().unwrap(), 7842);
        change(&mut place);
        let (mut near, mut far) = (Machine::new(), Machine::new());
        near.knows(&far, false)
            .reach
            .extend([PORT, MPYC].map(|port| Reach { port, listen: None }));
        far.knows(&near, false)
            .serve
            .extend([PORT, MPYC].map(|port| Serve { port, target: None }));
        for machine in [&mut near, &mut far] {
            machine.config.bind = vec!["0.0.0.0:7000".parse().unwrap()];
            place.serves(machine);
        }
        place.allow(&[&near, &far]);
        network.on("net", || place.start());
        let service = network.on("p1", || {
            Service(TcpListener::bind(("127.0.0.1", PORT)).unwrap())
        });
        let begun = Instant::now();
        network.on("p0", || near.start());
        network.on("p1", || far.start());
        let lab = Self {
            network,
            place,
            near,
            far,
            service,
        };
        drop(lab.connection());
        println!("{routers:?}: joined after {:?}", begun.elapsed());
        lab
    }

    /// A program's connection, with a byte sent, and its other end.
    fn connection(&self) -> (TcpStream, TcpStream) {
        let mut client = self.network.on("p0", || dial(&self.near, 0, 0));
        client.write_all(b"x").unwrap();
        let (mut served, _) = self.service.accept();
        served.read_exact(&mut [0]).unwrap();
        (client, served)
    }

    fn until_direct(&self) {
        for (machine, other) in [(&self.near, &self.far), (&self.far, &self.near)] {
            let begun = Instant::now();
            until("a direct path", || {
                matches!(machine.sees(other).path, PeerPath::Direct { .. }).then_some(())
            });
            println!("  direct {:?} later", begun.elapsed());
        }
    }

    /// It is relayed, and stays so.
    fn assert_relayed(&self) {
        std::thread::sleep(Duration::from_secs(3));
        let seen = self.near.sees(&self.far);
        assert!(matches!(seen.path, PeerPath::Relayed { .. }), "{seen:?}");
    }

    /// How fast bytes and words go.
    fn measure(&self) {
        let (client, served) = self.connection();
        measure(client, served);
        println!("  by {:?}", self.near.sees(&self.far).path);
    }
}

/// How fast bytes and words go by this connection.
fn measure(mut client: TcpStream, mut served: TcpStream) {
    client.set_nodelay(true).unwrap();
    served.set_nodelay(true).unwrap();
    let rounds = 500;
    let begun = Instant::now();
    for _ in 0..rounds {
        client.write_all(b"w").unwrap();
        served.read_exact(&mut [0]).unwrap();
        served.write_all(b"w").unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
    let round = begun.elapsed() / rounds;
    let begun = Instant::now();
    let writer = std::thread::spawn(move || {
        client.write_all(&vec![7; BULK]).unwrap();
        client
    });
    let mut bytes = vec![0; BULK];
    served.read_exact(&mut bytes).unwrap();
    let took = begun.elapsed();
    drop(writer.join().unwrap());
    let megabits = 8 * BULK as u128 / took.as_micros();
    println!("  {round:?} for a word and its answer, {megabits} Mbit/s");
}

#[test]
#[ignore = "needs root and network namespaces"]
fn two_homes_find_a_direct_path_and_keep_it_without_the_relay() {
    let mut lab = Lab::new([Router::Cone; 2], |_| {});
    lab.until_direct();
    lab.measure();
    assert_eq!(lab.near.status().udp, Some(true));
    let (mut client, mut served) = lab.connection();
    lab.place.process = None;
    until("it is told", || {
        let problems = lab.near.status().problems;
        matches!(problems[..], [Problem::NoRelay { .. }]).then_some(())
    });
    client.write_all(b"still").unwrap();
    let mut word = [0; 5];
    served.read_exact(&mut word).unwrap();
    drop(lab.connection());
    lab.until_direct();
}

#[test]
#[ignore = "needs root and network namespaces"]
fn a_public_machine_is_reached_directly_by_any_but_a_company() {
    for router in [
        Router::None,
        Router::Cone,
        Router::Symmetric,
        Router::Carrier,
    ] {
        let lab = Lab::new([router, Router::None], |_| {});
        lab.until_direct();
        lab.measure();
    }
}

#[test]
#[ignore = "needs root and network namespaces"]
fn where_no_hole_can_be_punched_the_relay_carries() {
    for routers in [
        [Router::Cone, Router::Symmetric],
        [Router::Symmetric, Router::Cone],
        [Router::Symmetric; 2],
        [Router::Carrier; 2],
    ] {
        let lab = Lab::new(routers, |_| {});
        lab.assert_relayed();
        lab.measure();
        assert!(lab.near.status().problems.is_empty());
    }
}

#[test]
#[ignore = "needs root and network namespaces"]
fn where_udp_is_blocked_the_relay_carries_over_tcp_and_says_why() {
    for routers in [
        [Router::NoUdp, Router::Cone],
        [Router::Cone, Router::NoUdp],
        [Router::NoUdp; 2],
    ] {
        let lab = Lab::new(routers, |_| {});
        lab.assert_relayed();
        lab.measure();
        let is_blocked = routers[0] == Router::NoUdp;
        until("it is told", || {
            let problems = lab.near.status().problems;
            (problems.contains(&Problem::UdpBlocked) == is_blocked).then_some(())
        });
    }
}

#[test]
#[ignore = "needs root and network namespaces"]
fn a_relayed_session_survives_a_relay_that_is_started_anew() {
    let mut lab = Lab::new([Router::Symmetric; 2], |_| {});
    lab.assert_relayed();
    let (mut client, mut served) = lab.connection();
    lab.place.process = None;
    until("it is told", || {
        let problems = lab.near.status().problems;
        matches!(problems[..], [Problem::NoRelay { .. }]).then_some(())
    });
    client.write_all(b"later").unwrap();
    let begun = Instant::now();
    let place = &mut lab.place;
    lab.network.on("net", || place.start());
    let mut word = [0; 5];
    served.set_read_timeout(Some(DEADLINE)).unwrap();
    served.read_exact(&mut word).unwrap();
    println!("  {:?} after the relay was back", begun.elapsed());
    drop(lab.connection());
}

#[test]
#[ignore = "needs root and network namespaces"]
fn a_machine_that_changes_its_address_keeps_its_sessions() {
    let lab = Lab::new([Router::Cone; 2], |_| {});
    lab.until_direct();
    let (mut client, mut served) = lab.connection();
    lab.network.ip(
        "p0",
        "address delete 192.168.10.2/24 dev wan\naddress add 192.168.10.77/24 dev wan\nroute replace default via 192.168.10.1",
    );
    let begun = Instant::now();
    client.write_all(b"moved").unwrap();
    let mut word = [0; 5];
    served.read_exact(&mut word).unwrap();
    let took = begun.elapsed();
    println!("  {took:?} after the address has changed");
    assert!(took < Duration::from_secs(3), "it took {took:?}");
    lab.until_direct();
}

#[test]
#[ignore = "needs root and network namespaces"]
fn a_relay_lets_nobody_send_more_than_it_is_told() {
    let lab = Lab::new([Router::Symmetric; 2], |place| {
        place.config.bytes_per_second = NonZeroU32::new(2_000_000);
    });
    lab.assert_relayed();
    let (mut client, mut served) = lab.connection();
    let bytes = 8_000_000;
    let begun = Instant::now();
    let writer = std::thread::spawn(move || {
        client.write_all(&vec![7; bytes]).unwrap();
        client
    });
    served.read_exact(&mut vec![0; bytes]).unwrap();
    let took = begun.elapsed();
    drop(writer.join().unwrap());
    println!("  8 MB took {took:?}");
    assert!(took > Duration::from_secs(2), "it took {took:?}");
}

#[test]
#[ignore = "needs root and network namespaces"]
fn it_is_measured_against_a_plain_connection() {
    for routers in [[Router::None; 2], [Router::Symmetric; 2]] {
        let lab = Lab::new(routers, |_| {});
        if routers[0] == Router::None {
            lab.until_direct();
            let plain = lab
                .network
                .on("p1", || TcpListener::bind("0.0.0.0:11366").unwrap());
            let client = TcpStream::connect;
            let client = lab
                .network
                .on("p0", || client("203.0.113.101:11366").unwrap());
            println!("  a plain connection:");
            measure(client, plain.accept().unwrap().0);
        } else {
            lab.assert_relayed();
        }
        lab.measure();
    }
}

/// Many rounds one after the other, many messages at once, and the right results.
const PROGRAM: &str = "
from mpyc.runtime import mpc
async def main():
    sec = mpc.SecInt(32)
    await mpc.start()
    a = mpc.input(sec(mpc.pid + 2))
    assert await mpc.output(mpc.sum(a)) == 5
    x = sec(1)
    for _ in range(300):
        x = x * a[0]
        x = x - a[0] + 1
    assert await mpc.output(x) == 1
    products = [a[0] * a[1] for _ in range(3000)]
    assert set(await mpc.output(products)) == {6}
    less = [a[0] < a[1] for _ in range(100)]
    assert set(await mpc.output(less)) == {1}
    await mpc.shutdown()
mpc.run(main())
";

/// Two parties compute; how long they took.
fn compute(lab: &Lab, second: &str) -> Duration {
    let needed = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is needed"));
    let (python, mpyc) = (needed("E3_TEST_PYTHON"), needed("E3_TEST_MPYC"));
    let begun = Instant::now();
    let parties: Vec<_> = ["0", "1"]
        .into_iter()
        .map(|index| {
            let start = || {
                std::process::Command::new(&python)
                    .args(["-c", PROGRAM, "-P", "localhost:11465", "-P"])
                    .arg(if index == "0" {
                        second
                    } else {
                        "localhost:11466"
                    })
                    .args(["-I", index, "-T", "0", "--no-log"])
                    .env("PYTHONPATH", &mpyc)
                    .spawn()
                    .unwrap()
            };
            lab.network.on(&format!("p{index}"), start)
        })
        .collect();
    for mut party in parties {
        assert!(party.wait().unwrap().success());
    }
    begun.elapsed()
}

#[test]
#[ignore = "needs root, network namespaces, E3_TEST_PYTHON and E3_TEST_MPYC"]
fn mpyc_computes_over_it_as_over_a_plain_connection() {
    let direct = Lab::new([Router::None; 2], |_| {});
    direct.until_direct();
    let relayed = Lab::new([Router::Symmetric; 2], |_| {});
    relayed.assert_relayed();
    let over = |lab: &Lab| compute(lab, &format!("{}:{MPYC}", lab.near.config.peers[0].local));
    let plain = |lab: &Lab| compute(lab, &format!("203.0.113.101:{MPYC}"));
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..5 {
        times[0].push(plain(&direct));
        times[1].push(over(&direct));
        times[2].push(over(&relayed));
    }
    let [plain, direct, relayed] = times.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    });
    println!("  medians: plain {plain:?}, direct {direct:?}, relayed {relayed:?}");
}
