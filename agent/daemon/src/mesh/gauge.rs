//! How packets get to the other parties, and how long they take: measured when somebody asks for it, and not more often than
//! every ten seconds.
//!
//! How long is measured by the agents themselves, with a connection through the mesh on which the other one proves who it is; but
//! where connections are carried, and not packets, by the mesh. How they get there only the mesh's daemon can know
//! ([`backend::paths`]).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use e3_core::document::{Mesh, Presence};
use e3_core::key::PublicKey;
use e3_core::mesh::{Path, Plan, Way};
use e3_core::name::Name;
use futures_util::future::join_all;
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::{backend, others};
use crate::shared::Shared;

/// Ways by mesh; those of a fleet without any are under `none`.
pub type Ways = BTreeMap<String, Vec<Way>>;

/// For how long a measurement counts.
const GOOD: Duration = Duration::from_secs(10);
/// For the hub, which is asked who is there.
const HUB: Duration = Duration::from_secs(1);
/// For an answer. The first packet of a tunnel starts its handshake, and is sent again after a second.
const ANSWER: Duration = Duration::from_millis(1500);
/// Parties that are looked at: what a person reads.
const PARTIES: usize = 64;
/// Addresses of one party that are tried without a mesh.
const ADDRESSES: usize = 4;

/// What measures. Cheap to clone; one measurement at a time.
#[derive(Clone, Default)]
pub struct Gauge {
    agent: Arc<OnceLock<Shared>>,
    last: Arc<Mutex<Option<(Instant, Ways)>>>,
}

/// Another party, and its key on the mesh.
pub(super) struct Other {
    pub(super) party: PublicKey,
    pub(super) key: Option<String>,
    name: Option<Name>,
}

impl Gauge {
    /// The agent has come up, so that there is something to measure.
    pub fn starts(&self, shared: Shared) {
        let _ = self.agent.set(shared);
    }

    /// The ways to the other parties in the meshes that this machine is in.
    pub async fn read(&self) -> Ways {
        let Some(shared) = self.agent.get() else {
            return Ways::new();
        };
        let mut last = self.last.lock().await;
        if let Some((when, ways)) = &*last
            && when.elapsed() < GOOD
        {
            return ways.clone();
        }
        let ways = measure(shared).await;
        // A machine that is in none has nothing measured, and may be in the next moment.
        *last = (!ways.is_empty()).then(|| (Instant::now(), ways.clone()));
        ways
    }
}

async fn measure(shared: &Shared) -> Ways {
    let plans = shared.plans.borrow().clone();
    let standings = shared.board.known().meshes;
    let is_in = |plan: &&Plan| {
        standings
            .get(plan.backend.name())
            .is_some_and(Mesh::is_joined)
    };
    let joined: Vec<&Plan> = plans.iter().filter(is_in).collect();
    if joined.is_empty() && !plans.is_empty() {
        return Ways::new();
    }
    let asked = timeout(HUB, others::presences(shared)).await;
    let mut presences: Vec<Presence> = asked
        .ok()
        .and_then(Result::ok)
        .map(Iterator::collect)
        .unwrap_or_default();
    presences.sort_by(|one, other| one.name.cmp(&other.name));
    let of_plan = async |plan: &&Plan| {
        let ways = in_mesh(shared, plan, &presences).await;
        (plan.backend.name().to_owned(), ways)
    };
    if plans.is_empty() {
        let ways = without_mesh(shared, &presences).await;
        return [("none".to_owned(), ways)].into();
    }
    join_all(joined.iter().map(of_plan))
        .await
        .into_iter()
        .collect()
}

async fn in_mesh(shared: &Shared, plan: &Plan, presences: &[Presence]) -> Vec<Way> {
    let others = others_in(shared, plan, presences);
    let places = backend::places(shared, plan, &others).await;
    let port = backend::port(plan);
    let measured = others.iter().zip(&places).map(async |(other, place)| {
        round_trip(shared, other.party, SocketAddr::new((*place)?, port)).await
    });
    let measured: Vec<Option<u64>> = join_all(measured).await;
    // Afterwards: what was idle may just have found a way.
    let known = backend::paths(shared, plan, &others).await;
    let all = others.into_iter().zip(places).zip(measured).zip(known);
    all.map(|(((other, place), measured), (path, said))| match place {
        // Whoever does not answer is not reached, whatever the daemon thinks.
        Some(_) if measured.is_none() => way(other, Path::None, None),
        Some(_) => way(other, path, measured),
        None => way(other, path, said),
    })
    .collect()
}

/// Who is looked at: the members that the head names, or all that say that they are in it.
fn others_in(shared: &Shared, plan: &Plan, presences: &[Presence]) -> Vec<Other> {
    let backend = plan.backend.name();
    let Some(roster) = plan.backend.roster() else {
        let others = presences
            .iter()
            .filter(|one| one.meshes.contains_key(backend));
        let others = others.map(|one| Other {
            party: one.party,
            key: one.mesh_keys.get(backend).cloned(),
            name: Some(one.name.clone()),
        });
        return others.take(PARTIES).collect();
    };
    let members = roster
        .members
        .iter()
        .filter(|member| member.party != shared.me());
    let mut others: Vec<Other> = members
        .take(PARTIES)
        .map(|member| Other {
            party: member.party,
            key: Some(member.key.clone()),
            name: { presences.iter() }
                .find(|one| one.party == member.party)
                .map(|one| one.name.clone()),
        })
        .collect();
    others.sort_by(|one, other| one.name.cmp(&other.name));
    others
}

/// Without a mesh packets go straight, if they arrive.
async fn without_mesh(shared: &Shared, presences: &[Presence]) -> Vec<Way> {
    let measured = presences.iter().take(PARTIES).map(async |one| {
        let addresses = one.addresses.iter().take(ADDRESSES);
        let tried = addresses.map(|address| round_trip(shared, one.party, address.as_str()));
        let rtt_us = join_all(tried).await.into_iter().flatten().min();
        let path = if rtt_us.is_some() {
            Path::Direct
        } else {
            Path::None
        };
        let other = Other {
            party: one.party,
            key: None,
            name: Some(one.name.clone()),
        };
        way(other, path, rtt_us)
    });
    join_all(measured).await
}

fn way(other: Other, path: Path, rtt_us: Option<u64>) -> Way {
    Way {
        party: other.party,
        name: other.name,
        path,
        rtt_us,
    }
}

/// Microseconds to this party's agent and back, if it answers there and is it. Both of what is waited for takes one round trip and
/// perhaps something more: a tunnel's handshake, or a signature.
async fn round_trip(shared: &Shared, party: PublicKey, at: impl ToSocketAddrs) -> Option<u64> {
    let ask = async {
        let begin = Instant::now();
        let stream = TcpStream::connect(at).await.ok()?;
        let connected = begin.elapsed();
        let begin = Instant::now();
        let answer = shared.identity.connect(stream, party, ANSWER);
        answer.await.ok()?;
        Some(connected.min(begin.elapsed()))
    };
    let measured = timeout(ANSWER, ask).await.ok()??;
    u64::try_from(measured.as_micros()).ok()
}
