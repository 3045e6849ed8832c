//! The status socket: one JSON document for whoever connects, nothing is read.
//!
//! It answers from the agent's first moment on, whatever else fails. It says no secrets. The screen
//! of `e3-agent status` is made here, too.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e3_core::document::Mesh;
use e3_core::mesh::Way;
use e3_core::text::clean;
use e3_core::time::Time;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use crate::board::{Board, Known, Notes};
use crate::error::AgentError;
use crate::mesh::gauge::{Gauge, Ways};
use crate::phase::Phase;
use crate::update::InEffect;

/// A status is a few kilobytes.
const LIMIT: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(5);

/// How an agent stands. Fields may be added; none changes its meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The agent's version.
    pub agent: String,
    /// Which agent runs, and which one is to follow.
    #[serde(default)]
    pub release: InEffect,
    /// What it is doing.
    pub phase: Phase,
    /// What it knows of itself and its fleet.
    #[serde(flatten)]
    pub known: Known,
    /// What time it is by rule 10.
    pub now: Time,
    /// Hub and sessions.
    pub notes: Notes,
    /// How packets get to the other parties, by mesh.
    #[serde(default, skip_serializing_if = "Ways::is_empty")]
    pub ways: Ways,
}

/// Where the socket lies.
pub fn socket(run: &Path) -> PathBuf {
    run.join("agent.sock")
}

impl Status {
    /// How this agent stands now, without what must be measured.
    pub fn of(board: &Board) -> Self {
        Self {
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            release: board.in_effect(),
            phase: board.phase(),
            known: board.known(),
            now: board.now(),
            notes: board.notes(),
            ways: Ways::new(),
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

    /// What `e3-agent status` shows.
    pub fn screen(&self) -> String {
        let known = &self.known;
        let mut text = format!("phase    {}\n", self.phase);
        let remedy = self.phase.remedy();
        if !remedy.is_empty() {
            let _ = writeln!(text, "         {remedy}");
        }
        let mut line = |title: &str, value: Option<String>| {
            if let Some(value) = value {
                let _ = writeln!(text, "{title:<8} {value}");
            }
        };
        let party = known.party.map(|party| {
            let name = known.name.as_ref().map(|name| format!("{name} "));
            format!("{}({party})", name.unwrap_or_default())
        });
        let is_told = !self.release.version.is_empty();
        line("agent", is_told.then(|| self.release.words()));
        line("next", self.release.next());
        line("party", party);
        line("words", known.party.map(|party| party.words()));
        line("fleet", known.fleet.as_ref().map(ToString::to_string));
        line("hub", known.hub.clone());
        let addresses = match known.addresses.join(" ") {
            addresses if addresses.is_empty() => "none".to_owned(),
            addresses => addresses,
        };
        let up = known.root.is_some();
        line("address", up.then_some(addresses));
        for way in self.ways.get("none").into_iter().flatten() {
            line("", Some(said(way)));
        }
        for (backend, mesh) in &known.meshes {
            let (standing, remedy) = match mesh {
                Mesh::Joined { addresses, .. } => {
                    (format!("joined as {}", addresses.join(" ")), None)
                }
                Mesh::NotJoined { reason } => {
                    (format!("not joined: {reason}"), Some(reason.remedy()))
                }
            };
            line("mesh", Some(format!("{backend}: {standing}")));
            line("", remedy.map(str::to_owned));
            for way in self.ways.get(backend).into_iter().flatten() {
                line("", Some(said(way)));
            }
        }
        line("root", known.root.map(|root| root.to_string()));
        let head = match (known.head, known.head_expires) {
            (Some(head), Some(expires)) => format!("{head}, expires {expires}"),
            _ => "none yet".to_owned(),
        };
        line("head", up.then_some(head));
        line(
            "trouble",
            self.notes.hub_error.as_ref().map(|error| clean(error, 600)),
        );
        line(
            "update",
            self.notes.update.as_ref().map(ToString::to_string),
        );
        for session in &self.notes.sessions {
            let _ = writeln!(text, "session  {:<20} {}", session.name, session.standing());
        }
        text
    }
}

/// The way to another party, for people.
fn said(way: &Way) -> String {
    match &way.name {
        Some(name) => format!("{name}: {way}"),
        None => format!("{}: {way}", way.party),
    }
}

/// Makes the socket; what an earlier agent has left goes.
pub fn listen(run: &Path) -> Result<UnixListener, AgentError> {
    let path = socket(run);
    let _ = std::fs::remove_file(&path);
    UnixListener::bind(&path).map_err(|source| AgentError::Socket { path, source })
}

/// Answers for ever.
pub async fn serve(board: Board, gauge: Gauge, listener: UnixListener) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        let (board, gauge) = (board.clone(), gauge.clone());
        tokio::spawn(async move {
            let ways = gauge.read().await;
            let status = Status {
                ways,
                ..Status::of(&board)
            };
            let status = serde_json::to_vec(&status).unwrap_or_default();
            let _ = tokio::time::timeout(PATIENCE, stream.write_all(&status)).await;
        });
    }
}

#[cfg(test)]
mod tests;
