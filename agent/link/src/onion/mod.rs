//! The mesh of onion services: what is carried goes by Tor, and each party is an onion service that lets in the others' keys.
//!
//! `e3-link tor` starts a Tor of its own, tells it by its control connection whom to serve, and asks it for streams by SOCKS. Who
//! speaks to whom, and from where, is known to nobody but the parties themselves: relays of Tor carry it, and none of them
//! knows both ends. All else is as with the built-in mesh: local addresses, held connections, services that each peer may reach.
//!
//! - **A circuit each way.** Each end dials the other one's service for what it opens itself, since an onion service does
//!   not dial. One stream of each circuit is always there: it tells that the peer answers, and how long that takes.
//! - **Who comes says who it is.** Tor lets in any of the peers' keys and does not tell which one. So each stream begins with
//!   something that only the caller and this machine know ([`e3_core::mesh::ClientSecret`]).
//! - **A circuit that leads nowhere is left**: each attempt has a user's name of its own, and so a circuit of its own.

mod accept;
mod address;
mod circuit;
mod control;
pub(crate) mod frame;
mod socks;
mod state;
mod tor;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use e3_core::key::SecretKey;
use e3_core::mesh::link::{Id, Peer as Settings, Problem};
use e3_core::mesh::{ClientSecret, OnionKey};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use zeroize::Zeroizing;

pub(crate) use circuit::Circuit;
pub(crate) use state::State;
pub(crate) use tor::{Place, start};

use crate::peer::Peer;

/// What carries everything, where a relay's URL would stand.
pub(crate) const RELAYS: &str = "Tor";
/// The port of all onion services: which of a machine's services is meant is said inside.
const PORT: u16 = 7331;
/// One attempt at a peer: to find its descriptor, an introduction and a meeting, by two circuits that may have to be made.
const ATTEMPT: Duration = Duration::from_secs(45);

/// This machine's end of the mesh.
#[derive(Debug)]
pub(crate) struct Onion {
    own: Id,
    key: SecretKey,
    client: ClientSecret,
    place: Place,
    pub(crate) state: State,
    /// The peers as the configuration has them.
    peers: watch::Sender<Vec<OnionKey>>,
    /// Of circuits, each of which has a name of its own.
    attempts: AtomicU64,
    /// Whether descriptors are to be looked for where they were not found, or were older than this machine's key.
    again: Notify,
    /// Whether there is reason to think that there is a newer one; and that it has come just now.
    hope: AtomicBool,
    hopes: Notify,
    /// The machine has got another address.
    moved: Notify,
    /// Why Tor could not be told something.
    refused: Mutex<Option<String>>,
}

impl Onion {
    pub(crate) fn new(key: SecretKey, place: Place) -> Arc<Self> {
        Arc::new(Self {
            own: key.public().into(),
            client: ClientSecret::of(&key),
            key,
            place,
            state: State::default(),
            peers: watch::Sender::default(),
            attempts: AtomicU64::new(0),
            again: Notify::new(),
            hope: AtomicBool::new(false),
            hopes: Notify::new(),
            moved: Notify::new(),
            refused: Mutex::new(None),
        })
    }

    /// Has Tor know these peers, and nobody else.
    pub(crate) fn know(&self, peers: &[Settings]) {
        let keys: Vec<OnionKey> = peers.iter().filter_map(Settings::onion).collect();
        self.peers.send_if_modified(|known| {
            let is_new = *known != keys;
            *known = keys;
            is_new
        });
    }

    /// Reaches a peer; returns also which run of its process has answered.
    pub(crate) async fn dial(
        &self,
        peer: &Settings,
        run: u64,
    ) -> Result<(Arc<Circuit>, u64), Problem> {
        if !self.state.is_connected() {
            return Err(Problem::NoWay);
        }
        let key = peer.onion().ok_or(Problem::NoWay)?;
        let attempt = timeout(ATTEMPT, Circuit::open(self, &key, run)).await;
        attempt.unwrap_or_else(|_| {
            Err(Problem::Unreachable {
                detail: format!("no answer in {} seconds", ATTEMPT.as_secs()),
            })
        })
    }

    /// What is said first to a peer.
    fn caller(&self, peer: &OnionKey) -> Option<Zeroizing<Vec<u8>>> {
        let shown = self.client.shown_to(&self.own, peer)?;
        Some(Zeroizing::new(
            [&self.own.as_bytes()[..], &shown[..]].concat(),
        ))
    }

    /// Whether what a caller has shown is this peer's.
    fn is(&self, peer: &Peer, shown: &[u8; 32]) -> bool {
        let key = peer.settings().and_then(|settings| settings.peer.onion());
        let expected = key.and_then(|key| self.client.shown_by(&self.own, &key));
        // No byte says by how long it takes whether it is right.
        expected.is_some_and(|expected| {
            let pairs = expected.iter().zip(shown);
            pairs.fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
        })
    }

    /// Has Tor look again where it has not found a descriptor: it would not for a quarter of an hour.
    fn look_again(&self) {
        self.again.notify_one();
    }

    /// A peer has come that is not reached from here yet: it has published its service by now.
    fn hope(&self) {
        self.hope.store(true, Ordering::Relaxed);
        self.hopes.notify_one();
    }

    /// Has Tor make its connections anew.
    pub(crate) fn moved(&self) {
        self.moved.notify_one();
    }

    fn refused(&self, why: Option<String>) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// What is wrong with this machine's end.
    pub(crate) fn problem(&self) -> Option<Problem> {
        let refused = self.refused.lock();
        let refused = refused.unwrap_or_else(PoisonError::into_inner).clone();
        let refused = refused.map(|detail| Problem::NoRelay { detail });
        refused.or_else(|| self.state.problem())
    }
}
