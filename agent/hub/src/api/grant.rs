//! Taking certificates for parties' keys on a mesh: signed by those who sign heads, for a party that has enrolled, each newer
//! than the one before.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use e3_core::envelope::Envelope;
use e3_core::key::PublicKey;
use e3_core::limits;
use e3_core::mesh::MeshGrant;

use super::path::Two;
use super::pure::pure;
use super::{Hub, Refusal, stored, to_the_end};
use crate::names::{self, Backend, Json};
use crate::store::{Class, Replaced};

const WHAT: &str = "certificate";

pub(super) async fn write(
    State(hub): State<Arc<Hub>>,
    Two(backend, Json(party)): Two<Backend, Json<PublicKey>>,
    request: Request,
) -> Result<Response, Refusal> {
    let bytes = hub.take(request, limits::ENVELOPE as u64).await?.bytes;
    let hub = Arc::clone(&hub);
    to_the_end(async move {
        let roots = hub.chain.refresh(&hub.store).await?;
        let root = roots.newest();
        let new = MeshGrant::open(&bytes, root, &party, &backend.0);
        let new = new.map_err(|error| Refusal::Envelope { what: WHAT, error })?;
        let envelope = pure(WHAT, &bytes, limits::ENVELOPE, &root.head.keys)?;
        if hub.store.stat(&names::party(&party)).await?.is_none() {
            return Err(Refusal::NotEnrolled);
        }
        let path = names::grant(&backend, &party);
        let guard = hub.store.lock(Class::Parties).await?;
        let there = hub.store.get(&path, limits::ENVELOPE).await?;
        let old = there
            .as_ref()
            .and_then(|there| Envelope::parse(&there.bytes, limits::ENVELOPE).ok());
        if old.as_ref().map(Envelope::digest) == Some(envelope.digest()) {
            return Ok(stored(false));
        }
        // One of keys that the root has dropped does not count.
        let old = there
            .as_ref()
            .and_then(|there| MeshGrant::open(&there.bytes, root, &party, &backend.0).ok());
        if old.is_some_and(|old| new.signed <= old.signed) {
            return Err(Refusal::OldGrant);
        }
        match hub
            .store
            .replace(&guard, &path, there.as_ref(), bytes.clone())
            .await?
        {
            Replaced::Done => Ok(stored(true)),
            Replaced::Changed => Err(Refusal::OldGrant),
        }
    })
    .await
}
