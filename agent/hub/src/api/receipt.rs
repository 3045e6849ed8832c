//! Taking receipts: signed by the party, for its place in a session that is here. The first stands.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::response::Response;
use e3_core::digest::Digest;
use e3_core::limits;
use e3_core::session::verdict;
use serde::Deserialize;

use super::path::Two;
use super::pure::pure;
use super::{Hub, Refusal, stored, to_the_end};
use crate::names::{self, Json, Segment as _};
use crate::store::Created;

#[derive(Deserialize)]
pub(super) struct ReceiptQuery {
    session: String,
}

pub(super) async fn write(
    State(hub): State<Arc<Hub>>,
    Two(manifest, Json(party)): Two<Digest, Json<usize>>,
    query: Result<Query<ReceiptQuery>, QueryRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    let envelope = query
        .ok()
        .and_then(|query| Digest::read(&query.session))
        .ok_or(Refusal::Query)?;
    let bytes = hub.take(request, limits::ENVELOPE as u64).await?.bytes;
    let hub = Arc::clone(&hub);
    to_the_end(async move {
        let envelope = hub
            .store
            .get(&names::blob(&envelope), limits::ENVELOPE)
            .await;
        let envelope = envelope.ok().flatten().ok_or(Refusal::SessionUnknown)?;
        let roots = hub.chain.refresh(&hub.store).await?;
        let session = roots.open_old_session(&envelope.bytes);
        let session = session.map_err(|error| Refusal::Envelope {
            what: "session",
            error,
        })?;
        if session.digest != manifest || party >= session.document.parties.len() {
            return Err(Refusal::Receipt("the session has no such place".to_owned()));
        }
        verdict::open(&session, party, &bytes).map_err(Refusal::Receipt)?;
        let key = session.document.parties[party].key;
        pure("receipt", &bytes, limits::ENVELOPE, &[key])?;
        let path = names::receipt(&manifest, party);
        if hub.store.create(&path, bytes.clone()).await? == Created::New {
            hub.metrics
                .pushes
                .add(hub.subscribers.receipt(&manifest, party));
            return Ok(stored(true));
        }
        let there = hub.store.get(&path, limits::ENVELOPE).await?;
        if there.is_some_and(|there| there.bytes == bytes) {
            Ok(stored(false))
        } else {
            Err(Refusal::OtherReceipt)
        }
    })
    .await
}
