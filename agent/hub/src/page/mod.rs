//! The fleet's page, for people: what the hub's documents say, as HTML that works without a script.
//!
//! | where | what |
//! |---|---|
//! | `model` | the fleet, read from the store |
//! | `html` | the frame of every page, and small words |
//! | `fleet`, `sessions`, `trips`, `journal` | the parts of the first page |
//! | `add` | how a machine joins |
//! | `sign_in`, `door`, `pace` | who is signed in, and how often one may try |
//! | `files` | style, script, icon |
//!
//! The hub is not trusted, and holds no owner's key. So nothing can be changed here: where something must be decided, the page shows
//! the command that its owner runs where the key is. It does not even keep a wish for that command to find: a hub that was taken over
//! could make wishes up, and an owner who is used to see his own there would stop comparing the six words.
//!
//! Strangers see a summary, and owners who have signed in ([`sign_in`]) everything, unless [`crate::settings::Page`] says otherwise.
//! It keeps nobody from the documents themselves: whoever reaches the hub can read those, signed in or not.

mod add;
mod door;
mod files;
mod fleet;
mod html;
mod journal;
mod model;
mod pace;
mod sessions;
mod sign_in;
mod trips;

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, VARY,
};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use maud::Markup;

use self::fleet::Wanted;
use self::html::Frame;
use crate::api::{Hub, Refusal};
use crate::settings::Page;

pub(crate) use self::sign_in::From;

/// What the pages need besides the store. Nothing in it is needed after a restart.
#[derive(Default)]
pub(crate) struct Kept {
    model: model::Cache,
    door: door::Door,
    pace: pace::Pace,
}

/// Nothing but this hub's own files, nothing inline, no frames, forms to this hub alone.
const POLICY: (HeaderName, &str) = (
    CONTENT_SECURITY_POLICY,
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);
/// Nobody keeps what was made for one visitor.
const PRIVATE: [(HeaderName, &str); 2] = [(CACHE_CONTROL, "no-store"), (VARY, "cookie")];

/// The pages' routes, if there are any.
pub(crate) fn routes(page: Page) -> Router<Arc<Hub>> {
    if page == Page::Off {
        return Router::new();
    }
    Router::new()
        .route("/", get(show))
        .route("/add", get(show_add))
        .route("/sign-in", get(sign_in::show).post(sign_in::enter))
        .route("/sign-out", post(sign_in::leave))
        .route("/page/{name}", get(files::show))
        .route("/v1/login/challenge", post(sign_in::challenge))
        .route("/v1/login", post(sign_in::login))
}

/// A page with its headers.
fn respond(page: &Markup) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        POLICY,
        // Not `no-referrer`: forms of such a page do not say where they come from.
        (REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (HeaderName::from_static("x-frame-options"), "DENY"),
    ];
    (PRIVATE, headers, page.0.clone()).into_response()
}

async fn show(
    State(hub): State<Arc<Hub>>,
    query: Result<Query<Wanted>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let visitor = sign_in::visitor(&hub, &headers).await?;
    if visitor.is_none() && hub.shows == Page::Owners {
        return Ok((StatusCode::SEE_OTHER, PRIVATE, [("location", "sign-in")]).into_response());
    }
    let model = hub.model().await?;
    // A question that is not understood asks for nothing in particular.
    let wanted = query.map(|Query(wanted)| wanted).unwrap_or_default();
    let frame = Frame {
        fleet: model.root.fleet.as_str(),
        title: "Fleet",
        at: "",
        visitor: visitor.as_ref(),
    };
    let main = fleet::view(&model, visitor.as_ref(), &wanted);
    Ok(respond(&frame.page(&main)))
}

async fn show_add(State(hub): State<Arc<Hub>>, headers: HeaderMap) -> Result<Response, Refusal> {
    let visitor = sign_in::visitor(&hub, &headers).await?;
    let roots = hub.chain.current();
    let fleet = roots.newest().fleet.as_str();
    let frame = Frame {
        fleet,
        title: "Add a machine",
        at: "add",
        visitor: visitor.as_ref(),
    };
    Ok(respond(&frame.page(&add::view(fleet))))
}
