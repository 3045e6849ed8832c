//! What every part of the running agent has in common.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use e3_client::hub::Hub;
use e3_core::key::{PublicKey, SecretKey};
use e3_core::mesh::Plan;
use e3_core::trust::Policy;
use tokio::sync::{Notify, watch};

use crate::board::Board;
use crate::config::Settings;
use crate::keeper::Keeper;
use crate::ledger::Ledger;
use crate::mesh::link::ways::Ways;
use crate::mesh::wireguard::direct::Direct;
use crate::outbox::Outbox;
use crate::party::Launcher;
use crate::peer::listen::Sessions;
use crate::peer::thread::LinkThread;
use crate::peer::tls::Identity;
use crate::runtime::{Pythons, Runtimes};
use crate::store::BlobStore;
use e3_client::join::{Join, JoinError};

/// The agent's parts. Cheap to clone.
#[derive(Clone)]
pub struct Shared(Arc<Parts>);

/// See [`Shared`].
pub struct Parts {
    /// The settings.
    pub settings: Settings,
    /// The state folder.
    pub ledger: Ledger,
    /// What the machine was joined by, and from where.
    pub join: Join,
    /// The join file.
    pub joined_from: PathBuf,
    /// The identity key.
    pub key: SecretKey,
    /// The identity key as TLS takes it.
    pub identity: Identity,
    /// The hub.
    pub hub: Hub,
    /// Trust state and journal.
    pub keeper: Mutex<Keeper>,
    /// Where connections between parties live.
    pub links: LinkThread,
    /// Sessions that take connections.
    pub sessions: Sessions,
    /// Blobs.
    pub blobs: BlobStore,
    /// Unpacked versions of MPyC.
    pub runtimes: Runtimes,
    /// Versions of Python, asked once.
    pub pythons: Pythons,
    /// Starts programs.
    pub launcher: Launcher,
    /// What the agent tells of itself.
    pub board: Board,
    /// Somebody may have asked this machine something.
    pub asked: Notify,
    /// Receipts on their way to the hub.
    pub outbox: Outbox,
    /// The port of this agent.
    pub port: u16,
    /// How often this machine's addresses have changed.
    pub moves: watch::Sender<u64>,
    /// The meshes that the newest head asks for.
    pub plans: watch::Sender<Vec<Plan>>,
    /// What the built-in mesh carries for sessions.
    pub ways: Ways,
    /// Whom WireGuard reaches straight.
    pub direct: Direct,
}

impl Shared {
    /// Takes the parts together.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// This party's identity.
    pub fn me(&self) -> PublicKey {
        self.key.public()
    }

    /// `host:port` of this agent without a mesh, best first.
    pub fn addresses(&self) -> Vec<String> {
        crate::address::advertised(&self.settings.advertise, self.port)
    }

    /// Trust state and journal. Held for one step, never across an `await`.
    pub fn keeper(&self) -> MutexGuard<'_, Keeper> {
        self.0.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The owner's policy as it is now: the owner may change it at any time.
    pub fn policy(&self) -> Result<Policy, JoinError> {
        self.join.policy(&self.settings.policy, &self.joined_from)
    }
}

impl std::ops::Deref for Shared {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}
