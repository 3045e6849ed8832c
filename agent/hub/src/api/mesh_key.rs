//! Keys to a mesh whose control server lets nobody in without one: asked for by a party's identity, made for it alone, good
//! once and for some minutes, and sealed to the one-time key that its request names.
//!
//! The hub could keep such a key for itself, or make more of them: a hub that is taken over can send machines of its own to
//! the mesh. They could send packets there, and are in no session, for agents prove their identities to each other.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use e3_client::seal::seal;
use e3_core::document::Presence;
use e3_core::envelope::EnvelopeError;
use e3_core::key::PublicKey;
use e3_core::limits;
use e3_core::mesh::{Backend, MeshKeyRequest};
use e3_core::time::Time;
use serde_json::json;

use super::path::One;
use super::refusal::chain;
use super::{Hub, JSON, MUTABLE, Refusal, to_the_end};
use crate::control::{Gone, Server, ServerError};
use crate::names;
use crate::store::StoreError;

/// Keys at once for one party: each is for one attempt to join.
const BURST: u32 = 5;
/// Seconds until there is another one.
const SECONDS: i64 = 30;
/// Between two looks whether the server knows machines that it should not: its changes are followed at once, and what fails is
/// tried again.
const CLEANING: Duration = Duration::from_mins(1);

/// What every enrolled party has asked for last. Forgotten with the process.
#[derive(Default)]
pub(super) struct Asked(Mutex<HashMap<PublicKey, Last>>);

struct Last {
    signed: Time,
    left: u32,
    filled: Time,
}

impl Asked {
    /// Counts a request; none is taken twice, and nobody gets too many.
    fn take(&self, party: PublicKey, signed: Time, now: Time) -> Result<(), Refusal> {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = asked.get_mut(&party) else {
            let left = BURST - 1;
            asked.insert(
                party,
                Last {
                    signed,
                    left,
                    filled: now,
                },
            );
            return Ok(());
        };
        if signed <= last.signed {
            return Err(Refusal::OldRequest);
        }
        let more = u32::try_from(now.since(last.filled).max(0) / SECONDS).unwrap_or(u32::MAX);
        if more > 0 {
            last.left = last.left.saturating_add(more).min(BURST);
            last.filled = now;
        }
        if last.left == 0 {
            return Err(Refusal::TooManyKeys);
        }
        last.left -= 1;
        last.signed = signed;
        Ok(())
    }
}

pub(super) async fn make(
    State(hub): State<Arc<Hub>>,
    One(names::Backend(backend)): One<names::Backend>,
    request: Request,
) -> Result<Response, Refusal> {
    let bytes = hub.take(request, limits::ENVELOPE as u64).await?.bytes;
    let hub = Arc::clone(&hub);
    to_the_end(async move {
        let mut servers = hub.controls.iter();
        let Some(server) = servers.find(|server| server.backend() == backend) else {
            return Err(Refusal::NoKeys);
        };
        let refused = |error: EnvelopeError| Refusal::KeyRequest(error);
        let envelope = MeshKeyRequest::parse(&bytes).map_err(refused)?;
        let now = (hub.clock)();
        let roots = hub.chain.refresh(&hub.store).await?;
        let fleet = &roots.newest().fleet;
        let asked = MeshKeyRequest::open(&envelope, fleet, &backend, now).map_err(refused)?;
        if hub.store.stat(&names::party(&asked.party)).await?.is_none() {
            return Err(Refusal::NotEnrolled);
        }
        let revoked = hub
            .controlled(server.backend())
            .await?
            .ok_or(Refusal::OtherMesh)?;
        if revoked.contains(&asked.party) {
            return Err(Refusal::OtherMesh);
        }
        hub.asked.take(asked.party, asked.signed, now)?;
        let key = server.key_for(fleet, &asked.party, now).await;
        let key = key.map_err(|error| failed(&error))?;
        let about = envelope.digest();
        let sealed = seal(&key, &asked.seal, about.as_bytes());
        let sealed = sealed.map_err(|_| Refusal::Json)?;
        tracing::info!(party = %asked.party, "made a key to the mesh");
        let body = json!({"key": sealed}).to_string();
        Ok(([JSON, MUTABLE], body).into_response())
    })
    .await
}

/// Has each server forget whoever the head does not let in any more, for as long as the hub runs.
pub(crate) async fn clean(hub: Arc<Hub>) {
    let mut done: HashMap<&str, Option<Vec<PublicKey>>> = HashMap::new();
    while !hub.controls.is_empty() {
        for server in &hub.controls {
            let name = server.backend();
            let Ok(plan) = hub.controlled(name).await else {
                continue;
            };
            if done.get(name) == Some(&plan) {
                continue;
            }
            match forget(&hub, server, plan.as_deref()).await {
                Ok(count) => {
                    if count > 0 {
                        tracing::info!(
                            backend = name,
                            count,
                            "the mesh's server has forgotten machines"
                        );
                    }
                    done.insert(name, plan);
                }
                Err(error) => {
                    failed(&error);
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(CLEANING) => {}
            () = hub.head_changed.notified() => {}
        }
    }
}

async fn forget(
    hub: &Hub,
    server: &Server,
    revoked: Option<&[PublicKey]>,
) -> Result<usize, ServerError> {
    let fleet = hub.chain.current().newest().fleet.clone();
    let gone = match revoked {
        None => Gone::All,
        Some([]) => return Ok(0),
        Some(revoked) => {
            let presences = hub.list_presences().await.map_err(ServerError::Store)?;
            let said = presences.iter().filter_map(|(party, bytes)| {
                let presence = Presence::open(bytes, party, &fleet)?;
                Some((*party, presence.mesh_keys.get(server.backend())?.clone()))
            });
            Gone::Of {
                parties: revoked.to_vec(),
                keys: keys_of(revoked, &said.collect::<Vec<_>>()),
            }
        }
    };
    server.forget(&fleet, &gone).await
}

/// The keys of the revoked parties, as they have named them themselves. One that somebody else names, too, is that one's: nobody
/// takes another party with it.
fn keys_of(revoked: &[PublicKey], said: &[(PublicKey, String)]) -> Vec<String> {
    let is_revoked = |party: &PublicKey| revoked.contains(party);
    let others = said.iter().filter(|(party, _)| !is_revoked(party));
    let others: HashSet<&String> = others.map(|(_, key)| key).collect();
    let keys = said.iter().filter(|(party, _)| is_revoked(party));
    keys.map(|(_, key)| key)
        .filter(|key| !others.contains(key))
        .cloned()
        .collect()
}

fn failed(error: &ServerError) -> Refusal {
    tracing::warn!(error = %chain(error), "the mesh's control server does not help");
    Refusal::Control
}

impl Hub {
    /// Whom the control server of this mesh does not let in; nothing if the head asks for no such mesh.
    async fn controlled(&self, backend: &str) -> Result<Option<Vec<PublicKey>>, StoreError> {
        let head = self.newest_head().await?;
        let plans = head.map(|head| head.meshes).unwrap_or_default();
        let plan = plans
            .into_iter()
            .find(|plan| plan.backend.name() == backend);
        Ok(plan.and_then(|plan| match plan.backend {
            Backend::Headscale(headscale) => Some(headscale.revoked),
            Backend::Tailscale(tailscale) => Some(tailscale.revoked),
            _ => None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use e3_core::key::SecretKey;

    use super::*;

    #[test]
    fn no_request_counts_twice_and_nobody_gets_many_keys() {
        let [party, other] = [1, 2].map(|n| SecretKey::from_seed(&[n; 32]).public());
        let (asked, at) = (Asked::default(), Time::from_unix);
        for n in 0..5 {
            asked.take(party, at(100 + n), at(100)).unwrap();
        }
        assert!(matches!(
            asked.take(party, at(104), at(100)),
            Err(Refusal::OldRequest)
        ));
        assert!(matches!(
            asked.take(party, at(105), at(100)),
            Err(Refusal::TooManyKeys)
        ));
        asked.take(other, at(1), at(100)).unwrap();
        asked.take(party, at(105), at(130)).unwrap();
        assert!(matches!(
            asked.take(party, at(106), at(131)),
            Err(Refusal::TooManyKeys)
        ));
    }

    #[test]
    fn a_party_that_is_revoked_takes_nobody_with_it() {
        let [p, q, r] = [1, 2, 3].map(|n| SecretKey::from_seed(&[n; 32]).public());
        // p says that it has q's key, too late.
        let said = [(p, "q's"), (q, "q's"), (r, "r's")].map(|(party, key)| (party, key.to_owned()));
        assert_eq!(keys_of(&[p], &said), Vec::<String>::new());
        assert_eq!(keys_of(&[p, r], &said), ["r's"]);
        assert_eq!(keys_of(&[q, p], &said), ["q's", "q's"]);
    }
}
