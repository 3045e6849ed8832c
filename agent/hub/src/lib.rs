//! E3's hub: the place where signed documents are published and machines enrol. It can withhold, it
//! can never forge.
//!
//! The hub is a tree of files in an object store that any web server, CDN or `file://` can serve
//! read-only, and this process in front of it, which takes writes, tells subscribers at once, and
//! shows a page. It keeps no state of its own: several processes may run over one store.
//!
//! | where | what |
//! |---|---|
//! | [`settings`] | what can be chosen, with defaults |
//! | `names` | from a request's path to the store, and nothing but that |
//! | `store` | bounded reads, atomic writes, a folder's lock |
//! | `roots` | the root chain, and what it says of heads and sessions (rules 4, 5, 9) |
//! | `api` | each request, each refusal |
//! | `events` | push |
//! | `page` | the fleet's page, and who is signed in |
//! | `control` | keys to the fleet's mesh from its control server, if it has one: a Headscale, or Tailscale's |
//! | `members` | the parties' keys on a mesh, for its relay |
//! | `server` | connections, caps, time limits |
//! | `tls` | certificates |
//!
//! The tree (`N` a root's version, `i` a party's place, hexadecimal SHA-256 names):
//!
//! ```text
//! head.json                      the head's envelope, the only mutable object besides presences
//! root/<N>.json                  root envelopes
//! sha256/<hex>                   session and release envelopes, programs, MPyC wheels
//! receipts/<manifest>/<i>.json   the first receipt of party i
//! presence/<did:key…>.json       the newest presence of a party
//! mesh/<backend>/<did:key…>.json the newest certificate of a party's key on a mesh
//! requests/<did:key…>.json       what an owner asks a party, for some minutes
//! answers/<did:key…>.json        what the party has answered, sealed to who has asked
//! parties/<did:key…>.json        {"enrolment": envelope, "invite": envelope}
//! invites/<invite>.json          {"party": "did:key…"}: who used it
//! ```
//!
//! A process that uses TLS for a store in S3 installs rustls' default provider first.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod api;
mod control;
mod error;
mod events;
mod members;
mod metrics;
mod names;
mod page;
mod roots;
mod server;
pub mod settings;
mod store;
mod tls;

use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use e3_core::limits;
use e3_core::time::Time;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use self::control::{Headscale, Tailscale};
pub use self::error::ServeError;
pub use self::settings::{Limits, Location, Page, S3, Settings, Tls};
pub use self::tls::{KeptCertificate, authority};

use self::roots::{Chain, Roots, canonical};
use self::store::{Class, Created, Replaced, Store, StoreError};

/// A running hub.
pub struct Bound {
    /// Where it listens, with the port that it got.
    pub address: SocketAddr,
    /// The certificate authority to put into join files, if the hub made one ([`Tls::SelfSigned`]).
    pub ca_pem: Option<String>,
    hub: Arc<api::Hub>,
    task: JoinHandle<()>,
}

impl Bound {
    /// The keys that enrolled parties name for this mesh in their presences: read anew as they change, until the receiver
    /// is dropped. Nothing before they have been read for the first time.
    pub fn mesh_keys(&self, backend: &str) -> watch::Receiver<Option<BTreeSet<String>>> {
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(members::follow(
            Arc::clone(&self.hub),
            backend.to_owned(),
            sender,
        ));
        receiver
    }

    /// Waits until the hub has stopped: after `shutdown`, when all answers are out.
    pub async fn stopped(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the hub ended badly");
        }
    }
}

/// Starts a hub on a store that [`init`] has prepared; returns once it listens. It stops when
/// `shutdown` is done.
///
/// # Errors
/// Only what prevents the start; see [`ServeError`].
pub async fn serve(
    settings: Settings,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<Bound, ServeError> {
    raise_file_limit();
    let store = Store::open(&settings.location, (settings.clock)())?;
    let chain = Chain::load(&store).await.map_err(storage)?;
    let location = || settings.location.to_string();
    let chain = chain.ok_or_else(|| ServeError::NotInitialised {
        location: location(),
    })?;
    let chain = chain.map_err(ServeError::Root)?;
    let controls = control::Server::open(&settings)?;
    let tls = tls::Certificates::open(&settings.tls, settings.clock)?;
    let address = settings.listen;
    let failed = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    // Nothing depends on it.
    let udp = UdpSocket::bind(address).await.inspect_err(|error| {
        tracing::warn!(%address, %error, "no answers by UDP: machines cannot tell why a mesh that needs it does not work");
    });
    let ca_pem = tls.as_ref().and_then(|tls| tls.ca_pem.clone());
    let (acceptor, renewal) = tls.map(tls::Certificates::run).unzip();
    let hub = api::Hub::new(
        store,
        chain,
        settings.limits,
        settings.clock,
        controls,
        settings.page,
    );
    let hub = Arc::new(hub);
    let serving = Arc::clone(&hub);
    let task = tokio::spawn(async move {
        let cleaning = tokio::spawn(api::clean(Arc::clone(&serving)));
        server::run(serving, listener, udp.ok(), acceptor, shutdown).await;
        cleaning.abort();
        drop(renewal);
    });
    Ok(Bound {
        address,
        ca_pem,
        hub,
        task,
    })
}

/// Prepares an empty store: puts the first root there, and the first head if there is one. Doing it
/// again with the same documents changes nothing.
///
/// # Errors
/// The documents are not good, or others are there already.
pub async fn init(
    location: &Location,
    root: &[u8],
    head: Option<&[u8]>,
    now: Time,
) -> Result<(), ServeError> {
    let root = Bytes::copy_from_slice(root);
    canonical(&root, limits::ENVELOPE).map_err(ServeError::Envelope)?;
    let roots = Roots::first(&root).map_err(ServeError::Root)?;
    let version = roots.newest().version;
    if version != 1 {
        return Err(ServeError::RootVersion { version });
    }
    let head = head.map(Bytes::copy_from_slice);
    if let Some(head) = &head {
        canonical(head, limits::HEAD).map_err(ServeError::Envelope)?;
        roots
            .judge_head(None, head, now)
            .map_err(ServeError::Head)?;
    }
    let store = Store::open(location, now)?;
    let other = || ServeError::AlreadyInitialised {
        location: location.to_string(),
    };
    if store
        .create(&names::root(1), root.clone())
        .await
        .map_err(storage)?
        == Created::ThereAlready
    {
        let there = store
            .get(&names::root(1), limits::ENVELOPE)
            .await
            .map_err(storage)?;
        if there.is_none_or(|there| there.bytes != root) {
            return Err(other());
        }
    }
    let Some(head) = head else { return Ok(()) };
    let guard = store.lock(Class::Head).await.map_err(storage)?;
    match store
        .get(&names::head(), limits::HEAD)
        .await
        .map_err(storage)?
    {
        Some(there) if there.bytes == head => Ok(()),
        Some(_) => Err(other()),
        None => match store
            .replace(&guard, &names::head(), None, head)
            .await
            .map_err(storage)?
        {
            Replaced::Done => Ok(()),
            Replaced::Changed => Err(other()),
        },
    }
}

fn storage(error: StoreError) -> ServeError {
    ServeError::Storage(Box::new(error))
}

/// Each connection is a file handle, and many systems give a process 1,024 unless it asks.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
        } else {
            Ok(())
        }
    });
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files cannot be raised; it bounds the number of connections");
    }
}
