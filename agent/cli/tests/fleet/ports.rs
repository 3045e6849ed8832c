//! Ports that are taken, and strangers who connect where they have no business.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use e3_core::document::Presence;
use e3_core::envelope::Envelope;
use e3_core::limits;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;

use crate::common::{Plan, QUICK, Rig, slow};

/// Connections of each kind to each agent.
const STRANGERS: usize = 40;

/// Listeners on three ports in a row, which nobody else has.
fn row_of_ports() -> (u16, Vec<TcpListener>) {
    for _ in 0..1000 {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let base = first.local_addr().unwrap().port();
        let next =
            |offset: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, base.checked_add(offset)?)).ok();
        if let (Some(second), Some(third)) = (next(1), next(2)) {
            return (base, vec![first, second, third]);
        }
    }
    panic!("there are no three free ports in a row");
}

#[tokio::test]
async fn a_party_whose_preferred_port_is_taken_takes_another_one() {
    let mut rig = Rig::new().await;
    let (base, held) = row_of_ports();
    let tables = format!("base_port = {base}\n");
    let run = rig
        .push(&Plan {
            program: QUICK,
            tables: &tables,
            ..Plan::default()
        })
        .await;
    rig.ends_well(&run).await;
    for listener in &held {
        listener.set_nonblocking(true).unwrap();
        assert!(
            listener.accept().is_err(),
            "a party has connected to the stranger"
        );
    }
    drop(held);
    rig.stop().await;
}

/// Where the agents listen, as they tell the others.
async fn addresses(rig: &Rig) -> Vec<String> {
    let mut addresses = Vec::new();
    for record in rig.fleet.open.hub.parties().await.unwrap() {
        let presence = Envelope::parse(&record.presence.unwrap(), limits::ENVELOPE).unwrap();
        let presence = presence.unverified::<Presence>().unwrap();
        addresses.extend(presence.addresses);
    }
    addresses
}

/// Says nothing; says what is no TLS; says the beginning of something, byte by byte.
async fn disturb(address: String, kind: usize) {
    let Ok(mut stream) = tokio::net::TcpStream::connect(&address).await else {
        return;
    };
    match kind {
        0 => std::future::pending().await,
        1 => while stream.write_all(&[0xff; 4096]).await.is_ok() {},
        _ => {
            // A TLS record of a ClientHello that never becomes whole.
            let hello = [[0x16, 3, 1, 2, 0, 1, 0, 1].as_slice(), &[0xfc; 500]].concat();
            for byte in hello {
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

#[tokio::test]
async fn strangers_at_the_agents_ports_do_not_disturb_a_session() {
    let mut rig = Rig::new().await;
    let mut strangers = JoinSet::new();
    for address in addresses(&rig).await {
        assert!(
            TcpStream::connect(&address).is_ok(),
            "nobody listens at {address}"
        );
        for stranger in 0..3 * STRANGERS {
            strangers.spawn(disturb(address.clone(), stranger % 3));
        }
    }
    // Before, while and after they shake hands.
    rig.still_works().await;
    let run = rig.push(&slow()).await;
    rig.runs_at(&run, &[0, 1, 2]).await;
    for address in addresses(&rig).await {
        for stranger in 0..3 * STRANGERS {
            strangers.spawn(disturb(address.clone(), stranger % 3));
        }
    }
    run.finish();
    rig.ends_well(&run).await;
    strangers.abort_all();
    rig.stop().await;
}
