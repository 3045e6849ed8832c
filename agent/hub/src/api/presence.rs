//! Taking presences: signed by an enrolled party, each newer than the one before.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use e3_core::document::Presence;
use e3_core::envelope::{Envelope, EnvelopeError};
use e3_core::key::PublicKey;
use e3_core::limits;

use super::path::One;
use super::pure::pure;
use super::{Hub, Refusal, stored, to_the_end};
use crate::names::{self, Json};
use crate::store::{Class, Replaced};

pub(super) async fn write(
    State(hub): State<Arc<Hub>>,
    One(Json(party)): One<Json<PublicKey>>,
    request: Request,
) -> Result<Response, Refusal> {
    let bytes = hub.take(request, limits::ENVELOPE as u64).await?.bytes;
    let hub = Arc::clone(&hub);
    to_the_end(async move {
        let refused = |error: EnvelopeError| Refusal::Envelope {
            what: "presence",
            error,
        };
        let envelope = Envelope::parse(&bytes, limits::ENVELOPE).map_err(refused)?;
        let new = envelope.verify::<Presence>(&[party], 1).map_err(refused)?;
        pure("presence", &bytes, limits::ENVELOPE, &[party])?;
        if new.document.party != party || new.document.fleet != hub.chain.current().newest().fleet {
            return Err(Refusal::PresenceOf);
        }
        if hub.store.stat(&names::party(&party)).await?.is_none() {
            return Err(Refusal::NotEnrolled);
        }
        let path = names::presence(&party);
        let guard = hub.store.lock(Class::Parties).await?;
        let there = hub.store.get(&path, limits::ENVELOPE).await?;
        let old = there
            .as_ref()
            .and_then(|there| Envelope::parse(&there.bytes, limits::ENVELOPE).ok());
        if old.as_ref().is_some_and(|old| old.digest() == new.digest) {
            return Ok(stored(false));
        }
        let old: Option<Presence> = old.and_then(|old| old.unverified().ok());
        if let Some(old) = old.filter(|old| new.document.counter <= old.counter) {
            return Err(Refusal::PresenceOld {
                stored: old.counter,
                found: new.document.counter,
            });
        }
        if !hub.pace.take(party, (hub.clock)()) {
            return Err(Refusal::TooManyPresences);
        }
        let found = new.document.counter;
        if hub
            .store
            .replace(&guard, &path, there.as_ref(), bytes.clone())
            .await?
            == Replaced::Changed
        {
            return Err(Refusal::PresenceOld {
                stored: found,
                found,
            });
        }
        hub.forget_listing();
        hub.metrics.pushes.add(hub.subscribers.presence(&bytes));
        Ok(stored(true))
    })
    .await
}
