//! Whether other agents answer through the mesh: a connection to a party's mesh address on which it proves its identity.

use std::net::SocketAddr;
use std::time::Duration;

use e3_core::key::PublicKey;
use e3_core::mesh::Plan;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::backend::{self, Known};
use crate::shared::Shared;

/// For one anchor. The first packet of a tunnel starts its handshake, and is sent again after a second.
const ANSWER: Duration = Duration::from_secs(3);

/// How many were asked, and whether one has answered.
pub(super) struct Answers {
    pub(super) asked: usize,
    pub(super) any: bool,
}

/// Asks the mesh's witnesses, all at once.
pub(super) async fn witnesses(shared: &Shared, plan: &Plan, known: &Known) -> Answers {
    let me = shared.me();
    let asked = backend::witnesses(shared, plan, known).await;
    let port = backend::port(plan);
    let others = asked.iter().filter(|(party, _)| *party != me).count();
    let mut answers: FuturesUnordered<_> = asked
        .into_iter()
        .map(|(party, address)| answers(shared, party, SocketAddr::new(address, port)))
        .collect();
    while let Some(answer) = answers.next().await {
        if answer {
            return Answers {
                asked: others,
                any: true,
            };
        }
    }
    known.forget();
    Answers {
        asked: others,
        any: false,
    }
}

/// Whether this party's agent answers at this address, and is it.
async fn answers(shared: &Shared, party: PublicKey, at: SocketAddr) -> bool {
    let ask = async {
        let stream = TcpStream::connect(at).await.ok()?;
        shared.identity.connect(stream, party).await.ok()
    };
    matches!(timeout(ANSWER, ask).await, Ok(Some(_)))
}
