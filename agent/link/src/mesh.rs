//! All peers: who is one, what runs for each, and who comes in.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use e3_client::clock::Clock;
use e3_core::mesh::link::{Config, Id, Problem};
use iroh::endpoint::Incoming;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::carrier::Carrier;
use crate::carry::{listen, serve};
use crate::connection::Connection;
use crate::endpoint::Quic;
use crate::peer::dial;
use crate::peer::{Peer, Settings};
use crate::wire::close;

/// Handshakes under way at a time. Anybody can begin one.
const HANDSHAKES: usize = 64;
/// From so many on, who begins one has to show first that packets reach the address that it claims.
const SUSPICIOUS: usize = HANDSHAKES / 4;
/// One handshake.
const HANDSHAKE: Duration = Duration::from_secs(8);

/// What all tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) carrier: Carrier,
    pub(crate) id: Id,
    /// Names this run of the process.
    pub(crate) run: u64,
    /// What relays' certificates are judged by.
    clock: Clock,
    pub(crate) strangers: AtomicU64,
    pub(crate) generation: AtomicU64,
    /// Why the last reload was refused.
    refused: Mutex<Option<Problem>>,
    /// In the configuration's order.
    peers: RwLock<Vec<Arc<Peer>>>,
}

impl Shared {
    pub(crate) fn new(carrier: Carrier, id: Id, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            carrier,
            id,
            run: name_of_run(),
            clock,
            strangers: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            refused: Mutex::new(None),
            peers: RwLock::default(),
        })
    }

    pub(crate) fn peers(&self) -> Vec<Arc<Peer>> {
        self.peers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn peer(&self, id: &[u8; 32]) -> Option<Arc<Peer>> {
        let peers = self.peers();
        peers.into_iter().find(|peer| peer.id.as_bytes() == id)
    }

    /// What the last reload has come to.
    pub(crate) fn reloaded(&self, refused: Option<String>) {
        let mut known = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *known = refused.map(|detail| Problem::ConfigRefused { detail });
    }

    pub(crate) fn refused(&self) -> Option<Problem> {
        let known = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }
}

/// A random number: two runs of a process have different ones.
fn name_of_run() -> u64 {
    let bytes = e3_client::random::bytes32();
    bytes
        .iter()
        .take(8)
        .fold(0, |run, byte| run << 8 | u64::from(*byte))
}

/// What runs for the peers.
pub(crate) struct Mesh {
    shared: Arc<Shared>,
    running: BTreeMap<Id, JoinSet<()>>,
}

impl Mesh {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            running: BTreeMap::new(),
        }
    }

    /// Puts a configuration into effect.
    pub(crate) fn apply(&mut self, config: &Config) {
        let hold = Duration::from_secs(config.hold_seconds.into());
        // Rule 10.
        if let Some(floor) = config.clock_floor {
            self.shared.clock.set_floor(floor);
        }
        let known = self.shared.peers();
        let mut next = Vec::with_capacity(config.peers.len());
        for peer in &config.peers {
            let settings = Settings {
                peer: peer.clone(),
                hold,
            };
            if peer.id == self.shared.id {
                tracing::warn!("this machine is among its own peers, and left out");
                continue;
            }
            if let Some(known) = known.iter().find(|known| known.id == peer.id) {
                known.set(Some(settings));
                next.push(known.clone());
            } else {
                let peer = Peer::new(settings);
                let mut tasks = JoinSet::new();
                tasks.spawn(listen::keep(peer.clone()));
                tasks.spawn(dial::keep(self.shared.clone(), peer.clone()));
                self.running.insert(peer.id, tasks);
                next.push(peer);
            }
        }
        for gone in known {
            if !next.iter().any(|peer| peer.id == gone.id) {
                gone.set(None);
                // Its tasks end with it.
                self.running.remove(&gone.id);
            }
        }
        *self
            .shared
            .peers
            .write()
            .unwrap_or_else(PoisonError::into_inner) = next;
        self.shared.carrier.know(&config.peers);
        self.shared
            .generation
            .store(config.generation, Ordering::Relaxed);
    }

    /// Looks at all peers; to be called every second.
    pub(crate) fn look(&self) {
        for peer in self.shared.peers() {
            peer.look(self.shared.id < peer.id);
        }
    }

    /// Lets all peers know that this machine goes.
    pub(crate) async fn close(mut self) {
        for peer in self.shared.peers() {
            peer.set(None);
        }
        self.running.clear();
        let _ = timeout(Duration::from_secs(2), self.shared.carrier.close()).await;
    }
}

/// Lets peers in that come by QUIC, and nobody else. For ever.
pub(crate) async fn accept(shared: Arc<Shared>, quic: Arc<Quic>) {
    let room = Arc::new(Semaphore::new(HANDSHAKES));
    while let Some(incoming) = quic.endpoint.accept().await {
        let busy = HANDSHAKES - room.available_permits();
        if busy >= SUSPICIOUS && !incoming.remote_addr_validated() {
            let _ = incoming.retry();
            continue;
        }
        let Ok(permit) = room.clone().try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let _permit = permit;
            meet(shared, incoming).await;
        });
    }
}

async fn meet(shared: Arc<Shared>, incoming: Incoming) {
    let Ok(Ok(connection)) = timeout(HANDSHAKE, incoming).await else {
        return;
    };
    // The handshake has proved that it holds this key.
    let Some(peer) = shared.peer(connection.remote_id().as_bytes()) else {
        connection.close(close::STRANGER, b"");
        let strangers = shared.strangers.fetch_add(1, Ordering::Relaxed) + 1;
        // A stranger who never tires must not fill the journal.
        if strangers.is_power_of_two() {
            tracing::warn!(
                strangers,
                key = %connection.remote_id().fmt_short(),
                "somebody with a key that is no peer's was turned away"
            );
        }
        return;
    };
    let live = peer.admit(Connection::Quic(connection));
    tracing::info!(peer = peer.id.short(), "the peer has connected");
    serve::all(shared, peer, live).await;
}
