//! An owner takes an invite back: what was enrolled by it is removed, and nothing is enrolled by it again.
//!
//! The withdrawal is stored first, so a kill in between is mended by whoever asks again, and nobody can
//! slip in meanwhile.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use e3_core::digest::Digest;
use e3_core::document::{Enrolment, Invite, Withdrawal};
use e3_core::envelope::{Envelope, EnvelopeError};
use e3_core::key::PublicKey;
use e3_core::limits;

use super::enrol::{PAIR, Pair, Used};
use super::path::One;
use super::pure::pure;
use super::{Hub, Refusal, stored, to_the_end};
use crate::names::{self, Json};
use crate::store::{Class, Created};

pub(super) async fn write(
    State(hub): State<Arc<Hub>>,
    One(Json(invite)): One<Json<Digest>>,
    request: Request,
) -> Result<Response, Refusal> {
    let bytes = hub.take(request, limits::ENVELOPE as u64).await?.bytes;
    let hub = Arc::clone(&hub);
    to_the_end(async move {
        let refused = |error: EnvelopeError| Refusal::Envelope {
            what: "withdrawal",
            error,
        };
        let envelope = Envelope::parse(&bytes, limits::ENVELOPE).map_err(refused)?;
        let roots = hub.chain.refresh(&hub.store).await?;
        // Nobody enrols while it is looked who has.
        let _guard = hub.store.lock(Class::Parties).await?;
        let used = hub.enrolled_by(&invite).await?;
        let known = used.as_ref().map(|(_, invited)| invited);
        let withdrawal = Withdrawal::open(&envelope, &invite, known, roots.newest());
        let by = withdrawal.map_err(refused)?.by;
        pure("withdrawal", &bytes, limits::ENVELOPE, &[by])?;
        let created = hub.store.create(&names::withdrawn(&invite), bytes).await?;
        if let Some((party, _)) = used {
            hub.store.remove(&names::presence(&party)).await?;
            hub.store.remove(&names::request(&party)).await?;
            hub.store.remove(&names::party_answer(&party)).await?;
            hub.store.remove(&names::party(&party)).await?;
            tracing::info!(%party, "is no party any more");
        }
        hub.forget_listing();
        Ok(stored(created == Created::New))
    })
    .await
}

impl Hub {
    /// Who is a party by this invite, and what the invite says. Not who has a newer one.
    async fn enrolled_by(&self, invite: &Digest) -> Result<Option<(PublicKey, Invite)>, Refusal> {
        let path = names::invite(invite);
        let Some(used) = self.store.get(&path, limits::ENVELOPE).await? else {
            return Ok(None);
        };
        let Ok(Used { party }) = serde_json::from_slice(&used.bytes) else {
            return Ok(None);
        };
        let there = self.store.get(&names::party(&party), PAIR).await?;
        let open = |bytes: &[u8]| {
            let (enrolment, envelope) = Pair::parse(bytes)?.envelopes().ok()?;
            let enrolled: Enrolment = enrolment.unverified().ok()?;
            let invited: Invite = envelope.unverified().ok()?;
            (enrolled.invite == *invite).then_some((party, invited))
        };
        Ok(there.and_then(|there| open(&there.bytes)))
    }
}
