//! How the mesh stands, for the agent.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use e3_core::mesh::link::{PeerPath, PeerStatus, Problem, RelayState, Status};
use iroh::Watcher as _;
use iroh::unstable_net_report::NetReport;

use crate::carrier::Carrier;
use crate::endpoint::{Quic, own_addresses};
use crate::mesh::Shared;
use crate::onion::{Onion, RELAYS};
use crate::peer::Peer;

/// All of it.
pub(crate) fn status(shared: &Shared) -> Status {
    let around = match &shared.carrier {
        Carrier::Quic(quic) => by_quic(quic),
        Carrier::Onion(onion) => by_onion(onion),
    };
    let refused = shared.refused();
    Status {
        id: shared.id,
        generation: shared.generation.load(Ordering::Relaxed),
        addresses: around.addresses,
        relays: around.relays,
        udp: around.udp,
        symmetric: around.symmetric,
        problems: refused.into_iter().chain(around.problems).collect(),
        peers: shared.peers().iter().map(|known| peer(known)).collect(),
        strangers: shared.strangers.load(Ordering::Relaxed),
    }
}

/// What is around this machine.
struct Around {
    addresses: Vec<SocketAddr>,
    relays: Vec<RelayState>,
    udp: Option<bool>,
    symmetric: Option<bool>,
    problems: Vec<Problem>,
}

/// Of Tor's relays it is only known whether there is a way to them, and nobody is told where this machine is.
fn by_onion(onion: &Onion) -> Around {
    Around {
        addresses: Vec::new(),
        relays: vec![RelayState {
            url: RELAYS.to_owned(),
            connected: onion.state.is_connected(),
        }],
        udp: None,
        symmetric: None,
        problems: onion.problem().into_iter().collect(),
    }
}

fn by_quic(quic: &Quic) -> Around {
    let relays = quic.endpoint.home_relay_status().get();
    let report = quic.endpoint.net_report().get();
    let is_connected = relays.iter().any(iroh::endpoint::RelayStatus::is_connected);
    // Without a relay nobody tells whether UDP gets out.
    let report = report.filter(|_| is_connected);
    let udp = report.as_ref().map(NetReport::has_udp);
    let mut problems = Vec::new();
    if !quic.relays.is_empty() && !is_connected {
        let denied = relays
            .iter()
            .find(|relay| relay.auth_denied_reason().is_some());
        let last = relays.iter().find_map(|relay| relay.last_error());
        problems.push(match denied {
            Some(relay) => Problem::RelayRefused {
                relay: relay.url().to_string(),
            },
            None => quic
                .relay_trouble
                .get()
                .unwrap_or_else(|| Problem::NoRelay {
                    detail: last.map_or_else(
                        || "none has answered yet".to_owned(),
                        |error| e3_core::text::clean(&format!("{error:#}"), e3_core::text::DETAIL),
                    ),
                }),
        });
    }
    if udp == Some(false) {
        problems.push(Problem::UdpBlocked);
    }
    let relays = relays.iter().map(|relay| RelayState {
        url: relay.url().to_string(),
        connected: relay.is_connected(),
    });
    Around {
        addresses: own_addresses(&quic.endpoint),
        relays: relays.collect(),
        udp,
        symmetric: report.and_then(|report| report.mapping_varies_by_dest()),
        problems,
    }
}

fn peer(peer: &Peer) -> PeerStatus {
    let newest = peer.newest();
    let way = newest.as_ref().and_then(|live| live.connection.way());
    let (path, rtt) = way.unwrap_or((PeerPath::None, None));
    let ago = peer.last_seen().map(|seen| seen.elapsed());
    PeerStatus {
        id: peer.id,
        path,
        rtt_us: rtt.map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
        sent: peer.sent.load(Ordering::Relaxed),
        received: peer.received.load(Ordering::Relaxed),
        carried: peer.carried(),
        held: peer.held.load(Ordering::Relaxed),
        last_seen_ms: ago.map(|ago| u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)),
        problems: peer.problems.list(newest.is_some()),
    }
}
