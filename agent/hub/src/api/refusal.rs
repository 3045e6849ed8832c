//! Every way in which the hub says no: status, a word for scripts, what happened, what to do.
//!
//! Nothing in here tells of the machine: no paths, no causes from below; those go to the log.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use e3_core::envelope::EnvelopeError;
use e3_core::time::Time;
use e3_core::trust::TrustError;
use serde::Serialize;

use crate::store::StoreError;

/// Why a request is refused.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("There is no such document here.")]
    NotFound,
    #[error("This cannot be done with that address.")]
    Method,
    #[error("The question after `?` is missing or not understood.")]
    Query,
    #[error("`topics` is missing or names something unknown.")]
    Topics,
    #[error("The body is larger than {limit} bytes.")]
    TooLarge { limit: u64 },
    #[error("The body came too slowly.")]
    Slow,
    #[error("The body ended early.")]
    CutOff,
    #[error("The body is not the JSON that this address takes.")]
    Json,
    #[error("The hub holds as many uploads as it can.")]
    Busy,
    #[error("The bytes are not the ones that their name says.")]
    NotAsNamed,
    #[error("The {what} is refused: {error}.")]
    Envelope {
        what: &'static str,
        error: EnvelopeError,
    },
    #[error("The root is refused: {0}.")]
    Root(TrustError),
    #[error("The head is refused: {0}.")]
    Head(TrustError),
    #[error(
        "Publishing a head needs `If-Match` with the tag of the head that it replaces, or `If-None-Match: *`."
    )]
    Unconditional,
    #[error("The head has changed since it was read.")]
    Changed,
    #[error("There is another root of this version.")]
    OtherRoot,
    #[error("The {what} carries signatures of keys that have no say in it.")]
    Strangers { what: &'static str },
    #[error("This document has been stored in too many variants.")]
    TooManyCopies,
    #[error("The session's envelope is not here.")]
    SessionUnknown,
    #[error("The release that should name this object is not here.")]
    ReleaseUnknown,
    #[error("The session or release does not name this object.")]
    NotNamed,
    #[error("The receipt is refused: {0}.")]
    Receipt(String),
    #[error("There is another receipt of this party for this session.")]
    OtherReceipt,
    #[error("This party has not enrolled here.")]
    NotEnrolled,
    #[error("The presence is of another fleet or party.")]
    PresenceOf,
    #[error("A presence with counter {stored} is here already, this one has {found}.")]
    PresenceOld { stored: u64, found: u64 },
    #[error("This party publishes its presence too often.")]
    TooManyPresences,
    #[error("A certificate that was signed later, or at the same time, is here already.")]
    OldGrant,
    #[error("This hub makes no keys to that mesh.")]
    NoKeys,
    #[error("The fleet's head does not have this party join that mesh.")]
    OtherMesh,
    #[error("The request for a key to the mesh is refused: {0}.")]
    KeyRequest(EnvelopeError),
    #[error("A request that was signed later, or at the same time, has been answered already.")]
    OldRequest,
    #[error("This party asks for keys to the mesh too often.")]
    TooManyKeys,
    #[error("The login is refused: {0}.")]
    Login(EnvelopeError),
    #[error("The login is for another hub than the one that it was sent to.")]
    OtherHub,
    #[error("The challenge is not of this hub, too old, or used.")]
    Challenge,
    #[error("Too many have tried to sign in from this network.")]
    TooManySignIns,
    #[error("The form was not sent from this hub's page.")]
    OtherSite,
    #[error("The mesh's control server does not help.")]
    Control,
    #[error("The request to the party is refused: {0}.")]
    PartyRequest(EnvelopeError),
    #[error(
        "The request to the party was signed more than five minutes before or after the hub's clock says."
    )]
    StaleRequest,
    #[error("This owner asks parties too often.")]
    TooManyRequests,
    #[error("Nobody has asked this party that.")]
    Unasked,
    #[error("The party has answered this already.")]
    Answered,
    #[error("The enrolment is refused: {0}.")]
    Enrolment(EnvelopeError),
    #[error("The invite expired at {0}.")]
    InviteExpired(Time),
    #[error("Another machine has used this invite.")]
    InviteUsed,
    #[error("The owner has taken this invite back.")]
    InviteWithdrawn,
    #[error("The hub's disk is full; nothing has been stored.")]
    Full,
    #[error("The hub's store does not work at the moment.")]
    Store(#[source] Arc<StoreError>),
    #[error("The hub is stopping.")]
    Stopped,
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full(_) => Self::Full,
            other => Self::Store(Arc::new(other)),
        }
    }
}

impl Refusal {
    /// Status, kind and remedy: the whole table.
    fn row(&self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::NotFound => (S::NOT_FOUND, "not-found", "Check the address."),
            Self::Method => (
                S::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Documents are read with GET and published with PUT.",
            ),
            Self::Query => (
                S::BAD_REQUEST,
                "bad-query",
                "Say `?kind=session`, `?kind=release`, or `?session=` or `?release=` and the digest of the envelope.",
            ),
            Self::Topics => (
                S::BAD_REQUEST,
                "bad-topics",
                "Say `?topics=` and any of head,receipt,presence.",
            ),
            Self::TooLarge { .. } => (
                S::PAYLOAD_TOO_LARGE,
                "too-large",
                "Send a smaller document.",
            ),
            Self::Slow => (
                S::REQUEST_TIMEOUT,
                "too-slow",
                "Send it again over a faster connection.",
            ),
            Self::CutOff => (S::BAD_REQUEST, "cut-off", "Send it again."),
            Self::Json => (
                S::BAD_REQUEST,
                "bad-json",
                "Send {\"enrolment\": envelope, \"invite\": envelope}.",
            ),
            Self::Busy => (S::SERVICE_UNAVAILABLE, "busy", "Try again in a minute."),
            Self::NotAsNamed => (
                S::BAD_REQUEST,
                "not-as-named",
                "Name the object by the SHA-256 of its bytes, and send all of them.",
            ),
            Self::Envelope { .. } => (
                S::FORBIDDEN,
                "refused",
                "Have it signed by enough keys of the role that the fleet's root names.",
            ),
            Self::Root(_) => (
                S::FORBIDDEN,
                "root-refused",
                "Sign the next root with enough keys of the old and of the new root.",
            ),
            Self::Head(_) => (
                S::FORBIDDEN,
                "head-refused",
                "Read the current root and head, then sign a head that follows them.",
            ),
            Self::Unconditional => (
                S::PRECONDITION_REQUIRED,
                "condition-missing",
                "Read the head first, then publish with its tag.",
            ),
            Self::Changed => (
                S::PRECONDITION_FAILED,
                "changed",
                "Read the head again, add to it what is yours, and publish that.",
            ),
            Self::OtherRoot => (
                S::CONFLICT,
                "root-exists",
                "Read it, and sign the version after it.",
            ),
            Self::Strangers { .. } => (
                S::FORBIDDEN,
                "strange-signature",
                "Leave out signatures of keys that are neither in the role nor a party's owner, and signatures that are not valid.",
            ),
            Self::TooManyCopies => (
                S::TOO_MANY_REQUESTS,
                "too-many-copies",
                "Use one of the envelopes that are here.",
            ),
            Self::SessionUnknown => (
                S::FORBIDDEN,
                "session-unknown",
                "Upload the session's envelope first.",
            ),
            Self::ReleaseUnknown => (
                S::FORBIDDEN,
                "release-unknown",
                "Upload the release's envelope first.",
            ),
            Self::NotNamed => (
                S::FORBIDDEN,
                "not-named",
                "Upload only what a signed session names as its program or its MPyC, or a signed release as a binary.",
            ),
            Self::Receipt(_) => (
                S::FORBIDDEN,
                "receipt-refused",
                "A receipt is signed by its own party, for its own place in that session.",
            ),
            Self::OtherReceipt => (
                S::CONFLICT,
                "receipt-exists",
                "The first receipt stands; read it.",
            ),
            Self::NotEnrolled => (S::FORBIDDEN, "not-enrolled", "Enrol the machine first."),
            Self::PresenceOf => (
                S::FORBIDDEN,
                "presence-refused",
                "A party publishes its own presence, in its own fleet.",
            ),
            Self::OldGrant => (
                S::CONFLICT,
                "grant-old",
                "Read the certificate that is here; if it is not good, sign another one now.",
            ),
            Self::PresenceOld { .. } => (
                S::CONFLICT,
                "presence-old",
                "Sign a presence with a higher counter.",
            ),
            Self::TooManyPresences => (
                S::TOO_MANY_REQUESTS,
                "too-many-presences",
                "Wait some seconds; only the newest one counts.",
            ),
            Self::NoKeys => (
                S::FORBIDDEN,
                "no-mesh-keys",
                "Start the hub with --headscale and --headscale-key-file, or with --tailscale-oauth-file; with Tailscale a machine's owner can also put a key on it.",
            ),
            Self::OtherMesh => (
                S::FORBIDDEN,
                "other-mesh",
                "Read the newest head; ask the fleet's owner if it should be otherwise.",
            ),
            Self::KeyRequest(_) => (
                S::FORBIDDEN,
                "key-request-refused",
                "A party asks for itself, in its own fleet, with a clock that is right.",
            ),
            Self::OldRequest => (S::CONFLICT, "request-old", "Sign another one now."),
            Self::TooManyKeys => (
                S::TOO_MANY_REQUESTS,
                "too-many-keys",
                "Wait half a minute; each key is good for one attempt.",
            ),
            Self::Login(_) => (
                S::FORBIDDEN,
                "login-refused",
                "Sign in with the key of an owner, or of somebody who signs for the fleet.",
            ),
            Self::OtherHub => (
                S::FORBIDDEN,
                "other-hub",
                "Name the hub in fleet.toml as it is reached. A proxy in front of it must pass the Host header on.",
            ),
            Self::Challenge => (
                S::CONFLICT,
                "challenge-old",
                "Run `e3 login` again. Where several hubs stand behind one name, each visitor must stay with one.",
            ),
            Self::TooManySignIns => (S::TOO_MANY_REQUESTS, "too-many-sign-ins", "Wait a minute."),
            Self::OtherSite => (S::FORBIDDEN, "other-site", "Use the page itself."),
            Self::Control => (
                S::BAD_GATEWAY,
                "control-server",
                "Check that it runs and that the hub's key to it is good; the hub's log says more.",
            ),
            Self::PartyRequest(_) => (
                S::FORBIDDEN,
                "party-request-refused",
                "Ask with the key of an owner of this fleet.",
            ),
            Self::StaleRequest => (
                S::FORBIDDEN,
                "request-stale",
                "Set this machine's clock, or the hub's.",
            ),
            Self::TooManyRequests => (
                S::TOO_MANY_REQUESTS,
                "too-many-requests",
                "Wait some seconds.",
            ),
            Self::Unasked => (
                S::FORBIDDEN,
                "unasked",
                "An answer fits the newest request to its party.",
            ),
            Self::Answered => (S::CONFLICT, "answered", "The first answer stands."),
            Self::Enrolment(_) => (
                S::FORBIDDEN,
                "enrolment-refused",
                "Ask the owner for a new join token of this fleet.",
            ),
            Self::InviteExpired(_) => (
                S::FORBIDDEN,
                "invite-expired",
                "Ask the owner for a new join token.",
            ),
            Self::InviteUsed => (
                S::CONFLICT,
                "invite-used",
                "Ask the owner for a new join token; if nobody else should have had this one, tell the owner.",
            ),
            Self::InviteWithdrawn => (
                S::FORBIDDEN,
                "invite-withdrawn",
                "Ask the owner for a new join token if this machine should be in the fleet.",
            ),
            Self::Full => (
                S::INSUFFICIENT_STORAGE,
                "disk-full",
                "Make room on the hub; reading goes on.",
            ),
            Self::Store(_) => (
                S::INTERNAL_SERVER_ERROR,
                "store-error",
                "Try again; the hub's log says more.",
            ),
            Self::Stopped => (S::SERVICE_UNAVAILABLE, "stopping", "Try again in a moment."),
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    error: &'a str,
    message: &'a str,
    remedy: &'a str,
}

/// Marks an answer whose cause lies in the store, so that it is counted.
#[derive(Clone)]
pub(crate) struct FromStore;

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, kind, remedy) = self.row();
        let message = self.to_string();
        let body = serde_json::to_vec(&Body {
            error: kind,
            message: &message,
            remedy,
        })
        .unwrap_or_default();
        let mut response = (status, [super::JSON], body).into_response();
        if let Self::Store(source) = &self {
            tracing::error!(error = %chain(source.as_ref()), "the store failed");
        }
        if matches!(self, Self::Store(_) | Self::Full) {
            response.extensions_mut().insert(FromStore);
        }
        response
    }
}

/// An error and its causes on one line, for the log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
