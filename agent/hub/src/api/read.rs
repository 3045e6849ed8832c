//! Reading the static tree: the same bytes that any web server over the same files would give.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderName, Method};
use axum::response::{IntoResponse, Response};
use e3_core::digest::Digest;
use e3_core::key::PublicKey;
use e3_core::limits;
use object_store::path::Path;

use super::path::{One, Two};
use super::{Hub, JSON, MUTABLE, Refusal};
use crate::names::{self, Backend, Json};

/// It is named by its hash, or written once.
const IMMUTABLE: (HeaderName, &str) = (CACHE_CONTROL, "public, max-age=31536000, immutable");
/// A party's file holds two envelopes.
const PARTY: usize = 2 * limits::ENVELOPE + 1024;

async fn document(
    hub: &Hub,
    path: &Path,
    cache: (HeaderName, &'static str),
) -> Result<Response, Refusal> {
    let object = hub.store.get(path, PARTY).await?.ok_or(Refusal::NotFound)?;
    Ok(([JSON, cache], object.bytes).into_response())
}

pub(super) async fn root(
    State(hub): State<Arc<Hub>>,
    One(Json(version)): One<Json<u64>>,
) -> Result<Response, Refusal> {
    document(&hub, &names::root(version), IMMUTABLE).await
}

pub(super) async fn blob(
    State(hub): State<Arc<Hub>>,
    One(digest): One<Digest>,
    method: Method,
) -> Result<Response, Refusal> {
    let path = names::blob(&digest);
    // Who only asks whether it is there costs no reading of it.
    let (size, body) = if method == Method::HEAD {
        let found = hub.store.stat(&path).await?.ok_or(Refusal::NotFound)?;
        (found.size, Body::empty())
    } else {
        let found = hub.store.stream(&path).await?.ok_or(Refusal::NotFound)?;
        (found.0, Body::from_stream(found.1))
    };
    let headers = [(CONTENT_TYPE, "application/octet-stream"), IMMUTABLE];
    Ok((headers, [(CONTENT_LENGTH, size)], body).into_response())
}

pub(super) async fn receipt(
    State(hub): State<Arc<Hub>>,
    Two(manifest, Json(party)): Two<Digest, Json<usize>>,
) -> Result<Response, Refusal> {
    document(&hub, &names::receipt(&manifest, party), IMMUTABLE).await
}

pub(super) async fn presence(
    State(hub): State<Arc<Hub>>,
    One(Json(party)): One<Json<PublicKey>>,
) -> Result<Response, Refusal> {
    document(&hub, &names::presence(&party), MUTABLE).await
}

pub(super) async fn grant(
    State(hub): State<Arc<Hub>>,
    Two(backend, Json(party)): Two<Backend, Json<PublicKey>>,
) -> Result<Response, Refusal> {
    document(&hub, &names::grant(&backend, &party), MUTABLE).await
}

pub(super) async fn party(
    State(hub): State<Arc<Hub>>,
    One(Json(party)): One<Json<PublicKey>>,
) -> Result<Response, Refusal> {
    document(&hub, &names::party(&party), MUTABLE).await
}

pub(super) async fn invite(
    State(hub): State<Arc<Hub>>,
    One(Json(invite)): One<Json<Digest>>,
) -> Result<Response, Refusal> {
    document(&hub, &names::invite(&invite), IMMUTABLE).await
}

pub(super) async fn withdrawn(
    State(hub): State<Arc<Hub>>,
    One(Json(invite)): One<Json<Digest>>,
) -> Result<Response, Refusal> {
    document(&hub, &names::withdrawn(&invite), IMMUTABLE).await
}
