//! What comes in by this machine's onion service: peers, each of which says first who it is.
//!
//! Tor lets in whoever has one of the peers' keys, and does not tell which one. So each stream begins with the caller's key and what only
//! that one and this machine can know ([`e3_core::mesh::ClientSecret::shown_by`]).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::{Onion, frame};
use crate::carry::serve;
use crate::connection::{RecvStream, SendStream};
use crate::mesh::Shared;
use crate::peer::Peer;
use crate::wire::{ASK, Ask, Senseless};

/// Streams that have not said yet who they are.
const NAMELESS: usize = 64;
/// A caller that has said nothing for so long is gone: it asks every few seconds.
const SILENCE: Duration = Duration::from_mins(1);

/// Serves for ever.
pub(super) async fn serve(listener: UnixListener, shared: Arc<Shared>, onion: Arc<Onion>) {
    let room = Arc::new(Semaphore::new(NAMELESS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(permit) = room.clone().try_acquire_owned() else {
            continue;
        };
        let (shared, onion) = (shared.clone(), onion.clone());
        tokio::spawn(async move {
            let said = timeout(ASK, caller(stream, &shared, &onion)).await;
            drop(permit);
            match said {
                Ok(Ok((peer, Ask::Connect(port), send, recv))) => {
                    serve::one(&peer, &peer.guests, port, send, recv).await;
                }
                Ok(Ok((peer, Ask::Hello(run), send, recv))) => {
                    if peer.newest().is_none() {
                        onion.hope();
                    }
                    peer.runs(run);
                    let _ = answer(&peer, &shared, send, recv).await;
                }
                _ => {}
            }
        });
    }
}

/// Who it is, and what for.
async fn caller(
    mut stream: UnixStream,
    shared: &Shared,
    onion: &Onion,
) -> Result<(Arc<Peer>, Ask, SendStream, RecvStream), Senseless> {
    let (mut id, mut shown) = ([0; 32], [0; 32]);
    stream.read_exact(&mut id).await.map_err(|_| Senseless)?;
    stream.read_exact(&mut shown).await.map_err(|_| Senseless)?;
    let peer = shared.peer(&id).filter(|peer| onion.is(peer, &shown));
    let Some(peer) = peer else {
        let strangers = shared.strangers.fetch_add(1, Ordering::Relaxed) + 1;
        // A stranger who never tires must not fill the journal.
        if strangers.is_power_of_two() {
            tracing::warn!(strangers, "somebody who is no peer was turned away");
        }
        return Err(Senseless);
    };
    let (recv, send) = stream.into_split();
    let mut recv = RecvStream::Onion(frame::Read::new(recv));
    let ask = Ask::read(&mut recv).await?;
    Ok((peer, ask, SendStream::Onion(frame::Write::new(send)), recv))
}

/// Says which run of the process this is, and goes on answering.
async fn answer(
    peer: &Peer,
    shared: &Shared,
    mut send: SendStream,
    mut recv: RecvStream,
) -> Result<(), Senseless> {
    send.write_all(&shared.run.to_be_bytes()).await?;
    let answers = async {
        let mut byte = [0];
        loop {
            let ping = timeout(SILENCE, recv.read_exact(&mut byte)).await;
            ping.map_err(|_| Senseless)??;
            send.write_all(&byte).await?;
        }
    };
    tokio::select! {
        ended = answers => ended,
        () = peer.until_not(|_| true) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use e3_client::clock::Clock;
    use e3_core::key::SecretKey;
    use e3_core::mesh::link::{Config, KeySource, Peer};
    use e3_core::mesh::{ClientSecret, OnionKey};
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::carrier::Carrier;
    use crate::mesh::Mesh;
    use crate::onion::Place;

    fn config(folder: &Path, peers: &[SecretKey]) -> Config {
        let peer = |(place, key): (u8, &SecretKey)| {
            let key = OnionKey::of(key);
            Peer {
                id: key.service,
                client: Some(key.client),
                name: None,
                addresses: Vec::new(),
                local: [127, 128, 0, place].into(),
                reach: Vec::new(),
                serve: Vec::new(),
            }
        };
        Config {
            generation: 1,
            key: KeySource::Credential("tor.key".to_owned()),
            control: folder.join("control"),
            bind: Vec::new(),
            external: Vec::new(),
            relays: Vec::new(),
            authorities: None,
            clock_floor: None,
            hold_seconds: 1,
            peers: (1..).zip(peers).map(peer).collect(),
        }
    }

    #[tokio::test]
    async fn only_a_peer_that_shows_what_it_alone_can_know_is_answered() {
        let secret = |seed| SecretKey::from_seed(&[seed; 32]);
        let [own, alice, bob, carol] = [1, 2, 3, 4].map(secret);
        let [me, a, b, c] = [&own, &alice, &bob, &carol].map(OnionKey::of);
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), &[secret(2), secret(3)]);
        let place = Place::make(&config, Path::new("tor")).unwrap();
        let onion = Onion::new(secret(1), place);
        let carrier = Carrier::Onion(onion.clone());
        let shared = Shared::new(carrier, me.service, Clock::default());
        Mesh::new(shared.clone()).apply(&config);
        let path = folder.path().join("incoming");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(serve(listener, shared.clone(), onion));
        let answered = async |id: &OnionKey, shown: &[u8]| {
            let mut stream = UnixStream::connect(&path).await.unwrap();
            let hello = Ask::Hello(7).to_bytes();
            let said = [&id.service.as_bytes()[..], shown, &hello].concat();
            // Whoever is turned away may be so before all is said.
            let _ = stream.write_all(&said).await;
            stream.read_u64().await.is_ok_and(|run| run == shared.run)
        };
        let of = |key: &SecretKey, id: &OnionKey, to: &OnionKey| {
            let shown = ClientSecret::of(key).shown_to(&id.service, to);
            shown.unwrap().to_vec()
        };
        assert!(answered(&a, &of(&alice, &a, &me)).await);
        assert!(answered(&b, &of(&bob, &b, &me)).await);
        // A peer that says it is another one, with all that it can know.
        assert!(!answered(&b, &of(&alice, &a, &me)).await);
        assert!(!answered(&b, &of(&alice, &b, &me)).await);
        // Who is no peer, what is for somebody else, and what this machine itself has shown.
        assert!(!answered(&c, &of(&carol, &c, &me)).await);
        assert!(!answered(&a, &of(&alice, &a, &b)).await);
        assert!(!answered(&a, &of(&own, &me, &a)).await);
        assert!(!answered(&a, &[0; 32]).await);
        assert_eq!(shared.strangers.load(Ordering::Relaxed), 6);
    }
}
