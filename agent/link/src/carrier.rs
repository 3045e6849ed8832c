//! What carries everything: QUIC, or Tor.

use std::sync::Arc;
use std::time::Duration;

use e3_core::mesh::link::{Peer, Problem};

use crate::connection::Connection;
use crate::endpoint::Quic;
use crate::onion::Onion;
use crate::peer::dial;

/// Between two attempts at a peer that is away, at most: each makes relays of Tor work.
const ONION_PAUSE: Duration = Duration::from_secs(30);

/// One of the two, for as long as the process lives.
#[derive(Debug, Clone)]
pub(crate) enum Carrier {
    Quic(Arc<Quic>),
    Onion(Arc<Onion>),
}

impl Carrier {
    /// Reaches a peer; returns also which run of its process has answered.
    pub(crate) async fn dial(&self, peer: &Peer, run: u64) -> Result<(Connection, u64), Problem> {
        match self {
            Self::Quic(quic) => dial::quic(quic, peer, run).await,
            Self::Onion(onion) => {
                let (circuit, theirs) = onion.dial(peer, run).await?;
                Ok((Connection::Onion(circuit), theirs))
            }
        }
    }

    /// How long a peer that cannot be reached is left alone at most.
    pub(crate) fn longest_pause(&self) -> Duration {
        match self {
            Self::Quic(_) => dial::PAUSE.1,
            Self::Onion(_) => ONION_PAUSE,
        }
    }

    /// Takes in who the peers are.
    pub(crate) fn know(&self, peers: &[Peer]) {
        if let Self::Onion(onion) = self {
            onion.know(peers);
        }
    }

    /// The machine has moved: what connections there are lead nowhere.
    pub(crate) fn moved(&self) {
        if let Self::Onion(onion) = self {
            onion.moved();
        }
    }

    /// Lets everybody know that it ends.
    pub(crate) async fn close(&self) {
        if let Self::Quic(quic) = self {
            quic.endpoint.close().await;
        }
    }
}
