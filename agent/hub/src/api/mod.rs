//! The HTTP API: which request goes where, and what all of them share.
//!
//! Reads are the static tree; each write is judged by `e3-core`'s rules before it touches the store.
//! There are no accounts: a signature of the right key is the only permission.

mod blob;
mod body;
mod enrol;
mod grant;
mod head;
mod listing;
mod mesh_key;
mod pace;
mod path;
mod presence;
mod pure;
mod read;
mod receipt;
mod refusal;
mod request;
mod root;
mod withdraw;

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use e3_core::digest::Digest;
use e3_core::mesh::stun;
use e3_core::time::Time;
use serde::Deserialize;
use tokio::sync::{Notify, Semaphore};

pub(crate) use self::enrol::Pair;
pub(crate) use self::listing::Listed;
pub(crate) use self::mesh_key::clean;
pub(crate) use self::path::One;
pub(crate) use self::refusal::{FromStore, Refusal};
use crate::control::Server;
use crate::events::{Subscribers, Topics};
use crate::metrics::Metrics;
use crate::roots::Chain;
use crate::settings::{Limits, Page};
use crate::store::Store;

/// What all requests share. Nothing in it is needed after a restart.
pub(crate) struct Hub {
    pub(crate) store: Store,
    pub(crate) chain: Chain,
    pub(crate) subscribers: Arc<Subscribers>,
    pub(crate) metrics: Metrics,
    pub(crate) limits: Limits,
    pub(crate) clock: fn() -> Time,
    /// Make keys to the fleet's meshes.
    controls: Vec<Server>,
    asked: mesh_key::Asked,
    head: head::Cache,
    /// For whoever does something about it here.
    head_changed: Notify,
    listing: listing::Cache,
    pub(crate) page: crate::page::Kept,
    /// Who is shown the page.
    pub(crate) shows: Page,
    pace: pace::Pace,
    /// Whether UDP from elsewhere has got here.
    pub(crate) heard_by_udp: AtomicBool,
    /// Of questions to parties, by who asks.
    asking: pace::Pace,
    /// Bytes of request bodies that may still be taken into memory.
    bodies: Arc<Semaphore>,
    /// How often each signed document has been stored by this process under another name.
    copies: Mutex<HashMap<Digest, u32>>,
}

/// Envelopes that one signed document may be stored as: its signatures can be left out and put in
/// another order by anybody, and each arrangement has another digest.
const COPIES: u32 = 64;

impl Hub {
    pub(crate) fn new(
        store: Store,
        chain: Chain,
        limits: Limits,
        clock: fn() -> Time,
        controls: Vec<Server>,
        shows: Page,
    ) -> Self {
        Self {
            store,
            chain,
            subscribers: Arc::default(),
            metrics: Metrics::default(),
            bodies: Arc::new(Semaphore::new(limits.bodies.min(Semaphore::MAX_PERMITS))),
            limits,
            clock,
            controls,
            asked: mesh_key::Asked::default(),
            head: head::Cache::default(),
            head_changed: Notify::new(),
            listing: listing::Cache::default(),
            page: crate::page::Kept::default(),
            shows,
            pace: pace::Pace::default(),
            heard_by_udp: AtomicBool::new(false),
            asking: pace::Pace::default(),
            copies: Mutex::default(),
        }
    }

    /// Whether one more envelope of a document may be stored.
    fn check_copies(&self, document: Digest) -> Result<(), Refusal> {
        let copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let full = copies.get(&document).is_some_and(|count| *count >= COPIES);
        if full {
            Err(Refusal::TooManyCopies)
        } else {
            Ok(())
        }
    }

    /// Counts one more; only what has been stored counts, so that nobody is shut out by a full disk.
    fn count_copy(&self, document: Digest) {
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        *copies.entry(document).or_default() += 1;
    }
}

/// The routes.
pub(crate) fn router(hub: Arc<Hub>) -> Router {
    Router::new()
        .merge(crate::page::routes(hub.shows))
        .route("/head.json", get(head::read).put(head::write))
        .route("/root/{name}", get(read::root).put(root::write))
        .route("/sha256/{name}", get(read::blob).put(blob::write))
        .route(
            "/receipts/{manifest}/{name}",
            get(read::receipt).put(receipt::write),
        )
        .route("/presence/{name}", get(read::presence).put(presence::write))
        .route("/mesh/{backend}/{name}", get(read::grant).put(grant::write))
        .route("/requests/{name}", get(request::read).put(request::write))
        .route(
            "/answers/{name}",
            get(request::read_answer).put(request::answer),
        )
        .route("/parties/{name}", get(read::party))
        .route("/invites/{name}", get(read::invite))
        .route(
            "/withdrawn/{name}",
            get(read::withdrawn).put(withdraw::write),
        )
        .route("/v1/enrol", post(enrol::enrol))
        .route("/v1/mesh/{backend}/key", post(mesh_key::make))
        .route("/v1/parties", get(listing::parties))
        .route("/v1/sessions/{manifest}/receipts", get(listing::receipts))
        .route("/v1/events", get(events))
        .route("/v1/udp", get(udp))
        .route("/metrics", get(metrics))
        .fallback(async || Refusal::NotFound)
        .method_not_allowed_fallback(async || Refusal::Method)
        .layer(map_response(as_it_says))
        .with_state(hub)
}

/// What lies here is what its type says, whatever a browser makes of its first bytes.
async fn as_it_says(mut response: Response) -> Response {
    let nosniff = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

/// Carries a write out to its end, also when whoever asked for it has gone away: what has been
/// stored is announced.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::spawn(work).await.unwrap_or(Err(Refusal::Stopped))
}

/// 201 for what is new, 200 for what was there already.
fn stored(new: bool) -> Response {
    if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    }
    .into_response()
}

pub(crate) const JSON: (HeaderName, &str) = (CONTENT_TYPE, "application/json");
/// Caches must ask before they use it.
const MUTABLE: (HeaderName, &str) = (CACHE_CONTROL, "no-cache");

#[derive(Deserialize)]
struct EventsQuery {
    topics: String,
}

async fn events(
    State(hub): State<Arc<Hub>>,
    query: Result<Query<EventsQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Refusal> {
    let topics = query
        .ok()
        .and_then(|query| Topics::read(&query.topics))
        .ok_or(Refusal::Topics)?;
    // What other hubs have published since nobody was here to be told.
    hub.refresh_head().await?;
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        MUTABLE,
        // nginx would hold events back.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((
        headers,
        axum::body::Body::new(hub.subscribers.subscribe(topics)),
    )
        .into_response())
}

/// For a machine that gets no answer by UDP: whether that is because of its own network.
async fn udp(State(hub): State<Arc<Hub>>) -> Response {
    let text = stun::heard(hub.heard_by_udp.load(Ordering::Relaxed));
    ([JSON, MUTABLE], text).into_response()
}

async fn metrics(State(hub): State<Arc<Hub>>) -> Response {
    let text = hub.metrics.render(hub.subscribers.count());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4"), MUTABLE], text).into_response()
}
