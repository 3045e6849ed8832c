//! A connection with a peer and the streams on it, whatever carries them: QUIC, or circuits of Tor.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use e3_core::mesh::link::{PeerPath, Problem};
use iroh::TransportAddr;
use iroh::endpoint::{self as quic, ConnectionError, VarInt};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::error::detail;
use crate::onion::{Circuit, frame};
use crate::wire::{BROKEN, Senseless, close};

/// Bytes that are asked of QUIC at once.
const CHUNK: usize = 64 * 1024;

/// A connection with a peer.
#[derive(Debug)]
pub(crate) enum Connection {
    /// Both ends open streams on it.
    Quic(quic::Connection),
    /// Only this end does; the other one has a connection of its own.
    Onion(Arc<Circuit>),
}

/// Why a connection has ended.
pub(crate) struct Ended {
    /// For people.
    pub(crate) detail: String,
    /// What the peer, or who stands in its place, has said by it.
    pub(crate) refusal: Option<Problem>,
}

/// The half of a stream that is written.
pub(crate) enum SendStream {
    Quic(quic::SendStream),
    Onion(frame::Write),
}

/// The half of a stream that is read.
pub(crate) enum RecvStream {
    Quic(quic::RecvStream),
    Onion(frame::Read),
}

impl Connection {
    /// Opens a stream.
    pub(crate) async fn open_bi(&self) -> Result<(SendStream, RecvStream), Senseless> {
        match self {
            Self::Quic(connection) => {
                let (send, recv) = connection.open_bi().await.map_err(|_| Senseless)?;
                Ok((SendStream::Quic(send), RecvStream::Quic(recv)))
            }
            Self::Onion(circuit) => circuit.open_bi().await.map_err(|_| Senseless),
        }
    }

    /// The next stream that the peer has opened on it, until it has ended.
    pub(crate) async fn accept_bi(&self) -> Option<(SendStream, RecvStream)> {
        match self {
            Self::Quic(connection) => {
                let (send, recv) = connection.accept_bi().await.ok()?;
                Some((SendStream::Quic(send), RecvStream::Quic(recv)))
            }
            Self::Onion(circuit) => {
                circuit.closed().await;
                None
            }
        }
    }

    /// Ends it.
    pub(crate) fn close(&self, why: VarInt) {
        match self {
            Self::Quic(connection) => connection.close(why, b""),
            Self::Onion(circuit) => circuit.close("it is not needed any more"),
        }
    }

    /// Resolves when it has ended.
    pub(crate) async fn closed(&self) -> Ended {
        match self {
            Self::Quic(connection) => {
                let why = connection.closed().await;
                Ended {
                    detail: detail(&why),
                    refusal: refusal(&why),
                }
            }
            Self::Onion(circuit) => Ended {
                detail: circuit.closed().await,
                refusal: None,
            },
        }
    }

    /// Whether it is the same one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Quic(one), Self::Quic(other)) => one.stable_id() == other.stable_id(),
            (Self::Onion(one), Self::Onion(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// A number that changes when something comes by it.
    pub(crate) fn heard(&self) -> u64 {
        match self {
            Self::Quic(connection) => connection.stats().udp_rx.datagrams,
            Self::Onion(circuit) => circuit.heard(),
        }
    }

    /// How packets go by it, and how long they take there and back: by the path that is chosen, or any while none is.
    pub(crate) fn way(&self) -> Option<(PeerPath, Option<Duration>)> {
        match self {
            Self::Quic(connection) => {
                let paths = connection.paths();
                let path = paths.iter().find(quic::Path::is_selected);
                let path = path.or_else(|| paths.iter().next())?;
                let kind = match path.remote_addr() {
                    TransportAddr::Ip(address) => PeerPath::Direct { address: *address },
                    TransportAddr::Relay(url) => PeerPath::Relayed {
                        relay: url.to_string(),
                    },
                    _ => PeerPath::None,
                };
                Some((kind, Some(path.rtt())))
            }
            Self::Onion(circuit) => {
                let relay = crate::onion::RELAYS.to_owned();
                Some((PeerPath::Relayed { relay }, circuit.rtt()))
            }
        }
    }
}

/// What a peer, or who stands in its place, has said by closing a connection.
pub(crate) fn refusal(why: &ConnectionError) -> Option<Problem> {
    match why {
        ConnectionError::ApplicationClosed(said) if said.error_code == close::STRANGER => {
            Some(Problem::NotAPeer)
        }
        // QUIC has a range of its own for what TLS finds wrong (RFC 9001, 4.8).
        ConnectionError::TransportError(error) if is_crypto(u64::from(error.code)) => {
            Some(Problem::WrongIdentity {
                detail: detail(error),
            })
        }
        _ => None,
    }
}

fn is_crypto(code: u64) -> bool {
    (0x100..0x200).contains(&code)
}

impl SendStream {
    /// Writes words between the two ends, which are as long as they are.
    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> Result<(), Senseless> {
        match self {
            Self::Quic(send) => send.write_all(bytes).await.map_err(|_| Senseless),
            Self::Onion(send) => send.half.write_all(bytes).await.map_err(|_| Senseless),
        }
    }

    /// Writes some of what is carried.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Senseless> {
        match self {
            Self::Quic(send) => send.write_all(bytes).await.map_err(|_| Senseless),
            Self::Onion(send) => send.send(bytes).await.map_err(|_| Senseless),
        }
    }

    /// Says that all was sent.
    pub(crate) async fn finish(&mut self) -> Result<(), Senseless> {
        match self {
            Self::Quic(send) => send.finish().map_err(|_| Senseless),
            Self::Onion(send) => send.finish().await.map_err(|_| Senseless),
        }
    }

    /// Says that the rest is lost. On a circuit that is what an end without a word means.
    pub(crate) fn reset(&mut self) {
        if let Self::Quic(send) = self {
            // Errors only say that it is reset already.
            let _ = send.reset(BROKEN);
        }
    }

    /// Resolves when the other end does not want it any more, as far as that can be told.
    pub(crate) async fn stopped(&mut self) {
        match self {
            Self::Quic(send) => {
                let _ = send.stopped().await;
            }
            Self::Onion(_) => std::future::pending().await,
        }
    }
}

impl RecvStream {
    /// Reads a word.
    pub(crate) async fn read_exact(&mut self, bytes: &mut [u8]) -> Result<(), Senseless> {
        match self {
            Self::Quic(recv) => recv.read_exact(bytes).await.map_err(|_| Senseless),
            Self::Onion(recv) => match recv.half.read_exact(bytes).await {
                Ok(_) => Ok(()),
                Err(_) => Err(Senseless),
            },
        }
    }

    /// Passes on what is carried, until the other end has said that this was all; and counts it.
    pub(crate) async fn pass_on(
        &mut self,
        to: &mut (impl AsyncWrite + Unpin),
        counter: &AtomicU64,
    ) -> Result<(), Senseless> {
        match self {
            Self::Quic(recv) => {
                while let Some(bytes) = recv.read_chunk(CHUNK).await.map_err(|_| Senseless)? {
                    to.write_all(&bytes).await.map_err(|_| Senseless)?;
                    crate::carry::add(counter, bytes.len());
                }
                Ok(())
            }
            Self::Onion(recv) => recv.pass_on(to, counter).await.map_err(|_| Senseless),
        }
    }

    /// Says that nothing more is wanted.
    pub(crate) fn stop(&mut self) {
        if let Self::Quic(recv) = self {
            let _ = recv.stop(BROKEN);
        }
    }
}
