//! Headscale, and Tailscale's public server: one daemon, told of one network or the other.
//!
//! - [`prepare`]: what the daemon reads. Its key it makes and keeps itself, in the state folder of its unit.
//! - [`address`]: has it join if it needs to, and asks it for the machine's address.
//! - [`witnesses`]: where the other parties are: each names its key on this mesh in its presence, and the daemon knows which
//!   address goes with that key. The hub is asked for presences only when nobody is known who answers.
//! - [`places`], [`paths`]: where given ones are, and how packets get there.
//! - [`leave`]: the control server forgets the machine.
//! - `local`, `status`, `config`: the daemon's socket, what it says there, what it is told.
//! - `admission`: the key that a machine is let in with, once.

mod admission;
mod config;
mod local;
mod status;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use e3_client::files::{FileError, private_folder, read_bounded, write_atomic};
use e3_core::key::PublicKey;
use e3_core::mesh::{Backend, NotJoined, Path, Plan};
use tokio::time::Instant;

use self::local::{Local, LocalError};
use self::status::{Standing, Status};
use super::backend::Prepared;
use super::files::Files;
use super::{key, others, unable};
use crate::shared::Shared;

/// For how long the daemon may be on its way before its trouble is told.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at a daemon that is on its way.
const LOOK: Duration = Duration::from_millis(100);
/// Parties that are asked at once whether they answer.
const WITNESSES: usize = 8;
/// Bytes of a control server's address.
const SERVER: usize = 512;

/// Everything that the daemon needs.
pub(super) fn prepare(shared: &Shared, plan: &Plan) -> Result<Prepared, NotJoined> {
    let (authorities, revoked) = match &plan.backend {
        Backend::Headscale(headscale) => (headscale.authorities.as_str(), &headscale.revoked),
        Backend::Tailscale(tailscale) => ("", &tailscale.revoked),
        _ => ("", &Vec::new()),
    };
    if revoked.contains(&shared.me()) {
        return Err(NotJoined::CertificateRevoked);
    }
    let files = Files::of(plan.backend.daemon())
        .with("config.json", config::render(shared, &plan.backend))
        .with("ca.crt", authorities);
    Ok(Prepared { files, grant: None })
}

/// This machine's address. Has the daemon join if it has never done so, and waits for a while until it has.
pub(super) async fn address(shared: &Shared, plan: &Plan) -> Result<IpAddr, NotJoined> {
    let begin = Instant::now();
    let daemon = Local::new();
    let (mut asked, mut again) = (false, false);
    loop {
        let trouble = match ask(&daemon).await {
            Ok(status) => match status.standing() {
                // The server forgets it at any moment, and a daemon does not notice that for long.
                Standing::In { .. } if !asked && note(shared).is_none() => {
                    let left = daemon.leave().await;
                    left.map_err(|error| unable(&error))?;
                    start_anew(plan);
                    return Err(NotJoined::KeyExpired { since: None });
                }
                Standing::In { address, key } => {
                    if let Err(error) = remember(shared, plan) {
                        tracing::warn!(error = %crate::text::chain(&error), "the mesh's control server cannot be noted");
                    }
                    shared.board.mesh_key(plan.backend.name(), &key);
                    return Ok(address.into());
                }
                Standing::NeedsKey => {
                    if !asked {
                        let key = admission::key(shared, plan).await?;
                        remember(shared, plan).map_err(|error| unable(&error))?;
                        daemon.join(&key).await.map_err(|error| unable(&error))?;
                        asked = true;
                    }
                    on_the_way(status.login_error())
                }
                Standing::Refused(trouble) => {
                    if !again {
                        if is_of_another(shared, plan) {
                            let left = daemon.leave().await;
                            left.map_err(|error| unable(&error))?;
                            start_anew(plan);
                            return Err(trouble);
                        } else if matches!(trouble, NotJoined::KeyExpired { .. }) {
                            // With the key that it has: it may have been accepted again meanwhile.
                            let tried = daemon.again().await;
                            tried.map_err(|error| unable(&error))?;
                        }
                        again = true;
                    }
                    trouble
                }
                Standing::Starting(error) => on_the_way(error),
            },
            Err(error) => unable(&error),
        };
        if begin.elapsed() > PATIENCE {
            return Err(trouble);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Parties that have named a key on this mesh. They are asked again without the hub, for as long as one of them answers.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Vec<(PublicKey, String)>>);

impl Known {
    /// Nobody: whoever was known does not answer.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    /// Those who are in the network, and where.
    fn there(&self, addresses: &HashMap<String, Ipv4Addr>) -> Vec<(PublicKey, IpAddr)> {
        let known = self.lock();
        let there = known
            .iter()
            .filter_map(|(party, key)| Some((*party, IpAddr::V4(*addresses.get(key)?))));
        there.take(WITNESSES).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(PublicKey, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has the next attempt start the daemon anew: with its key it has given up who may give it orders.
fn start_anew(plan: &Plan) {
    Files::of(plan.backend.daemon()).remove();
}

/// Other parties of the fleet and their addresses, as far as the daemon knows where they are.
pub(super) async fn witnesses(
    shared: &Shared,
    plan: &Plan,
    known: &Known,
) -> Vec<(PublicKey, IpAddr)> {
    let Ok(status) = ask(&Local::new()).await else {
        return Vec::new();
    };
    let addresses = status.others();
    let there = known.there(&addresses);
    if !there.is_empty() {
        return there;
    }
    let others = match others::presences(shared).await {
        Ok(others) => others,
        Err(error) => {
            tracing::debug!(error = %crate::text::chain(&error), "the hub cannot be asked who is in the mesh");
            return Vec::new();
        }
    };
    let backend = plan.backend.name();
    let said = others.filter_map(|presence| {
        let key = presence.mesh_keys.get(backend)?;
        { addresses.contains_key(key) }.then(|| (presence.party, key.clone()))
    });
    *known.lock() = said.take(WITNESSES).collect();
    known.there(&addresses)
}

/// Where the parties with these keys are.
pub(super) async fn places(keys: impl Iterator<Item = Option<&str>>) -> Vec<Option<IpAddr>> {
    let addresses = ask(&Local::new()).await.map(|status| status.others());
    let addresses = addresses.unwrap_or_default();
    let of = |key: Option<&str>| addresses.get(key?).copied().map(IpAddr::V4);
    keys.map(of).collect()
}

/// How packets get to them.
pub(super) async fn paths(keys: impl Iterator<Item = Option<&str>>) -> Vec<Path> {
    let Ok(status) = ask(&Local::new()).await else {
        return keys.map(|_| Path::Unknown).collect();
    };
    let direct = status.direct();
    keys.map(|key| match key {
        Some(key) if direct.contains(key) => Path::Direct,
        _ => Path::Relayed,
    })
    .collect()
}

/// Why nobody answers, if the daemon knows.
pub(super) async fn trouble() -> Option<NotJoined> {
    let status = ask(&Local::new()).await.ok()?;
    let detail = "the control server's (DERP) is not reached".to_owned();
    (!status.has_relay()).then_some(NotJoined::NoRelay { detail })
}

/// Has the control server forget this machine, and the daemon its key.
pub(super) async fn leave(shared: &Shared) {
    if let Err(error) = Local::new().leave().await {
        tracing::warn!(error = %crate::text::chain(&error), "the mesh's daemon has kept its key");
    }
    let _ = std::fs::remove_file(server_file(shared));
}

async fn ask(daemon: &Local) -> Result<Status, LocalError> {
    let json = daemon.status().await?;
    Status::parse(&json).map_err(|_| LocalError::Answer)
}

fn on_the_way(error: Option<String>) -> NotJoined {
    let detail = error.unwrap_or_else(|| "it does not answer".to_owned());
    NotJoined::ControlServer { detail }
}

/// The file that says which control server the daemon's key is for.
fn server_file(shared: &Shared) -> std::path::PathBuf {
    key::folder(shared, "tailscale").join("server")
}

fn server(plan: &Plan) -> &str {
    match &plan.backend {
        Backend::Headscale(headscale) => &headscale.server,
        _ => "tailscale",
    }
}

/// Which control server the daemon's key is for. Nothing if there is none, or if it was left when this machine has left a mesh while
/// its daemon did not run.
fn note(shared: &Shared) -> Option<Vec<u8>> {
    read_bounded(&server_file(shared), SERVER).ok()
}

/// Whether the daemon's key is not for the plan's control server.
fn is_of_another(shared: &Shared, plan: &Plan) -> bool {
    note(shared).as_deref() != Some(server(plan).as_bytes())
}

/// Keeps which control server the daemon has a key for.
fn remember(shared: &Shared, plan: &Plan) -> Result<(), FileError> {
    if !is_of_another(shared, plan) {
        return Ok(());
    }
    private_folder(&key::folder(shared, "tailscale"))?;
    write_atomic(&server_file(shared), server(plan).as_bytes())
}

#[cfg(test)]
mod tests {
    use e3_core::key::SecretKey;

    use super::*;

    #[test]
    fn whoever_was_known_is_asked_again_where_it_is_now_until_nobody_of_them_answers() {
        let [p, q] = [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]).public());
        let known = Known::default();
        *known.lock() = vec![(p, "p's".to_owned()), (q, "q's".to_owned())];
        let at = |key: &str, last| (key.to_owned(), Ipv4Addr::new(100, 64, 0, last));
        // q has a new key, or is gone.
        let addresses = HashMap::from([at("p's", 7), at("another's", 8)]);
        let there = known.there(&addresses);
        assert_eq!(there, [(p, IpAddr::from([100, 64, 0, 7]))]);
        assert!(known.there(&HashMap::new()).is_empty());
        known.forget();
        assert!(known.there(&addresses).is_empty());
    }
}
