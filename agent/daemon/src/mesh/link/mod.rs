//! The built-in mesh, and Tor: a transport key born here, a configuration for `e3-link`, and what sessions need of it.
//!
//! It carries connections, not packets: each party has an address in 127.0.0.0/8 that stands for it on all machines of the
//! fleet ([`e3_core::mesh::local`]), where this machine's `e3-link` listens for what is to be carried there. So it must be
//! told which ports: the agents' one always, those of a session while it runs ([`ways`]).
//!
//! Who belongs to it stands in the head. A change of that is told to the running daemon by its control socket, which cuts
//! nobody off.

mod carrier;
mod config;
mod control;
pub(crate) mod ways;

use e3_client::files::{self, private_folder};
use e3_core::key::SecretKey;
use e3_core::mesh::link::{AGENT_PORT, Answer, Id, PeerPath, Problem, Request, Status};
use e3_core::mesh::{NotJoined, Path, Plan};

use super::backend::{Prepared, belongs};
use super::files::Files;
use super::gauge::Other;
use super::{key, unable};
use crate::shared::Shared;

pub(crate) use carrier::Carrier;

/// Everything that the daemon needs.
pub(super) fn prepare(
    shared: &Shared,
    plan: &Plan,
    carrier: Carrier,
) -> Result<Prepared, NotJoined> {
    let key = own_key(shared, carrier)?;
    let roster = plan.backend.roster().ok_or(NotJoined::NeedsApproval)?;
    belongs(shared, roster, &carrier.public(&key))?;
    let config = config::render(shared, plan, carrier)?;
    let json = serde_json::to_vec(&config).map_err(|error| unable(&error))?;
    let files = Files::of(carrier.name())
        .with("config.json", json)
        .with(carrier.credential(), key.to_pem().as_bytes());
    Ok(Prepared { files, grant: None })
}

/// This machine's transport key, made if there is none; its public half is told to the fleet. A fleet that has chosen nothing has
/// this mesh, so a machine names its key before anybody asks: who accepts it lets it in by that.
pub(super) fn own_key(shared: &Shared, carrier: Carrier) -> Result<SecretKey, NotJoined> {
    let name = carrier.name();
    let path = key::folder(shared, name).join("key");
    if !path.exists() {
        private_folder(&key::folder(shared, name)).map_err(|error| unable(&error))?;
        let new = e3_client::random::key();
        files::write_secret(&path, new.to_pem().as_bytes()).map_err(|error| unable(&error))?;
    }
    let key = files::read_key(&path).map_err(|error| unable(&error))?;
    shared.board.mesh_key(name, &carrier.public(&key));
    Ok(key)
}

/// Whether the running daemon has taken what the plan says now, without being started anew. One with another key, which this
/// machine had before it lost it, is started anew.
pub(super) async fn takes(shared: &Shared, carrier: Carrier) -> bool {
    let path = key::folder(shared, carrier.name()).join("key");
    let own = files::read_key(&path)
        .ok()
        .map(|key| Id::from(key.public()));
    let same_key = matches!(
        control::ask(carrier, &Request::Status).await,
        Ok(Answer::Status(status)) if Some(status.id) == own
    );
    if !same_key {
        return false;
    }
    match ways::apply(shared, carrier).await {
        Ok(()) => true,
        Err(why) => {
            tracing::info!(
                why,
                backend = carrier.name(),
                "the mesh's daemon has to be started anew"
            );
            false
        }
    }
}

/// Tells the daemon that this machine has moved. One that does not hear it finds out by itself, in time.
pub(super) async fn moved(carrier: Carrier) {
    if let Err(why) = control::ask(carrier, &Request::Moved).await {
        tracing::debug!(
            why,
            "the mesh's daemon is not told that this machine has moved"
        );
    }
}

/// Whether a relay has let this machine in: all that can be asked while it is the mesh's only machine.
pub(super) async fn is_at_a_relay(carrier: Carrier) -> bool {
    matches!(
        control::ask(carrier, &Request::Status).await,
        Ok(Answer::Status(status)) if status.relays.iter().any(|relay| relay.connected)
    )
}

/// How packets get to these parties, and how long they take, by the daemon's word: its peers prove their transport keys.
pub(super) async fn paths(carrier: Carrier, others: &[Other]) -> Vec<(Path, Option<u64>)> {
    let peers = match control::ask(carrier, &Request::Status).await {
        Ok(Answer::Status(status)) => status.peers,
        _ => Vec::new(),
    };
    let of = |other: &Other| {
        let keys = other.key.as_deref().and_then(|key| carrier.keys(key));
        let peer = keys.and_then(|(id, _)| peers.iter().find(|peer| peer.id == id));
        let path = match peer.map(|peer| &peer.path) {
            Some(PeerPath::Direct { .. }) => Path::Direct,
            Some(PeerPath::Relayed { .. }) => Path::Relayed,
            Some(PeerPath::None) | None => Path::None,
        };
        (path, peer.and_then(|peer| peer.rtt_us))
    };
    others.iter().map(of).collect()
}

/// Why nobody is reached, if the daemon knows.
pub(super) async fn trouble(carrier: Carrier) -> Option<NotJoined> {
    match control::ask(carrier, &Request::Status).await {
        Ok(Answer::Status(status)) => trouble_in(&status),
        _ => None,
    }
}

fn trouble_in(status: &Status) -> Option<NotJoined> {
    let peers = status.peers.iter().flat_map(|peer| &peer.problems);
    let taken = peers.filter_map(|problem| match problem {
        Problem::PortTaken { listen } if listen.port() == AGENT_PORT => Some(listen),
        _ => None,
    });
    // Nobody is reached only if it is so for all of them; one of them tells which port.
    if let Some(listen) = taken.clone().next()
        && taken.count() == status.peers.len()
    {
        let detail = format!("a program of this machine holds {listen}, where the mesh should be");
        return Some(NotJoined::Unable { detail });
    }
    status.problems.iter().find_map(|problem| match problem {
        Problem::ClockWrong { behind, .. } if *behind > 0 => Some(NotJoined::ClockWrong {
            seconds: i64::try_from(*behind).unwrap_or(i64::MAX),
        }),
        Problem::NoRelay { detail }
        | Problem::RelayCertificate { detail }
        | Problem::ClockWrong { detail, .. } => Some(NotJoined::NoRelay {
            detail: detail.clone(),
        }),
        Problem::RelayRefused { relay } => Some(NotJoined::NoRelay {
            detail: format!("{relay} does not know this machine's key"),
        }),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use e3_core::key::SecretKey;
    use e3_core::mesh::link::{PeerPath, PeerStatus};

    /// A machine at no relay, with two peers of which these have a port that is taken.
    fn status(taken: &[&str]) -> Status {
        let id = |seed| Id::from(SecretKey::from_seed(&[seed; 32]).public());
        let peer = |place: usize, seed| PeerStatus {
            id: id(seed),
            path: PeerPath::None,
            rtt_us: None,
            sent: 0,
            received: 0,
            carried: 0,
            held: 0,
            last_seen_ms: None,
            problems: taken
                .get(place)
                .map(|listen| Problem::PortTaken {
                    listen: listen.parse().unwrap(),
                })
                .into_iter()
                .collect(),
        };
        Status {
            id: id(1),
            generation: 1,
            addresses: vec![],
            relays: vec![],
            udp: None,
            symmetric: None,
            problems: vec![Problem::NoRelay {
                detail: "why".to_owned(),
            }],
            peers: vec![peer(0, 2), peer(1, 3)],
            strangers: 0,
        }
    }

    #[test]
    fn a_program_at_the_agents_port_is_told_when_it_keeps_everybody_away() {
        let trouble = trouble_in(&status(&["127.164.1.1:7331", "127.164.1.2:7331"]));
        let Some(NotJoined::Unable { detail }) = trouble else {
            panic!("{trouble:?}");
        };
        assert!(detail.contains("127.164.1.1:7331"), "{detail}");
        // One peer's, or a session's port, is not why nobody answers.
        for taken in [
            &["127.164.1.1:7331"][..],
            &["127.164.1.1:7001", "127.164.1.2:7001"],
        ] {
            let trouble = trouble_in(&status(taken));
            assert!(
                matches!(trouble, Some(NotJoined::NoRelay { .. })),
                "{trouble:?}"
            );
        }
    }
}
