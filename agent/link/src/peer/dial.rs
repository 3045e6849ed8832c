//! Dialling: both sides do, so that one that can be reached is enough.

use std::sync::Arc;
use std::time::Duration;

use e3_core::mesh::link::{self, Problem};
use iroh::endpoint::{ConnectError, ConnectingError};
use tokio::time::timeout;

use super::{Live, Peer};
use crate::carry::serve;
use crate::connection::{Connection, refusal};
use crate::endpoint::{Quic, address_of};
use crate::error::detail;
use crate::mesh::Shared;
use crate::wire::{self, Ask, close};

/// Of two that start together, one lets the other come first: so much time it has.
const GRACE: Duration = Duration::from_millis(250);
/// One attempt. A peer that appears while it is under way dials by itself.
const ATTEMPT: Duration = Duration::from_secs(6);
/// Between two attempts, at first and at most.
pub(crate) const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Sees to it that there is a connection with the peer, until it is no peer any more.
pub(crate) async fn keep(shared: Arc<Shared>, peer: Arc<Peer>) {
    let mut changes = peer.subscribe();
    let mut pause = PAUSE.0;
    loop {
        peer.alone().await;
        if shared.id > peer.id && timeout(GRACE, peer.connected()).await.is_ok() {
            continue;
        }
        let Some(settings) = changes.borrow_and_update().clone() else {
            return;
        };
        let outcome = tokio::select! {
            outcome = shared.carrier.dial(&settings.peer, shared.run) => outcome,
            // It has come by itself, or there is something new to try.
            _ = peer.connected() => continue,
            _ = changes.changed() => continue,
        };
        match outcome {
            Ok((connection, run)) => {
                let live = peer.admit(connection);
                peer.problems.dialled(None);
                tracing::info!(peer = settings.peer.label(), "connected");
                tokio::spawn(serve::all(shared.clone(), peer.clone(), live.clone()));
                peer.met(&live, run);
                pause = PAUSE.0;
                lasted(&peer, &live, &mut pause).await;
            }
            Err(problem) => {
                if peer.problems.dialled(Some(problem.clone())) {
                    tracing::info!(peer = settings.peer.label(), ?problem, "cannot be reached");
                }
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    _ = peer.connected() => {}
                    _ = changes.changed() => {}
                    () = peer.came.notified() => pause = PAUSE.0,
                }
                pause = (pause * 2).min(shared.carrier.longest_pause());
            }
        }
    }
}

/// Waits until the connection has ended. One that ends at once must not be made anew at once.
async fn lasted(peer: &Peer, live: &Live, pause: &mut Duration) {
    let begun = std::time::Instant::now();
    let ended = live.connection.closed().await;
    peer.dismiss(live);
    if let Some(problem) = ended.refusal {
        peer.problems.dialled(Some(problem));
    }
    if begun.elapsed() < PAUSE.1 {
        *pause = (*pause * 2).min(PAUSE.1);
        let _ = timeout(*pause, peer.connected()).await;
    }
}

/// Reaches a peer by QUIC and says hello: only then it is known whether it wants to speak to this machine.
pub(crate) async fn quic(
    quic: &Quic,
    peer: &link::Peer,
    run: u64,
) -> Result<(Connection, u64), Problem> {
    let way = address_of(peer, &quic.relays).filter(|way| !way.is_empty());
    let way = way.ok_or(Problem::NoWay)?;
    let attempt = timeout(ATTEMPT, quic.endpoint.connect(way, wire::ALPN)).await;
    let connection = attempt
        .map_err(|_| Problem::Unreachable {
            detail: format!("no answer in {} seconds", ATTEMPT.as_secs()),
        })?
        .map_err(|error| why_not(&error))?;
    let connection = Connection::Quic(connection);
    if let Ok(Ok(run)) = timeout(wire::ASK, hello(&connection, run)).await {
        return Ok((connection, run));
    }
    // Why the stream has ended is often known a moment later.
    let ended = timeout(Duration::from_millis(100), connection.closed()).await;
    connection.close(close::GONE);
    let problem = ended.ok().and_then(|ended| ended.refusal);
    Err(problem.unwrap_or_else(|| Problem::Unreachable {
        detail: "what answers does not say hello".to_owned(),
    }))
}

async fn hello(connection: &Connection, run: u64) -> Result<u64, wire::Senseless> {
    let (mut send, mut recv) = connection.open_bi().await?;
    Ask::Hello(run).write(&mut send).await?;
    wire::read_run(&mut recv).await
}

fn why_not(error: &ConnectError) -> Problem {
    let cause = match error {
        ConnectError::Connection { source, .. }
        | ConnectError::Connecting {
            source: ConnectingError::ConnectionError { source, .. },
            ..
        } => Some(source),
        _ => None,
    };
    cause
        .and_then(refusal)
        .unwrap_or_else(|| Problem::Unreachable {
            detail: detail(error),
        })
}
