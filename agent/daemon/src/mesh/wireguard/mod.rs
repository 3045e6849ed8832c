//! WireGuard: a key born here, and the others' keys from the fleet's head.
//!
//! It has no discovery, so it is hub and spoke: anchors know everybody's key and nobody's address, each machine keeps its way to
//! every anchor open, and what is for anybody else goes by the first one.

mod config;

use e3_core::mesh::{Anchor, NotJoined, Plan, Prefix, Roster};

use super::backend::{Prepared, belongs};
use super::files::Files;
use super::key;
use crate::shared::Shared;

const NAME: &str = "wireguard";

/// Everything that the unit needs.
pub(super) fn prepare(
    shared: &Shared,
    plan: &Plan,
    roster: &Roster,
) -> Result<Prepared, NotJoined> {
    let key = key::x25519(shared, NAME)?;
    belongs(shared, roster, &key.public)?;
    let (me, prefix) = (shared.me(), Prefix::of(&shared.join.root, NAME));
    let port = plan.anchor(&me).and_then(Anchor::port);
    // An anchor passes on what members send to each other, and nobody else does.
    let carries = port.map_or_else(String::new, |_| prefix.network());
    let files = Files::of(NAME)
        .with(
            "interface.conf",
            config::interface(&key.secret, port).as_str(),
        )
        .with("address", config::address(prefix, &me))
        .with("carries", carries)
        .with_open("peers.conf", config::peers(prefix, &me, plan, roster));
    Ok(Prepared { files, grant: None })
}
