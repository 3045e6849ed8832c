//! Taking immutable objects. There is no permission to upload but this: the object is a document
//! that enough fleet keys have signed, or such a document names it.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::response::Response;
use e3_core::digest::{Blob, Digest};
use e3_core::document::{Release, RoleName};
use e3_core::envelope::{Envelope, Verified};
use e3_core::key::PublicKey;
use e3_core::limits;
use serde::Deserialize;

use super::path::One;
use super::pure::pure;
use super::{Hub, Refusal, stored, to_the_end};
use crate::names::{self, Segment as _};
use crate::store::Created;

/// A digest of more bytes than this is computed in a thread of its own, so that nobody waits for it.
const LONG: usize = 256 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BlobQuery {
    kind: Option<Kind>,
    session: Option<String>,
    release: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Session,
    Release,
}

/// What the uploader says the object is.
enum Claim {
    Session,
    Release,
    /// Named by the session of that envelope.
    Part(Digest),
    /// Named by the release of that envelope.
    Binary(Digest),
}

impl BlobQuery {
    fn claim(self) -> Result<Claim, Refusal> {
        let read = |hex: &str| Digest::read(hex).ok_or(Refusal::Query);
        match (self.kind, self.session, self.release) {
            (Some(Kind::Session), None, None) => Ok(Claim::Session),
            (Some(Kind::Release), None, None) => Ok(Claim::Release),
            (None, Some(hex), None) => read(&hex).map(Claim::Part),
            (None, None, Some(hex)) => read(&hex).map(Claim::Binary),
            _ => Err(Refusal::Query),
        }
    }
}

pub(super) async fn write(
    State(hub): State<Arc<Hub>>,
    One(digest): One<Digest>,
    query: Result<Query<BlobQuery>, QueryRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    let claim = query.map_err(|_| Refusal::Query)?.0.claim()?;
    let path = names::blob(&digest);
    if hub.store.stat(&path).await?.is_some() {
        // Whatever the body is: the object of this name is here.
        return Ok(stored(false));
    }
    let limit = match claim {
        Claim::Session | Claim::Release => limits::ENVELOPE as u64,
        Claim::Part(session) => named(&hub, &session, &digest).await?,
        Claim::Binary(release) => released(&hub, &release, &digest).await?,
    };
    let taken = hub.take(request, limit).await?;
    let complete =
        matches!(claim, Claim::Session | Claim::Release) || taken.bytes.len() as u64 == limit;
    if !complete || digest_of(taken.bytes.clone()).await? != digest {
        return Err(Refusal::NotAsNamed);
    }
    let document = match claim {
        Claim::Session => Some(session(&hub, &taken.bytes).await?),
        Claim::Release => Some(release(&hub, &taken.bytes).await?),
        Claim::Part(_) | Claim::Binary(_) => None,
    };
    let (hub, bytes) = (Arc::clone(&hub), taken.bytes.clone());
    to_the_end(async move {
        let new = hub.store.create(&path, bytes).await? == Created::New;
        if let Some(document) = document.filter(|_| new) {
            hub.count_copy(document);
        }
        Ok(stored(new))
    })
    .await
}

/// How long the object is that the session names by this digest.
async fn named(hub: &Hub, session: &Digest, digest: &Digest) -> Result<u64, Refusal> {
    let envelope = hub.store.get(&names::blob(session), limits::ENVELOPE).await;
    // Something larger is no envelope either.
    let envelope = envelope.ok().flatten().ok_or(Refusal::SessionUnknown)?;
    let roots = hub.chain.refresh(&hub.store).await?;
    let session = roots.open_session(&envelope.bytes);
    let session = session
        .map_err(|error| Refusal::Envelope {
            what: "session",
            error,
        })?
        .document;
    let parts: [Blob; 2] = [session.program.pack, session.mpyc.wheel];
    parts
        .iter()
        .find(|part| part.digest == *digest)
        .map(|part| part.size)
        .ok_or(Refusal::NotNamed)
}

/// How long the binary is that the release names by this digest.
async fn released(hub: &Hub, release: &Digest, digest: &Digest) -> Result<u64, Refusal> {
    let envelope = hub.store.get(&names::blob(release), limits::ENVELOPE).await;
    // Something larger is no envelope either.
    let envelope = envelope.ok().flatten().ok_or(Refusal::ReleaseUnknown)?;
    let release = open_release(hub, &envelope.bytes).await?.document;
    let named = release.binaries.iter().find(|b| b.file.digest == *digest);
    named
        .map(|binary| binary.file.size)
        .ok_or(Refusal::NotNamed)
}

async fn session(hub: &Hub, bytes: &Bytes) -> Result<Digest, Refusal> {
    let refused = |error| Refusal::Envelope {
        what: "session",
        error,
    };
    let roots = hub.chain.refresh(&hub.store).await?;
    let session = roots.open_session(bytes).map_err(refused)?;
    let owners = session.document.owners();
    let keys: Vec<PublicKey> = roots
        .newest()
        .session
        .keys
        .iter()
        .chain(&owners)
        .copied()
        .collect();
    pure("session", bytes, limits::ENVELOPE, &keys)?;
    hub.check_copies(session.digest)?;
    Ok(session.digest)
}

async fn release(hub: &Hub, bytes: &Bytes) -> Result<Digest, Refusal> {
    let release = open_release(hub, bytes).await?;
    let roots = hub.chain.refresh(&hub.store).await?;
    pure(
        "release",
        bytes,
        limits::ENVELOPE,
        &roots.newest().release.keys,
    )?;
    hub.check_copies(release.digest)?;
    Ok(release.digest)
}

async fn open_release(hub: &Hub, bytes: &Bytes) -> Result<Verified<Release>, Refusal> {
    let refused = |error| Refusal::Envelope {
        what: "release",
        error,
    };
    let roots = hub.chain.refresh(&hub.store).await?;
    let root = roots.newest();
    let role = root.role(RoleName::Release);
    let envelope = Envelope::parse(bytes, limits::ENVELOPE).map_err(refused)?;
    let release = envelope
        .verify::<Release>(&role.keys, role.threshold)
        .map_err(refused)?;
    if (&release.document.fleet, release.document.epoch) != (&root.fleet, root.epoch) {
        return Err(Refusal::Strangers { what: "release" });
    }
    Ok(release)
}

async fn digest_of(bytes: Bytes) -> Result<Digest, Refusal> {
    if bytes.len() <= LONG {
        return Ok(Digest::of(&bytes));
    }
    tokio::task::spawn_blocking(move || Digest::of(&bytes))
        .await
        .map_err(|_| Refusal::Stopped)
}
