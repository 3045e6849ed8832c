//! The agent's one listening port: connections of parties, handed to the session they are for.
//!
//! Whoever connects must prove an identity and name a session of this agent in which that identity
//! dials; anybody else is let go without a word.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e3_core::digest::Digest;
use e3_core::key::PublicKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::frame::{self, Frame};
use super::link::{self, LinkEvents};
use super::tls::Identity;

/// A party may learn of a session before this one does; its connection is kept that long.
const PATIENCE: Duration = Duration::from_secs(10);
/// After the handshake the session must be named at once.
const HELLO: Duration = Duration::from_secs(5);
/// Connections that have not been handed over yet; strangers beyond it wait in the kernel.
const STRANGERS: usize = 256;

/// The sessions that take connections.
#[derive(Clone)]
pub struct Sessions {
    open: Arc<Mutex<HashMap<Digest, Entry>>>,
    changed: watch::Sender<()>,
}

#[derive(Clone)]
struct Entry {
    /// The parties that dial this one, with their places.
    diallers: Arc<HashMap<PublicKey, usize>>,
    events: LinkEvents,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            open: Arc::default(),
            changed: watch::Sender::new(()),
        }
    }
}

impl Sessions {
    /// Takes connections for a session from now on.
    pub fn open(&self, manifest: Digest, diallers: HashMap<PublicKey, usize>, events: LinkEvents) {
        let entry = Entry {
            diallers: Arc::new(diallers),
            events,
        };
        self.lock().insert(manifest, entry);
        self.changed.send_replace(());
    }

    /// Takes none any more.
    pub fn close(&self, manifest: &Digest) {
        self.lock().remove(manifest);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Entry>> {
        self.open
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn wait_for(&self, manifest: &Digest) -> Option<Entry> {
        let mut changes = self.changed.subscribe();
        let found = async {
            loop {
                if let Some(entry) = self.lock().get(manifest).cloned() {
                    return Some(entry);
                }
                changes.changed().await.ok()?;
            }
        };
        timeout(PATIENCE, found).await.ok().flatten()
    }
}

/// Accepts connections for ever.
pub async fn listen(listener: TcpListener, identity: Identity, sessions: Sessions) {
    let strangers = Arc::new(Semaphore::new(STRANGERS));
    loop {
        let Ok(permit) = Arc::clone(&strangers).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: let others finish first.
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let (identity, sessions) = (identity.clone(), sessions.clone());
        tokio::spawn(async move {
            let welcomed = welcome(stream, &identity, &sessions).await;
            drop(permit);
            if let Some((stream, party, events)) = welcomed {
                link::serve(stream, party, None, events).await;
            }
        });
    }
}

async fn welcome(
    stream: TcpStream,
    identity: &Identity,
    sessions: &Sessions,
) -> Option<(TlsStream<TcpStream>, usize, LinkEvents)> {
    let from: Option<SocketAddr> = stream.peer_addr().ok();
    let (mut stream, key) = match identity.accept(stream).await {
        Ok(accepted) => accepted,
        Err(error) => {
            tracing::debug!(?from, error = %error, "refused a connection");
            return None;
        }
    };
    let Ok(Ok(Frame::Hello { manifest })) = timeout(HELLO, frame::read(&mut stream)).await else {
        return None;
    };
    let entry = sessions.wait_for(&manifest).await?;
    let party = entry.diallers.get(&key).copied();
    if party.is_none() {
        tracing::warn!(?from, %key, %manifest, "refused a party that does not belong to this session");
    }
    Some((stream, party?, entry.events))
}
