//! What owners ask parties, and what these answer: one question and one answer for each party, each in place of the one before.
//!
//! The hub carries them. Whether a party answers is the party's business, and the answer is sealed to who has asked; the hub keeps
//! out what nobody of the fleet has signed, and what would fill the store. Both are gone for readers after some minutes.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use e3_core::document::{PartyAnswer, PartyRequest};
use e3_core::envelope::{Envelope, EnvelopeError};
use e3_core::key::PublicKey;
use e3_core::limits;

use super::path::One;
use super::pure::pure;
use super::{Hub, JSON, MUTABLE, Refusal, stored, to_the_end};
use crate::names::{self, Json};
use crate::store::{Class, Object, Replaced};

/// What is stored was judged when it came; this is for what it says.
fn open(object: &Object) -> Option<(Envelope, PartyRequest)> {
    let envelope = PartyRequest::parse(&object.bytes).ok()?;
    let request = envelope.unverified().ok()?;
    Some((envelope, request))
}

pub(super) async fn write(
    State(hub): State<Arc<Hub>>,
    One(Json(party)): One<Json<PublicKey>>,
    request: Request,
) -> Result<Response, Refusal> {
    let bytes = hub.take(request, limits::REQUEST as u64).await?.bytes;
    let hub = Arc::clone(&hub);
    to_the_end(async move {
        let refused = |error: EnvelopeError| Refusal::PartyRequest(error);
        let envelope = PartyRequest::parse(&bytes).map_err(refused)?;
        let roots = hub.chain.refresh(&hub.store).await?;
        let new = PartyRequest::open(&envelope, roots.newest(), &party).map_err(refused)?;
        let (digest, new) = (new.digest, new.document);
        pure("request", &bytes, limits::REQUEST, &[new.by])?;
        let now = (hub.clock)();
        if !new.is_fresh(now) {
            return Err(Refusal::StaleRequest);
        }
        if hub.store.stat(&names::party(&party)).await?.is_none() {
            return Err(Refusal::NotEnrolled);
        }
        let path = names::request(&party);
        let guard = hub.store.lock(Class::Parties).await?;
        let there = hub.store.get(&path, limits::REQUEST).await?;
        if let Some((old, said)) = there.as_ref().and_then(open) {
            if old.digest() == digest {
                return Ok(stored(false));
            }
            if said.by == new.by && new.millis <= said.millis {
                return Err(Refusal::OldRequest);
            }
        }
        if !hub.asking.take(new.by, now) {
            return Err(Refusal::TooManyRequests);
        }
        hub.store.remove(&names::party_answer(&party)).await?;
        match hub
            .store
            .replace(&guard, &path, there.as_ref(), bytes.clone())
            .await?
        {
            Replaced::Done => {
                hub.metrics.pushes.add(hub.subscribers.asked(&party));
                Ok(stored(true))
            }
            Replaced::Changed => Err(Refusal::OldRequest),
        }
    })
    .await
}

pub(super) async fn answer(
    State(hub): State<Arc<Hub>>,
    One(Json(party)): One<Json<PublicKey>>,
    request: Request,
) -> Result<Response, Refusal> {
    let bytes = hub.take(request, limits::ENVELOPE as u64).await?.bytes;
    let hub = Arc::clone(&hub);
    to_the_end(async move {
        const WHAT: &str = "answer";
        let refused = |error: EnvelopeError| Refusal::Envelope { what: WHAT, error };
        let envelope = Envelope::parse(&bytes, limits::ENVELOPE).map_err(refused)?;
        let new = envelope.verify::<PartyAnswer>(&[party], 1);
        let new = new.map_err(refused)?.document;
        pure(WHAT, &bytes, limits::ENVELOPE, &[party])?;
        let _guard = hub.store.lock(Class::Parties).await?;
        // One answer for each question: a party cannot fill the store, nor answer what nobody has asked.
        let (asked, said) = hub.question(&party).await?.ok_or(Refusal::Unasked)?;
        if new.request != asked.digest() || new.party != party || new.fleet != said.fleet {
            return Err(Refusal::Unasked);
        }
        let path = names::party_answer(&party);
        match hub.store.get(&path, limits::ENVELOPE).await? {
            Some(there) if there.bytes == bytes => Ok(stored(false)),
            Some(_) => Err(Refusal::Answered),
            None => {
                hub.store.create(&path, bytes).await?;
                Ok(stored(true))
            }
        }
    })
    .await
}

pub(super) async fn read(
    State(hub): State<Arc<Hub>>,
    One(Json(party)): One<Json<PublicKey>>,
) -> Result<Response, Refusal> {
    let (envelope, _) = hub.question(&party).await?.ok_or(Refusal::NotFound)?;
    Ok(([JSON, MUTABLE], envelope.to_bytes()).into_response())
}

pub(super) async fn read_answer(
    State(hub): State<Arc<Hub>>,
    One(Json(party)): One<Json<PublicKey>>,
) -> Result<Response, Refusal> {
    hub.question(&party).await?.ok_or(Refusal::NotFound)?;
    let path = names::party_answer(&party);
    let object = hub.store.get(&path, limits::ENVELOPE).await?;
    let object = object.ok_or(Refusal::NotFound)?;
    Ok(([JSON, MUTABLE], object.bytes).into_response())
}

impl Hub {
    /// What the party is asked, as long as that is fresh.
    async fn question(
        &self,
        party: &PublicKey,
    ) -> Result<Option<(Envelope, PartyRequest)>, Refusal> {
        let path = names::request(party);
        let Some(object) = self.store.get(&path, limits::REQUEST).await? else {
            return Ok(None);
        };
        let now = (self.clock)();
        Ok(open(&object).filter(|(_, said)| said.is_fresh(now)))
    }
}
