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
