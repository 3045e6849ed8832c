//! The built-in mesh: a transport key born here, a configuration for `e3-link`, and what sessions need of it.
//!
//! It carries connections, not packets: each party has an address in 127.0.0.0/8 that stands for it on all machines of the
//! fleet ([`e3_core::mesh::local`]), where this machine's `e3-link` listens for what is to be carried there. So it must be
//! told which ports: the agents' one always, those of a session while it runs ([`ways`]).
//!
//! Who belongs to it stands in the head. A change of that is told to the running daemon by its control socket, which cuts
//! nobody off.

mod config;
mod control;
pub(crate) mod ways;

use e3_client::files::{self, private_folder};
use e3_core::mesh::link::{Answer, Id, Link, Problem, Request};
use e3_core::mesh::{NotJoined, Plan};

use super::backend::{Prepared, belongs};
use super::files::Files;
use super::{key, unable};
use crate::shared::Shared;

pub(super) const NAME: &str = "link";

/// Everything that the daemon needs.
pub(super) fn prepare(shared: &Shared, plan: &Plan, link: &Link) -> Result<Prepared, NotJoined> {
    let path = key::folder(shared, NAME).join("key");
    if !path.exists() {
        private_folder(&key::folder(shared, NAME)).map_err(|error| unable(&error))?;
        let new = e3_client::random::key();
        files::write_secret(&path, new.to_pem().as_bytes()).map_err(|error| unable(&error))?;
    }
    let key = files::read_key(&path).map_err(|error| unable(&error))?;
    let id = Id::from(key.public()).to_string();
    shared.board.mesh_key(NAME, &id);
    belongs(shared, &link.roster, &id)?;
    let config = config::render(shared, plan, link)?;
    let json = serde_json::to_vec(&config).map_err(|error| unable(&error))?;
    let files = Files::of(NAME)
        .with("config.json", json)
        .with("link.key", key.to_pem().as_bytes());
    Ok(Prepared { files, grant: None })
}

/// Whether the running daemon has taken what the plan says now, without being started anew. One with another key, which this
/// machine had before it lost it, is started anew.
pub(super) async fn takes(shared: &Shared) -> bool {
    let own = shared.board.known().mesh_keys.remove(NAME);
    let same_key = matches!(
        control::ask(&Request::Status).await,
        Ok(Answer::Status(status)) if Some(status.id.to_string()) == own
    );
    if !same_key {
        return false;
    }
    match ways::apply(shared).await {
        Ok(()) => true,
        Err(why) => {
            tracing::info!(why, "the built-in mesh has to be started anew");
            false
        }
    }
}

/// Whether a relay has let this machine in: all that can be asked while it is the mesh's only machine.
pub(super) async fn is_at_a_relay() -> bool {
    matches!(
        control::ask(&Request::Status).await,
        Ok(Answer::Status(status)) if status.relays.iter().any(|relay| relay.connected)
    )
}

/// Why nobody is reached, if the daemon knows.
pub(super) async fn trouble() -> Option<NotJoined> {
    let Ok(Answer::Status(status)) = control::ask(&Request::Status).await else {
        return None;
    };
    status
        .problems
        .into_iter()
        .find_map(|problem| match problem {
            Problem::ClockWrong { behind, .. } if behind > 0 => Some(NotJoined::ClockWrong {
                seconds: i64::try_from(behind).unwrap_or(i64::MAX),
            }),
            Problem::NoRelay { detail }
            | Problem::RelayCertificate { detail }
            | Problem::ClockWrong { detail, .. } => Some(NotJoined::NoRelay { detail }),
            Problem::RelayRefused { relay } => Some(NotJoined::NoRelay {
                detail: format!("{relay} does not know this machine's key"),
            }),
            _ => None,
        })
}
