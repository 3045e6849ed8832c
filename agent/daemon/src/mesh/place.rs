//! By which address the parties of a session reach this one.
//!
//! While a fleet moves from one mesh to another its machines are in both, or still in the old one alone. A session meets in
//! the preferred one in which all its parties are; each party may find that by itself, since all of them can be reached in both
//! then.

use std::time::Duration;

use e3_core::document::{Mesh, Presence, Session};
use e3_core::mesh::Plan;
use e3_core::session::Reason;
use futures_util::future::join_all;
use tokio::time::timeout;

use crate::shared::Shared;

/// How long a machine that has just been started is given to join.
const PATIENCE: Duration = Duration::from_secs(10);

/// The host part of this party's endpoint.
pub async fn host(shared: &Shared, session: &Session) -> Result<String, Reason> {
    let plans = shared.plans.borrow().clone();
    let wanted: Vec<&str> = plans
        .iter()
        .map(|plan: &Plan| plan.backend.name())
        .filter(|name| session.mesh.as_deref().is_none_or(|mesh| mesh == *name))
        .collect();
    if let (Some(mesh), []) = (&session.mesh, wanted.as_slice()) {
        return Err(Reason::NotInMesh {
            mesh: mesh.clone(),
            detail: "the fleet's head asks for no such mesh".to_owned(),
        });
    }
    if wanted.is_empty() || session.parties.len() == 1 {
        return Ok(of_machine(shared));
    }
    let own = joined(shared, &wanted).await?;
    let (_, old) = own
        .last()
        .cloned()
        .unwrap_or_else(|| (String::new(), of_machine(shared)));
    if own.len() > 1 {
        let peers = session.parties.iter().map(|party| party.key);
        let peers = peers.filter(|key| *key != shared.me());
        let presences = join_all(peers.map(async |key| {
            let bytes = shared.hub.presence(&key).await.ok()??;
            Presence::open(&bytes, &key, &shared.join.fleet)
        }))
        .await;
        let is_in = |presence: &Option<Presence>, mesh: &str| {
            let meshes = presence.as_ref().map(|presence| &presence.meshes);
            meshes.is_some_and(|meshes| meshes.get(mesh).is_some_and(Mesh::is_joined))
        };
        for (mesh, address) in own {
            if presences.iter().all(|presence| is_in(presence, &mesh)) {
                return Ok(address);
            }
        }
    }
    Ok(old)
}

/// The meshes of these that this machine is in, with its address in each; it is waited for one.
async fn joined(shared: &Shared, wanted: &[&str]) -> Result<Vec<(String, String)>, Reason> {
    let mut changes = shared.board.subscribe();
    let now = || {
        let mut meshes = shared.board.known().meshes;
        let own = wanted
            .iter()
            .filter_map(|name| match meshes.remove(*name)? {
                Mesh::Joined { addresses, .. } => {
                    Some(((*name).to_owned(), addresses.first()?.clone()))
                }
                Mesh::NotJoined { .. } => None,
            });
        own.collect::<Vec<_>>()
    };
    let wait = async {
        loop {
            changes.borrow_and_update();
            let own = now();
            // The board lives as long as the agent.
            if !own.is_empty() || changes.changed().await.is_err() {
                return own;
            }
        }
    };
    let own = timeout(PATIENCE, wait).await.unwrap_or_default();
    if !own.is_empty() {
        return Ok(own);
    }
    let mut meshes = shared.board.known().meshes;
    let why = |name: &str| match meshes.remove(name) {
        Some(Mesh::NotJoined { reason }) => Some(reason.to_string()),
        _ => None,
    };
    Err(Reason::NotInMesh {
        mesh: wanted.join(", "),
        detail: wanted.first().copied().and_then(why).unwrap_or_default(),
    })
}

/// The first address of the machine itself.
fn of_machine(shared: &Shared) -> String {
    let address = shared.addresses().into_iter().next();
    let address = address.as_deref().unwrap_or("127.0.0.1");
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_matches(['[', ']']).to_owned()
}
