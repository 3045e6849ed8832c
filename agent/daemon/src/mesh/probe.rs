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

/// How many were asked, and whether one has answered.
pub(super) struct Answers {
    pub(super) asked: usize,
    pub(super) any: bool,
}

/// Asks the mesh's witnesses, all at once.
pub(super) async fn witnesses(shared: &Shared, plan: &Plan, known: &Known) -> Answers {
    let me = shared.me();
    let asked = backend::witnesses(shared, plan, known).await;
    let (port, within) = (backend::port(plan), backend::patience(plan).answer);
    let others = asked.iter().filter(|(party, _)| *party != me).count();
    let mut answers: FuturesUnordered<_> = asked
        .into_iter()
        .map(|(party, address)| answers(shared, party, SocketAddr::new(address, port), within))
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
async fn answers(shared: &Shared, party: PublicKey, at: SocketAddr, within: Duration) -> bool {
    let ask = async {
        let stream = TcpStream::connect(at).await.ok()?;
        shared.identity.connect(stream, party, within).await.ok()
    };
    matches!(timeout(within, ask).await, Ok(Some(_)))
}
