//! Joins the meshes that the fleet's head asks for, and stays in them: `e3_core::mesh` carried out.
//!
//! - [`run`]: follows the plans, leaves what is in none of them.
//! - `membership`: one mesh; joins, watches, joins again.
//! - `backend`: what differs from backend to backend, with a folder for each (`nebula`, `wireguard`, …; `link` is Tor's, too): keys,
//!   what its daemon is told.
//! - `files`: what a daemon reads, where systemd takes it from.
//! - [`gauge`]: how packets get to the others, and how long they take; `others`: who they are.
//! - `key`, `grant`: what a machine shows to be let in.
//! - [`place`]: by which of its addresses the parties of a session reach this one.
//! - `probe`: whether other agents answer through the mesh. Nothing else counts as having joined: daemons say that they are
//!   ready when they have a device.
//!
//! The daemon is a unit of its own, `e3-mesh-<backend>.service`, which ships with the image. It goes on when the agent is
//! started anew, so an update does not cut a mesh; and it is executed anew only when what it is told has changed.
//!
//! While a fleet moves from one mesh to another its head names both, and each machine is in both. It tells the others its
//! address in the new one as soon as somebody answers there, and goes on telling the old one: where the new one does not
//! work, nothing has changed.

mod backend;
mod files;
pub mod gauge;
mod grant;
mod key;
pub(crate) mod link;
mod membership;
mod nebula;
mod openvpn;
mod others;
pub mod place;
mod probe;
mod tailscale;
mod tinc;
pub(crate) mod wireguard;

use std::net::IpAddr;
use std::sync::Arc;

use e3_core::digest::Digest;
use e3_core::document::Mesh;
use e3_core::mesh::{NotJoined, Plan, Prefix};
use futures_util::future::join_all;
use tokio::time::Instant;

use self::files::Files;
use self::membership::Membership;
use crate::config::{PORT, Supervisor};
use crate::shared::Shared;
use crate::supervisor::systemd::Service;

/// Follows the plans of the fleet's head, for ever.
pub async fn run(shared: Shared) {
    tokio::spawn(wireguard::direct::run(shared.clone()));
    let mut changes = shared.plans.subscribe();
    loop {
        let plans = changes.borrow_and_update().clone();
        let work = async {
            leave_others(&shared, &plans).await;
            let members = plans.iter().map(|plan| Membership::new(&shared, plan));
            join_all(members.map(Membership::keep)).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = work => {}
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

/// Makes the key that a fleet lets in without having chosen a mesh, before the first word to the fleet.
pub fn introduce(shared: &Shared) {
    if shared.settings.supervisor == Supervisor::Systemd
        && let Err(trouble) = link::own_key(shared, link::Carrier::Link)
    {
        tracing::warn!(%trouble, "no key for the built-in mesh");
    }
}

/// Which addresses the others are told before anything is joined: those of the machine, unless the fleet meets in a mesh alone.
pub fn first_addresses<'a>(plans: &[Plan], own: &'a [String]) -> &'a [String] {
    if may_be_direct(plans) { own } else { &[] }
}

/// Whether parties may meet by the addresses of their machines.
fn may_be_direct(plans: &[Plan]) -> bool {
    plans.is_empty() || plans.iter().any(|plan| plan.direct)
}

/// The networks of this fleet's meshes, joined or not: in them an address is one party's.
pub fn networks(first_root: &Digest) -> Arc<[Prefix]> {
    let names = backend::ALL
        .into_iter()
        .chain([e3_core::mesh::wireguard::DIRECT]);
    names.map(|name| Prefix::of(first_root, name)).collect()
}

/// Whether a mesh's daemon, and so its device, has this name.
pub fn is_daemon(name: &str) -> bool {
    backend::ALL.contains(&name)
}

/// This machine's addresses have changed: that is where the others find it, unless the fleet meets in a mesh alone.
pub fn moved(shared: &Shared) {
    let plans = shared.plans.borrow();
    if may_be_direct(&plans) {
        tell_addresses(shared, &plans);
    }
}

/// Leaves what the fleet wants no more.
async fn leave_others(shared: &Shared, plans: &[Plan]) {
    let is_wanted = |daemon: &str| plans.iter().any(|plan| plan.backend.daemon() == daemon);
    for name in backend::ALL {
        if is_wanted(name) {
            continue;
        }
        if shared.settings.supervisor == Supervisor::Systemd && Files::of(name).are_there() {
            backend::say_goodbye(shared, name).await;
            Files::of(name).remove();
            if let Err(error) = service(name).stop().await {
                tracing::warn!(backend = name, error = %crate::text::chain(&error), "the mesh's daemon cannot be stopped");
            }
            tracing::info!(backend = name, "left the mesh");
        }
    }
    for name in shared.board.known().meshes.keys() {
        if !plans.iter().any(|plan| plan.backend.name() == name) {
            shared.board.mesh(name, None);
        }
    }
    tell_addresses(shared, plans);
}

/// It is in the mesh, by a daemon that was started then; if it has not been so for long.
fn joined(shared: &Shared, backend: &str, address: IpAddr, started: Option<Instant>) {
    let now = vec![address.to_string()];
    if let Some(Mesh::Joined { addresses, .. }) = shared.board.known().meshes.get(backend)
        && *addresses == now
    {
        return;
    }
    let took_ms = started.and_then(|started| u32::try_from(started.elapsed().as_millis()).ok());
    tracing::info!(backend, %address, took_ms, "in the mesh");
    let mesh = Mesh::Joined {
        addresses: now,
        took_ms,
    };
    shared.board.mesh(backend, Some(mesh));
    tell_addresses(shared, &shared.plans.borrow());
}

fn not_joined(shared: &Shared, backend: &str, reason: &NotJoined) {
    let reason = reason.cleaned();
    shared.board.mesh(backend, Some(Mesh::NotJoined { reason }));
    let plans = shared.plans.borrow();
    if may_be_direct(&plans) {
        // There are better ones to be told.
        tell_addresses(shared, &plans);
    }
}

/// Tells the others where this agent is: in the meshes that it has joined, the preferred one first, and at no address of its
/// machine unless the fleet says so. Whoever has fallen out of all of them is where it was: it may be back before anybody else looks.
fn tell_addresses(shared: &Shared, plans: &[Plan]) {
    let standings = shared.board.known().meshes;
    let mut told: Vec<String> = plans
        .iter()
        .filter_map(|plan| match standings.get(plan.backend.name())? {
            Mesh::Joined { addresses, .. } => Some((addresses, port(shared, plan))),
            Mesh::NotJoined { .. } => None,
        })
        .flat_map(|(addresses, port)| addresses.iter().map(move |address| at(address, port)))
        .collect();
    told.extend(first_addresses(plans, &shared.addresses()).iter().cloned());
    if !told.is_empty() {
        shared.board.addresses(&told);
    }
}

/// The port of this agent in a mesh: its own, where that is carried as it is.
fn port(shared: &Shared, plan: &Plan) -> u16 {
    match backend::port(plan) {
        PORT => shared.port,
        other => other,
    }
}

/// `host:port` of an address.
fn at(address: &str, port: u16) -> String {
    if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

fn service(backend: &str) -> Service {
    Service::new(&format!("e3-mesh-{backend}.service"))
}

/// What this machine lacks.
fn unable(error: &dyn std::error::Error) -> NotJoined {
    NotJoined::Unable {
        detail: crate::text::chain(error),
    }
}
