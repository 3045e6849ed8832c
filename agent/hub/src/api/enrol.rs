//! Enrolment: the first machine that answers an invite becomes its party.
//!
//! The hub cannot enrol anybody itself: it never sees the one-time secret. What it does is to keep
//! the first answer to each invite. The invite is marked first and the party written second, so a
//! kill in between can be mended by the same machine asking again, and by nobody else.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::Response;
use e3_core::document::{Enrolment, Invite};
use e3_core::envelope::{Envelope, EnvelopeError};
use e3_core::key::PublicKey;
use e3_core::limits;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Hub, Refusal, stored, to_the_end};
use crate::names;
use crate::store::{Class, Created};

/// Two envelopes and the words around them.
pub(super) const PAIR: usize = 2 * limits::ENVELOPE + 1024;

/// A party's file in the store, and the body of a request to enrol.
#[derive(Serialize, Deserialize)]
pub(crate) struct Pair {
    pub(crate) enrolment: Box<RawValue>,
    pub(crate) invite: Box<RawValue>,
}

/// Which party an invite has become.
#[derive(Serialize, Deserialize)]
pub(super) struct Used {
    pub(super) party: PublicKey,
}

impl Pair {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub(crate) fn envelopes(&self) -> Result<(Envelope, Envelope), EnvelopeError> {
        let open = |raw: &RawValue| Envelope::parse(raw.get().as_bytes(), limits::ENVELOPE);
        Ok((open(&self.enrolment)?, open(&self.invite)?))
    }
}

/// The file of a party, in one spelling.
fn file(enrolment: &Envelope, invite: &Envelope) -> Bytes {
    [
        b"{\"enrolment\":",
        &enrolment.to_bytes()[..],
        b",\"invite\":",
        &invite.to_bytes(),
        b"}",
    ]
    .concat()
    .into()
}

pub(super) async fn enrol(
    State(hub): State<Arc<Hub>>,
    request: Request,
) -> Result<Response, Refusal> {
    let bytes = hub.take(request, PAIR as u64).await?.bytes;
    let hub = Arc::clone(&hub);
    to_the_end(async move {
        let pair = Pair::parse(&bytes).ok_or(Refusal::Json)?;
        let (enrolment, invite) = pair.envelopes().map_err(Refusal::Enrolment)?;
        let roots = hub.chain.refresh(&hub.store).await?;
        let root = roots.newest();
        let verified = Enrolment::verify(&enrolment, &invite, &root.fleet, &root.session.keys);
        let (enrolled, invited) = verified.map_err(Refusal::Enrolment)?;
        let new = hub.use_invite(&enrolled, &invited).await?;
        hub.write_party(&enrolled, file(&enrolment, &invite))
            .await?;
        hub.forget_listing();
        Ok(stored(new))
    })
    .await
}

impl Hub {
    /// Marks the invite as used by this party; false if it was already.
    async fn use_invite(&self, enrolled: &Enrolment, invited: &Invite) -> Result<bool, Refusal> {
        let path = names::invite(&enrolled.invite);
        let mine = |bytes: &[u8]| match serde_json::from_slice::<Used>(bytes) {
            Ok(used) if used.party == enrolled.party => Ok(false),
            _ => Err(Refusal::InviteUsed),
        };
        if let Some(there) = self.store.get(&path, limits::ENVELOPE).await? {
            return mine(&there.bytes);
        }
        // Expiry binds the first use only: a machine whose answer was lost may ask again later.
        if invited.expires <= (self.clock)() {
            return Err(Refusal::InviteExpired(invited.expires));
        }
        let used = serde_json::to_vec(&Used {
            party: enrolled.party,
        })
        .unwrap_or_default();
        match self.store.create(&path, used.into()).await? {
            Created::New => Ok(true),
            Created::ThereAlready => {
                let there = self.store.get(&path, limits::ENVELOPE).await?;
                mine(there.as_ref().map_or(&[], |there| &there.bytes))
            }
        }
    }

    /// Writes the party's file. A party that was invited again keeps its newest enrolment.
    async fn write_party(&self, enrolled: &Enrolment, file: Bytes) -> Result<(), Refusal> {
        let path = names::party(&enrolled.party);
        let guard = self.store.lock(Class::Parties).await?;
        let withdrawn = names::withdrawn(&enrolled.invite);
        if self.store.stat(&withdrawn).await?.is_some() {
            return Err(Refusal::InviteWithdrawn);
        }
        let there = self.store.get(&path, PAIR).await?;
        let newer = |bytes: &[u8]| {
            let there: Enrolment = Pair::parse(bytes)?.envelopes().ok()?.0.unverified().ok()?;
            Some(there.signed >= enrolled.signed)
        };
        if there
            .as_ref()
            .and_then(|there| newer(&there.bytes))
            .unwrap_or(false)
        {
            return Ok(());
        }
        // A store without our lock may say that somebody was faster: the same party, asking twice.
        self.store
            .replace(&guard, &path, there.as_ref(), file)
            .await?;
        Ok(())
    }
}
