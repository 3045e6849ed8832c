//! The ways of sessions through a mesh that carries connections: which ports of whom are carried here, and which of this party's there.
//!
//! They are opened when the barrier opens, since only then everybody's ports are known, and before the program dials. A way
//! leads from one party to another one and nowhere else; the far end decides who may use it, by transport key.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use e3_core::digest::Digest;
use e3_core::document::Ready;
use e3_core::key::PublicKey;
use e3_core::mesh::link::{Answer, Request};
use e3_core::mesh::{Plan, local};
use e3_core::session::barrier::host_and_port;
use e3_core::session::{Context, Reason};

use super::{Carrier, config, control};
use crate::shared::Shared;

/// What a session needs of the mesh between this party and another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    carrier: Carrier,
    party: PublicKey,
    /// The port of the other one that is reached from here.
    pub(super) reach: Option<u16>,
    /// The port of this one that is reached from there.
    pub(super) serve: Option<u16>,
}

/// The ways of all sessions.
#[derive(Debug, Default)]
pub struct Ways {
    open: Mutex<BTreeMap<Digest, Vec<Way>>>,
    generation: AtomicU64,
    /// What was rendered later takes effect later.
    applying: tokio::sync::Mutex<()>,
}

impl Ways {
    /// Those to and from a party.
    pub(super) fn of(&self, carrier: Carrier, party: &PublicKey) -> Vec<Way> {
        let open = self.lock();
        let ways = open.values().flatten();
        ways.filter(|way| way.carrier == carrier && way.party == *party)
            .copied()
            .collect()
    }

    fn add(&self, manifest: Digest, ways: Vec<Way>) {
        self.lock().entry(manifest).or_default().extend(ways);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Digest, Vec<Way>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the ways to and from those parties of a session whose endpoints are in such a mesh. Returns the addresses that
/// stand for them here.
pub(crate) async fn open(
    shared: &Shared,
    context: &Context,
    readies: &[Ready],
) -> Result<Vec<IpAddr>, Reason> {
    let keys = context.session.parties.iter().map(|party| party.key);
    let endpoints = readies.iter().map(|ready| ready.endpoint.as_str());
    let parties: Vec<_> = keys.zip(endpoints).collect();
    let mut local = Vec::new();
    for carrier in Carrier::ALL {
        if plan(shared, carrier).is_none() {
            continue;
        }
        let (ways, addresses) = between(carrier, context.me, &parties);
        if ways.is_empty() {
            continue;
        }
        shared.ways.add(context.manifest, ways);
        let applied = apply(shared, carrier).await;
        applied.map_err(|why| Reason::Supervisor {
            detail: format!("{} does not carry the session: {why}", carrier.name()),
        })?;
        local.extend(addresses);
    }
    Ok(local)
}

/// Closes the ways of a session that is over.
pub(crate) fn close(shared: &Shared, manifest: Digest) {
    let Some(ways) = shared.ways.lock().remove(&manifest) else {
        return;
    };
    let shared = shared.clone();
    tokio::spawn(async move {
        for carrier in Carrier::ALL {
            if ways.iter().all(|way| way.carrier != carrier) {
                continue;
            }
            if let Err(why) = apply(&shared, carrier).await {
                tracing::debug!(why, "the ways of a session stay open until the next one");
            }
        }
    });
}

/// Has the running daemon take what is to be now; an error says why it has not.
pub(super) async fn apply(shared: &Shared, carrier: Carrier) -> Result<(), String> {
    let _turn = shared.ways.applying.lock().await;
    let plan = plan(shared, carrier).ok_or("the fleet has no such mesh any more")?;
    let config = config::render(shared, &plan, carrier);
    let mut config = config.map_err(|reason| reason.to_string())?;
    config.generation = shared.ways.generation.fetch_add(1, Ordering::Relaxed) + 1;
    match control::ask(carrier, &Request::Apply(Box::new(config))).await? {
        Answer::Reloaded(_) => Ok(()),
        Answer::Refused(why) => Err(why),
        Answer::Status(_) | Answer::Heard => Err("it answers another question".to_owned()),
    }
}

/// This mesh, if the fleet has it.
fn plan(shared: &Shared, carrier: Carrier) -> Option<Plan> {
    let plans = shared.plans.borrow();
    let mut plans = plans.iter();
    plans
        .find(|plan| Carrier::of(plan) == Some(carrier))
        .cloned()
}

/// The ways between this party and the others, and the addresses of those who have one. An address counts only if it is
/// the one that follows from the party's identity: any other one in 127.0.0.0/8 is this machine's own.
fn between(carrier: Carrier, me: usize, parties: &[(PublicKey, &str)]) -> (Vec<Way>, Vec<IpAddr>) {
    let place = |(party, endpoint): &(PublicKey, &str)| -> Option<(Ipv4Addr, u16)> {
        let (host, port) = host_and_port(endpoint)?;
        let address = local(party, carrier.name());
        (host.parse() == Ok(address)).then_some((address, port))
    };
    let own = parties.get(me).and_then(place).map(|(_, port)| port);
    let others = parties.iter().enumerate().filter(|(other, _)| *other != me);
    others
        .filter_map(|(_, other)| {
            let (address, port) = place(other)?;
            let way = Way {
                carrier,
                party: other.0,
                reach: Some(port),
                serve: own,
            };
            Some((way, IpAddr::from(address)))
        })
        .unzip()
}

#[cfg(test)]
mod tests {
    use e3_core::key::SecretKey;

    use super::*;

    #[test]
    fn a_way_leads_to_the_address_that_follows_from_the_partys_identity_and_to_no_other_one() {
        let [me, good, liar, other] = [1, 2, 3, 4].map(|n| SecretKey::from_seed(&[n; 32]).public());
        let at = |party: &PublicKey, port: u16| format!("{}:{port}", local(party, "tor"));
        // The third says that it is where the second is; the fourth is in another mesh.
        let endpoints = [
            at(&me, 7000),
            at(&good, 7001),
            at(&good, 22),
            "fd00::7:7003".to_owned(),
        ];
        let parties: Vec<_> = [me, good, liar, other]
            .into_iter()
            .zip(endpoints.iter().map(String::as_str))
            .collect();
        let way = Way {
            carrier: Carrier::Tor,
            party: good,
            reach: Some(7001),
            serve: Some(7000),
        };
        let expected = (vec![way], vec![IpAddr::from(local(&good, "tor"))]);
        assert_eq!(between(Carrier::Tor, 0, &parties), expected);
        assert_eq!(between(Carrier::Link, 0, &parties), (vec![], vec![]));
        let outside = [(me, "127.0.0.1:7000"), (good, endpoints[1].as_str())];
        assert_eq!(between(Carrier::Tor, 0, &outside).0[0].serve, None);
    }
}
