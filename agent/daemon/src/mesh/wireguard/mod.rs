//! WireGuard: a key born here, and the others' keys from the fleet's head.
//!
//! It has no discovery. Anchors know everybody's key and nobody's address, and each machine keeps its way to every anchor open: what
//! goes no other way goes by the first one that is heard. The machines say in their presences where they are, and whoever may be
//! reached there is tried; packets go straight for as long as they arrive (`direct`).

mod config;
pub(crate) mod direct;

use std::net::SocketAddr;

use e3_core::document::MESH_ENDPOINTS;
use e3_core::key::PublicKey;
use e3_core::mesh::wireguard::{DIRECT, port};
use e3_core::mesh::{Anchor, NotJoined, Path, Plan, Prefix, Roster};

use self::config::Networks;
use super::backend::{Prepared, belongs};
use super::files::Files;
use super::key;
use crate::address;
use crate::shared::Shared;

const NAME: &str = "wireguard";

/// Everything that the unit needs.
pub(super) fn prepare(
    shared: &Shared,
    plan: &Plan,
    roster: &Roster,
) -> Result<Prepared, NotJoined> {
    let key = key::x25519(shared, NAME)?;
    tell_endpoints(shared, plan);
    belongs(shared, roster, &key.public)?;
    let (me, networks) = (shared.me(), networks(shared));
    let anchor = plan.anchor(&me).and_then(Anchor::port);
    // An anchor passes on what members send to each other, and nobody else does.
    let carries = anchor.map_or_else(String::new, |_| networks.all.network());
    let interface = config::interface(&key.secret, anchor.unwrap_or_else(|| port(&me)));
    let files = Files::of(NAME)
        .with("interface.conf", interface.as_str())
        .with("address", config::addresses(&networks, &me))
        .with("carries", carries)
        .with_open("peers.conf", peers(shared, plan, roster));
    Ok(Prepared { files, grant: None })
}

/// How packets get to these parties.
pub(super) fn paths<'a>(
    shared: &Shared,
    plan: &Plan,
    parties: impl Iterator<Item = &'a PublicKey>,
) -> Vec<Path> {
    let heard = shared.direct.known().heard;
    let is_anchor = plan.anchor(&shared.me()).is_some();
    parties
        .map(|party| {
            if is_anchor || plan.anchor(party).is_some() || heard.contains(party) {
                Path::Direct
            } else {
                Path::Relayed
            }
        })
        .collect()
}

/// The peers as they are to be now.
fn peers(shared: &Shared, plan: &Plan, roster: &Roster) -> String {
    let known = shared.direct.known();
    config::peers(&networks(shared), &shared.me(), plan, roster, &known)
}

fn networks(shared: &Shared) -> Networks {
    let of = |name| Prefix::of(&shared.join.root, name);
    Networks {
        all: of(NAME),
        straight: of(DIRECT),
    }
}

/// Tells the others where this machine's device listens: first where an anchor hears it from, which is where holes are punched. Where
/// an anchor is stands in the head.
fn tell_endpoints(shared: &Shared, plan: &Plan) {
    let me = shared.me();
    let at = |address| SocketAddr::new(address, port(&me));
    let endpoints: Vec<SocketAddr> = if plan.anchor(&me).is_some() {
        Vec::new()
    } else {
        let own: Vec<_> = address::addresses().into_iter().map(at).collect();
        let seen = shared.direct.seen().filter(|seen| !own.contains(seen));
        seen.into_iter().chain(own).collect()
    };
    let endpoints = endpoints.iter().take(MESH_ENDPOINTS);
    let endpoints = endpoints.map(ToString::to_string).collect();
    shared.board.mesh_endpoints(NAME, endpoints);
}
