//! Has the running device take what is known, and tells what it says: who is heard from where.

use std::net::SocketAddr;
use std::path::Path;

use e3_client::files::read_bounded;
use e3_core::key::PublicKey;
use e3_core::mesh::{Plan, Roster};

use super::super::{NAME, peers};
use crate::mesh::files::{Change, Files};
use crate::mesh::service;
use crate::shared::Shared;

/// Where the unit's script writes whom the device hears from where.
const SEEN: &str = "/run/e3-mesh-wireguard/endpoints";
/// A line for each member.
const SEEN_LIMIT: usize = 32 * 1024;

/// Whether it runs. One that does not is told as soon as it does ([`super::Direct::runs`]).
pub(super) async fn runs() -> bool {
    Files::of(NAME).are_there() && service(NAME).is_active().await.unwrap_or(false)
}

/// Has it take what is known; false if it has to be tried again. If it `was_told` what stands in its file, only what is not there yet
/// has it take it again.
pub(super) async fn tell(shared: &Shared, plan: &Plan, roster: &Roster, was_told: bool) -> bool {
    let files = Files::of(NAME).with_open("peers.conf", peers(shared, plan, roster));
    let told = match files.write() {
        // An anchor is asked where the others are.
        Ok(Change::None) if was_told && plan.anchor(&shared.me()).is_none() => Ok(()),
        Ok(_) => service(NAME)
            .reload()
            .await
            .map_err(|error| crate::text::chain(&error)),
        Err(error) => Err(crate::text::chain(&error)),
    };
    if let Err(error) = &told {
        tracing::warn!(%error, "WireGuard is not told which ways are straight");
    }
    told.is_ok()
}

/// Who is heard from where, as the device's script says it whenever it is told something.
pub(super) fn seen(roster: &Roster) -> Vec<(PublicKey, SocketAddr)> {
    let text = read_bounded(Path::new(SEEN), SEEN_LIMIT).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let seen = text.lines().filter_map(|line| {
        let (key, at) = line.split_once('\t')?;
        let member = roster.members.iter().find(|member| member.key == key)?;
        Some((member.party, at.parse().ok()?))
    });
    seen.collect()
}
