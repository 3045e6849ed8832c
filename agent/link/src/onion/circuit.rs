//! A way to a peer by Tor: one stream that is always there, which tells that the circuit leads somewhere and how long it takes, and
//! more streams by the same circuit for what is carried.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use e3_core::mesh::OnionKey;
use e3_core::mesh::link::Problem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use zeroize::Zeroizing;

use super::socks::{self, SocksError};
use super::{Onion, PORT, address, frame};
use crate::connection::{RecvStream, SendStream};
use crate::wire::{Ask, Senseless};

/// Between two looks whether the circuit still leads there.
const PING: Duration = Duration::from_secs(5);
/// An answer that has not come by then does not come.
const SILENCE: Duration = Duration::from_secs(20);
/// For a stream by a circuit that is there.
const STREAM: Duration = Duration::from_secs(20);

/// A way to a peer.
#[derive(Debug)]
pub(crate) struct Circuit {
    socks: PathBuf,
    /// What Tor calls the circuit by.
    user: String,
    service: String,
    /// What is said first on each stream: who comes.
    caller: Zeroizing<Vec<u8>>,
    heard: AtomicU64,
    rtt: Mutex<Option<Duration>>,
    ended: watch::Sender<Option<String>>,
}

impl Circuit {
    /// Makes one, and says hello; returns also which run of the peer's process has answered.
    pub(super) async fn open(
        onion: &Onion,
        peer: &OnionKey,
        run: u64,
    ) -> Result<(Arc<Self>, u64), Problem> {
        let unreachable = |detail: &str| Problem::Unreachable {
            detail: detail.to_owned(),
        };
        let caller = onion.caller(peer);
        let caller = caller.ok_or_else(|| unreachable("its key is none"))?;
        let number = onion.attempts.fetch_add(1, Ordering::Relaxed);
        let circuit = Arc::new(Self {
            socks: onion.place.socks(),
            user: format!("{}-{number}", peer.service.short()),
            service: address::of(&peer.service),
            caller,
            heard: AtomicU64::new(0),
            rtt: Mutex::new(None),
            ended: watch::Sender::new(None),
        });
        let mut stream = circuit.stream(Ask::Hello(run)).await.map_err(|error| {
            match error {
                // It may have been published before this machine was let in, and Tor keeps what it has.
                SocksError::NotLetIn => {
                    onion.look_again();
                    return Problem::NotAPeer;
                }
                SocksError::Unknown => onion.look_again(),
                _ => {}
            }
            unreachable(&error.to_string())
        })?;
        let theirs = stream.read_u64().await;
        let theirs = theirs.map_err(|_| unreachable("it does not say hello"))?;
        tokio::spawn(circuit.clone().watch(stream));
        Ok((circuit, theirs))
    }

    /// One more stream.
    pub(crate) async fn open_bi(&self) -> Result<(SendStream, RecvStream), Senseless> {
        // What it is for is said by whoever asks for it.
        let opened = timeout(STREAM, self.raw(&self.caller)).await;
        let (recv, send) = opened
            .map_err(|_| Senseless)?
            .map_err(|_| Senseless)?
            .into_split();
        Ok((
            SendStream::Onion(frame::Write::new(send)),
            RecvStream::Onion(frame::Read::new(recv)),
        ))
    }

    async fn stream(&self, ask: Ask) -> Result<UnixStream, SocksError> {
        let first = Zeroizing::new([&self.caller[..], &ask.to_bytes()].concat());
        self.raw(&first).await
    }

    async fn raw(&self, first: &[u8]) -> Result<UnixStream, SocksError> {
        socks::connect(&self.socks, &self.user, &self.service, PORT, first).await
    }

    /// Looks again and again whether the peer answers, until it does not.
    async fn watch(self: Arc<Self>, mut stream: UnixStream) {
        let mut ended = self.ended.subscribe();
        let pings = async {
            loop {
                let sent = Instant::now();
                let answer = async {
                    stream.write_all(&[0]).await?;
                    stream.read_u8().await
                };
                match timeout(SILENCE, answer).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(_)) => return "the peer, or Tor, has ended it",
                    Err(_) => return "the peer is silent",
                }
                *self.rtt.lock().unwrap_or_else(PoisonError::into_inner) = Some(sent.elapsed());
                self.heard.fetch_add(1, Ordering::Relaxed);
                sleep(PING).await;
            }
        };
        tokio::select! {
            why = pings => self.close(why),
            _ = ended.wait_for(Option::is_some) => {}
        }
    }

    /// Ends it.
    pub(crate) fn close(&self, why: &str) {
        self.ended.send_if_modified(|ended| {
            let is_new = ended.is_none();
            if is_new {
                *ended = Some(why.to_owned());
            }
            is_new
        });
    }

    /// Resolves when it has ended, with why.
    pub(crate) async fn closed(&self) -> String {
        let mut ended = self.ended.subscribe();
        let why = ended.wait_for(Option::is_some).await;
        why.ok().and_then(|why| why.clone()).unwrap_or_default()
    }

    /// How often it has answered.
    pub(crate) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// How long the last answer took.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        *self.rtt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
