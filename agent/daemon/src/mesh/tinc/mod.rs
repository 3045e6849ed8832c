//! tinc 1.0: a key born here, and the others' keys from the fleet's head.
//!
//! Its daemons tell each other who can be reached where, and pass on what cannot go straight, by TCP where there is no UDP.
//! That is all they are believed: which address is whose, the head alone says (`StrictSubnets`).

mod config;
mod key;

use e3_core::mesh::{NotJoined, Plan, Prefix, Roster};

use super::backend::{Prepared, belongs};
use super::files::Files;
use crate::shared::Shared;

const NAME: &str = "tinc";

/// Everything that the daemon needs.
pub(super) async fn prepare(
    shared: &Shared,
    plan: &Plan,
    roster: &Roster,
) -> Result<Prepared, NotJoined> {
    let (me, prefix) = (shared.me(), Prefix::of(&shared.join.root, NAME));
    let pair = key::of(shared).await?;
    belongs(shared, roster, &pair.public)?;
    let mut files = Files::of(NAME)
        .with("tinc.conf", config::render(prefix, &me, plan))
        .with("address", config::address(prefix, &me))
        .with("key", pair.secret.as_str());
    for host in config::hosts(prefix, plan, roster) {
        files = files.with_open(host.name, host.text);
    }
    Ok(Prepared { files, grant: None })
}
