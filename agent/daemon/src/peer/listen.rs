//! The agent's one listening port: connections of parties, handed to the session they are for.
//!
//! Whoever connects must prove an identity and name a session of this agent in which that identity
//! dials; anybody else is let go without a word.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use e3_core::digest::Digest;
use e3_core::key::PublicKey;
use e3_core::mesh::Prefix;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::frame::{self, Frame};
use super::link::{self, LinkEvents, Pace, Peer};
use super::tls::Identity;

/// A party may learn of a session before this one does; its connection is kept that long.
const PATIENCE: Duration = Duration::from_secs(10);
/// After the handshake the session must be named at once.
const HELLO: Duration = Duration::from_secs(5);
/// Connections that have not been handed over yet; strangers beyond it wait in the kernel ...
const STRANGERS: usize = 256;
/// ... and of one address (of one network, with IPv6), so that nobody alone keeps all others out. More
/// than any number of sessions that a neighbour has with this party. In the fleet's mesh, where all are of one network,
/// nobody has an address but the one that follows from its key, so it is of one address there, too.
const NEIGHBOURS: usize = 64;

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
    pace: Pace,
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
    pub fn open(
        &self,
        manifest: Digest,
        diallers: HashMap<PublicKey, usize>,
        pace: Pace,
        events: LinkEvents,
    ) {
        let entry = Entry {
            diallers: Arc::new(diallers),
            pace,
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
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Accepts connections for ever; `meshes` are the networks of the fleet's own.
pub async fn listen(
    listener: TcpListener,
    identity: Identity,
    sessions: Sessions,
    meshes: Arc<[Prefix]>,
) {
    let strangers = Arc::new(Semaphore::new(STRANGERS));
    let neighbours = Neighbours::of(meshes);
    loop {
        let Ok(permit) = Arc::clone(&strangers).acquire_owned().await else {
            return;
        };
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: let others finish first.
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let Some(place) = neighbours.take(from.ip()) else {
            tracing::debug!(%from, "too many strangers from there");
            continue;
        };
        let (identity, sessions) = (identity.clone(), sessions.clone());
        tokio::spawn(async move {
            let welcomed = welcome(stream, &identity, &sessions).await;
            drop((permit, place));
            if let Some((stream, party, entry)) = welcomed {
                let peer = Peer {
                    party,
                    address: link::address_of(stream.get_ref().0),
                    round_trip: None,
                };
                link::serve(stream, peer, entry.pace, entry.events).await;
            }
        });
    }
}

/// Strangers by where they come from.
#[derive(Clone)]
struct Neighbours {
    meshes: Arc<[Prefix]>,
    places: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A stranger's place, until it is dropped.
struct Place(Neighbours, IpAddr);

impl Neighbours {
    /// None yet.
    fn of(meshes: Arc<[Prefix]>) -> Self {
        let places = Arc::default();
        Self { meshes, places }
    }

    fn take(&self, address: IpAddr) -> Option<Place> {
        let in_mesh = |v6: &Ipv6Addr| self.meshes.iter().any(|mesh| mesh.contains(v6));
        let network = match address.to_canonical() {
            IpAddr::V6(v6) if !in_mesh(&v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
            one => one,
        };
        let mut places = self.lock();
        let taken = places.entry(network).or_default();
        if *taken >= NEIGHBOURS {
            return None;
        }
        *taken += 1;
        Some(Place(self.clone(), network))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.0.lock();
        if let Some(taken) = places.get_mut(&self.1) {
            *taken -= 1;
            if *taken == 0 {
                places.remove(&self.1);
            }
        }
    }
}

async fn welcome(
    stream: TcpStream,
    identity: &Identity,
    sessions: &Sessions,
) -> Option<(TlsStream<TcpStream>, usize, Entry)> {
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
    Some((stream, party?, entry))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Instant;

    use e3_core::key::SecretKey;
    use tokio::net::TcpSocket;
    use tokio::sync::mpsc;

    use super::super::link::{LinkEvent, SESSION};
    use super::*;

    fn mesh() -> Prefix {
        Prefix::of(&Digest::of(b"root"), "nebula")
    }

    /// Connects from this address of this machine.
    async fn from(address: [u8; 4], to: SocketAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::from(address), 0).into()).unwrap();
        socket.connect(to).await.unwrap()
    }

    #[tokio::test]
    async fn more_strangers_than_there_are_places_do_not_keep_a_party_out() {
        let [own, party] = [1, 2].map(|n| SecretKey::from_seed(&[n; 32]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let (sessions, manifest) = (Sessions::default(), Digest::of(b"session"));
        let (events, mut told) = mpsc::channel(4);
        sessions.open(
            manifest,
            HashMap::from([(party.public(), 1)]),
            SESSION,
            events,
        );
        let identity = Identity::new(&own).unwrap();
        let listening = tokio::spawn(listen(listener, identity, sessions, [mesh()].into()));
        // They connect, say nothing and stay.
        let mut strangers = Vec::new();
        for _ in 0..STRANGERS + NEIGHBOURS {
            strangers.push(from([127, 0, 0, 1], to).await);
        }
        let begin = Instant::now();
        let dialler = Identity::new(&party).unwrap();
        let stream = from([127, 0, 0, 2], to).await;
        let mut stream = dialler.connect(stream, own.public(), HELLO).await.unwrap();
        frame::write(&mut stream, &Frame::Hello { manifest })
            .await
            .unwrap();
        let up = timeout(HELLO, told.recv()).await.unwrap().unwrap();
        assert!(matches!(up, (1, LinkEvent::Up(..))));
        // Had it waited for a place, a stranger's handshake would have had to time out first.
        assert!(
            begin.elapsed() < Duration::from_secs(4),
            "{:?}",
            begin.elapsed()
        );
        listening.abort();
    }

    #[test]
    fn nobody_in_the_mesh_takes_the_place_of_another() {
        let [loud, party] = [1, 2].map(|n| mesh().party(&SecretKey::from_seed(&[n; 32]).public()));
        let neighbours = Neighbours::of([mesh()].into());
        let places: Vec<_> = (0..NEIGHBOURS)
            .map(|_| neighbours.take(loud.into()).unwrap())
            .collect();
        assert!(neighbours.take(loud.into()).is_none());
        assert!(neighbours.take(party.into()).is_some());
        drop(places);
    }

    #[test]
    fn places_come_back_and_a_network_is_one_neighbour() {
        let neighbours = Neighbours::of([mesh()].into());
        let v6 = |n: u16| IpAddr::from([0xfd00, 0, 0, 1, 0, 0, 0, n]);
        let places: Vec<_> = (0..64).map(|n| neighbours.take(v6(n)).unwrap()).collect();
        assert!(neighbours.take(v6(99)).is_none());
        assert!(
            neighbours
                .take(IpAddr::from([0xfd00, 0, 0, 2, 0, 0, 0, 1]))
                .is_some()
        );
        let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
        drop(neighbours.take(mapped.into()).unwrap());
        drop(places);
        assert!(neighbours.lock().is_empty());
    }
}
