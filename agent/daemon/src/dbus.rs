//! `org.e3.Agent1` on the system bus: how the agent stands, for every program and user of the machine.
//!
//! It only tells. The bus's policy (`agent/dist/dbus-1/system.d/org.e3.Agent1.conf`) lets the agent's
//! user alone own the name. Without a bus the agent does without, and after a restart of the bus it
//! is there again.

use std::time::Duration;

use zbus::Connection;
use zbus::connection::Builder;
use zbus::object_server::InterfaceRef;

use crate::board::Board;
use crate::status::Status;

/// The name on the bus, and its interface.
pub const NAME: &str = "org.e3.Agent1";
/// The one object.
pub const PATH: &str = "/org/e3/Agent1";
/// Between attempts to get onto the bus, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(5));

/// A session as the bus carries it: name, manifest, progress, and why it failed or nothing.
type Row = (String, String, String, String);

/// The object. What it tells is taken once for each change, so that all of it fits together.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Agent {
    phase: String,
    reason: String,
    remedy: String,
    identity: String,
    fleet: String,
    sessions: Vec<Row>,
    status: String,
}

#[zbus::interface(name = "org.e3.Agent1")]
impl Agent {
    /// The agent's version.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }
    /// What it is doing, in one word, for example `ready`.
    #[zbus(property)]
    fn phase(&self) -> &str {
        &self.phase
    }
    /// What it lacks or suffers from; empty if nothing.
    #[zbus(property)]
    fn reason(&self) -> &str {
        &self.reason
    }
    /// What its owner can do about it; empty if nothing.
    #[zbus(property)]
    fn remedy(&self) -> &str {
        &self.remedy
    }
    /// Its identity as a `did:key`; empty before it was born.
    #[zbus(property)]
    fn identity(&self) -> &str {
        &self.identity
    }
    /// Its fleet; empty before it has a join file.
    #[zbus(property)]
    fn fleet(&self) -> &str {
        &self.fleet
    }
    /// The latest sessions, newest last: name, manifest, progress, failure.
    #[zbus(property)]
    fn sessions(&self) -> &[Row] {
        &self.sessions
    }
    /// Everything that `e3-agent status --json` shows.
    fn status_json(&self) -> &str {
        &self.status
    }
}

impl Agent {
    fn of(board: &Board) -> Self {
        let status = Status::of(board);
        let text = |value: Option<String>| value.unwrap_or_default();
        let sessions = status.notes.sessions.iter().map(|note| {
            let failure = note
                .failure
                .as_ref()
                .map(|failure| failure.reason.to_string());
            let progress = note.progress.as_str().to_owned();
            (
                note.name.to_string(),
                note.manifest.to_string(),
                progress,
                text(failure),
            )
        });
        Self {
            phase: status.phase.name().to_owned(),
            reason: e3_core::text::clean(&status.phase.reason(), 600),
            remedy: status.phase.remedy(),
            identity: text(status.known.party.map(|party| party.to_string())),
            fleet: text(status.known.fleet.as_ref().map(ToString::to_string)),
            sessions: sessions.collect(),
            status: serde_json::to_string(&status).unwrap_or_default(),
        }
    }
}

/// Stands on the system bus for ever; `address` is another one, for tests.
pub async fn run(board: Board, address: Option<String>) {
    let mut pause = RETRY.0;
    loop {
        match connect(&board, address.as_deref()).await {
            Ok(connection) => {
                pause = RETRY.0;
                if let Err(error) = follow(&board, &connection).await {
                    tracing::debug!(%error, "the bus cannot be told of a change");
                }
            }
            Err(error) => tracing::debug!(%error, "not on the system bus"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY.1);
    }
}

async fn connect(board: &Board, address: Option<&str>) -> zbus::Result<Connection> {
    let builder = match address {
        Some(address) => Builder::address(address),
        None => Builder::system(),
    };
    builder
        .serve_at(PATH, Agent::of(board))
        .name(NAME)
        .build()
        .await
}

/// Tells each change, until the connection breaks.
async fn follow(board: &Board, connection: &Connection) -> zbus::Result<()> {
    let object: InterfaceRef<Agent> = connection.object_server().interface(PATH).await?;
    let mut changes = board.subscribe();
    // What has changed while the connection was made, too.
    changes.mark_changed();
    loop {
        tokio::select! {
            () = connection.closed() => return Ok(()),
            changed = changes.changed() => if changed.is_err() { return Ok(()) },
        }
        let now = Agent::of(board);
        let mut object_now = object.get_mut().await;
        let before = std::mem::replace(&mut *object_now, now.clone());
        let to = object.signal_emitter();
        if now.phase != before.phase {
            object_now.phase_changed(to).await?;
        }
        if now.reason != before.reason {
            object_now.reason_changed(to).await?;
        }
        if now.remedy != before.remedy {
            object_now.remedy_changed(to).await?;
        }
        if now.identity != before.identity {
            object_now.identity_changed(to).await?;
        }
        if now.fleet != before.fleet {
            object_now.fleet_changed(to).await?;
        }
        if now.sessions != before.sessions {
            object_now.sessions_changed(to).await?;
        }
    }
}

#[cfg(test)]
mod tests;
