//! How the mesh stands, for the agent.

use std::sync::atomic::Ordering;
use std::time::Duration;

use e3_core::mesh::link::{PeerPath, PeerStatus, Problem, RelayState, Status};
use iroh::unstable_net_report::NetReport;
use iroh::{TransportAddr, Watcher as _};

use crate::endpoint::own_addresses;
use crate::mesh::Shared;
use crate::peer::{Live, Peer};

/// All of it.
pub(crate) fn status(shared: &Shared) -> Status {
    let relays = shared.endpoint.home_relay_status().get();
    let report = shared.endpoint.net_report().get();
    let is_connected = relays.iter().any(iroh::endpoint::RelayStatus::is_connected);
    // Without a relay nobody tells whether UDP gets out.
    let report = report.filter(|_| is_connected);
    let udp = report.as_ref().map(NetReport::has_udp);
    let mut problems: Vec<Problem> = shared.refused().into_iter().collect();
    if !shared.relays.is_empty() && !is_connected {
        let denied = relays
            .iter()
            .find(|relay| relay.auth_denied_reason().is_some());
        let last = relays.iter().find_map(|relay| relay.last_error());
        problems.push(match denied {
            Some(relay) => Problem::RelayRefused {
                relay: relay.url().to_string(),
            },
            None => shared
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
    Status {
        id: shared.id,
        generation: shared.generation.load(Ordering::Relaxed),
        addresses: own_addresses(&shared.endpoint),
        relays: relays.collect(),
        udp,
        symmetric: report.and_then(|report| report.mapping_varies_by_dest()),
        problems,
        peers: shared.peers().iter().map(|known| peer(known)).collect(),
        strangers: shared.strangers.load(Ordering::Relaxed),
    }
}

fn peer(peer: &Peer) -> PeerStatus {
    let newest = peer.newest();
    let way = newest.as_deref().and_then(way);
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

/// How packets go by a connection: the path that is chosen, or any while none is.
fn way(live: &Live) -> Option<(PeerPath, Option<Duration>)> {
    let paths = live.connection.paths();
    let path = paths.iter().find(iroh::endpoint::Path::is_selected);
    let path = path.or_else(|| paths.iter().next())?;
    let kind = match path.remote_addr() {
        TransportAddr::Ip(address) => PeerPath::Direct { address: *address },
        TransportAddr::Relay(url) => PeerPath::Relayed {
            relay: url.to_string(),
        },
        _ => PeerPath::None,
    };
    Some((kind, Some(path.rtt())))
}
