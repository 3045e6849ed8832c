//! OpenVPN: one server, by which all packets go, and the others.
//!
//! There is no authority. The server shows a certificate that it has signed itself, and the others a secret: OpenVPN can ask for
//! those while it runs, and would have to be started anew for a new certificate. What the fleet knows a machine by are the
//! digests of both, so anybody may read them.

mod config;
mod identity;

use e3_core::mesh::{NotJoined, Plan, Prefix, Roster};

pub(super) use self::config::is_by_tcp;
use self::identity::Identity;
use super::backend::{Prepared, belongs};
use super::files::Files;
use crate::shared::Shared;

const NAME: &str = "openvpn";
/// SIGUSR1: it connects anew, and keeps its device.
pub(super) const CONNECT_ANEW: i32 = nix::libc::SIGUSR1;

/// Everything that the daemon needs.
pub(super) fn prepare(
    shared: &Shared,
    plan: &Plan,
    roster: &Roster,
) -> Result<Prepared, NotJoined> {
    let (me, prefix) = (shared.me(), Prefix::of(&shared.join.root, NAME));
    let identity = Identity::of(shared)?;
    belongs(shared, roster, &identity.public)?;
    let config = config::render(prefix, &me, plan, roster, &identity);
    let mut files = Files::of(NAME).with("config.conf", config.as_str());
    for known in config::known(prefix, &me, plan, roster) {
        files = files.with_open(known.name, known.text);
    }
    Ok(Prepared { files, grant: None })
}
