//! The words between two `e3-link`s: a few bytes at the head of each stream.
//!
//! Whoever opens a stream says what it is for, in a fixed number of bytes:
//!
//! | ask | bytes | answer |
//! |---|---|---|
//! | hello | 0, 8 bytes that name this run of the process | 8 bytes of the other's |
//! | connect | 1, the port in network order | one byte, see [`Reply`]; after [`Reply::Open`] the connection's own bytes |
//!
//! Versions are told apart by [`ALPN`], before anything is said.

use std::time::Duration;

use iroh::endpoint::VarInt;

use crate::connection::{RecvStream, SendStream};

/// What is spoken.
pub(crate) const ALPN: &[u8] = b"e3/link/1";

/// How long the other side may take to say what its stream is for.
pub(crate) const ASK: Duration = Duration::from_secs(5);

/// Why a connection is closed.
pub(crate) mod close {
    use super::VarInt;

    /// This machine ends, or does without the peer from now on.
    pub(crate) const GONE: VarInt = VarInt::from_u32(0);
    /// The key is no peer's.
    pub(crate) const STRANGER: VarInt = VarInt::from_u32(1);
    /// There is a newer connection, and nothing is carried by this one.
    pub(crate) const DUPLICATE: VarInt = VarInt::from_u32(2);
    /// There are too many, or the peer has been started anew since.
    pub(crate) const OLD: VarInt = VarInt::from_u32(3);
}

/// A carried connection broke: whoever reads must not take what came for all there is.
pub(crate) const BROKEN: VarInt = VarInt::from_u32(1);

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// To say which run of the process this is.
    Hello(u64),
    /// To reach the service with this port.
    Connect(u16),
}

/// What comes of [`Ask::Connect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The service's connection follows.
    Open,
    /// The peer may not reach it.
    NotServed,
    /// Nobody listens there yet; the far side has waited, ask again.
    Nobody,
    /// As many connections as may be are carried.
    TooMany,
}

/// The stream said something else than the words above, or nothing.
#[derive(Debug, thiserror::Error)]
#[error("a stream of the peer makes no sense")]
pub(crate) struct Senseless;

const REPLIES: [Reply; 4] = [Reply::Open, Reply::NotServed, Reply::Nobody, Reply::TooMany];

impl Ask {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Hello(run) => [&[0][..], &run.to_be_bytes()].concat(),
            Self::Connect(port) => [&[1][..], &port.to_be_bytes()].concat(),
        }
    }

    pub(crate) async fn write(self, send: &mut SendStream) -> Result<(), Senseless> {
        send.write_all(&self.to_bytes()).await
    }

    pub(crate) async fn read(recv: &mut RecvStream) -> Result<Self, Senseless> {
        match read_array::<1>(recv).await? {
            [0] => Ok(Self::Hello(read_run(recv).await?)),
            [1] => Ok(Self::Connect(u16::from_be_bytes(read_array(recv).await?))),
            _ => Err(Senseless),
        }
    }
}

impl Reply {
    pub(crate) async fn write(self, send: &mut SendStream) -> Result<(), Senseless> {
        let code = REPLIES.iter().position(|reply| *reply == self);
        let code = code
            .and_then(|code| u8::try_from(code).ok())
            .ok_or(Senseless)?;
        send.write_all(&[code]).await
    }

    pub(crate) async fn read(recv: &mut RecvStream) -> Result<Self, Senseless> {
        let [code] = read_array(recv).await?;
        REPLIES.get(usize::from(code)).copied().ok_or(Senseless)
    }
}

/// Reads the answer to a hello.
pub(crate) async fn read_run(recv: &mut RecvStream) -> Result<u64, Senseless> {
    Ok(u64::from_be_bytes(read_array(recv).await?))
}

async fn read_array<const N: usize>(recv: &mut RecvStream) -> Result<[u8; N], Senseless> {
    let mut bytes = [0; N];
    recv.read_exact(&mut bytes).await?;
    Ok(bytes)
}
