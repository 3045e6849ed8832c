//! The status socket: one JSON document for whoever connects, nothing is read.
//!
//! The owner's tools and people read it; it lies in the run folder, and says no secrets.

use std::path::{Path, PathBuf};
use std::time::Duration;

use e3_core::key::PublicKey;
use e3_core::name::Name;
use e3_core::time::Time;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use crate::board::Notes;
use crate::shared::Shared;

/// A status is a few kilobytes.
const LIMIT: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(5);

/// How an agent stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The agent's version.
    pub agent: String,
    /// The fleet.
    pub fleet: Name,
    /// The party's name.
    pub name: Name,
    /// Its identity.
    pub party: PublicKey,
    /// Whose policy it follows.
    pub owner: PublicKey,
    /// The hub.
    pub hub: String,
    /// Where other agents reach it.
    pub addresses: Vec<String>,
    /// What time it is by rule 10.
    pub now: Time,
    /// The newest root.
    pub root: u64,
    /// The newest head.
    pub head: Option<u64>,
    /// When that head expires.
    pub head_expires: Option<Time>,
    /// Trouble and sessions.
    pub notes: Notes,
}

/// Where the socket lies.
pub fn socket(run: &Path) -> PathBuf {
    run.join("agent.sock")
}

impl Status {
    /// How this agent stands now.
    pub fn of(shared: &Shared) -> Self {
        let keeper = shared.keeper();
        let head = keeper.head();
        Self {
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            fleet: shared.join.fleet.clone(),
            name: shared.join.name.clone(),
            party: shared.me(),
            owner: shared.join.owner,
            hub: shared.hub.url().to_owned(),
            addresses: shared.addresses.clone(),
            now: keeper.now(),
            root: keeper.trust().root.version,
            head: head.map(|head| head.counter),
            head_expires: head.map(|head| head.expires),
            notes: shared.board.notes(),
        }
    }

    /// Asks the agent whose run folder this is.
    pub async fn ask(run: &Path) -> std::io::Result<Self> {
        let answer = async {
            let stream = UnixStream::connect(socket(run)).await?;
            let mut bytes = Vec::new();
            stream.take(LIMIT).read_to_end(&mut bytes).await?;
            Ok(serde_json::from_slice(&bytes)?)
        };
        tokio::time::timeout(PATIENCE, answer)
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
    }
}

/// Answers for ever.
pub async fn serve(shared: Shared, listener: UnixListener) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        let status = serde_json::to_vec(&Status::of(&shared)).unwrap_or_default();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(PATIENCE, stream.write_all(&status)).await;
        });
    }
}
