//! Messages between two agents: a length of four bytes (big endian), then that much JSON.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use e3_core::digest::Digest;
use e3_core::document::OutputHash;
use e3_core::key::PublicKey;
use e3_core::limits;
use e3_core::session::Failure;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Frame {
    /// The first one on every connection: which session it is for.
    Hello {
        /// The manifest's digest.
        manifest: Digest,
    },
    /// A signed `Ready`, as an envelope's JSON text.
    Ready {
        /// The envelope.
        envelope: String,
    },
    /// The sender is armed for this barrier, and this is its share of the output key.
    Armed {
        /// The digest of everybody's `Ready`.
        barrier: Digest,
        /// 32 secret bytes.
        share: [u8; 32],
    },
    /// The sender's program has started MPyC, which has connected these parties.
    Reached {
        /// Their places.
        parties: BTreeSet<usize>,
    },
    /// The sender's program ended well.
    Finished {
        /// Hashes of the outputs declared equal.
        outputs: Vec<OutputHash>,
    },
    /// The session failed, as far as the sender can tell.
    Failed {
        /// Whose fault, and why.
        failure: Failure,
    },
    /// From an anchor of a mesh: where its daemon hears the other one's from.
    Seen {
        /// As the networks between the two have made it.
        endpoint: SocketAddr,
    },
    /// To an anchor of a mesh and from it: this party's machine has got another address, so packets straight to it get lost.
    Moved {
        /// The party.
        party: PublicKey,
    },
    /// The sender is alive.
    Beat,
}

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection broke or ended.
    #[error("the connection broke")]
    Io(#[from] std::io::Error),
    /// Rule 3.
    #[error(
        "a message of {size} bytes was announced; {} are allowed",
        limits::FRAME
    )]
    TooLarge {
        /// Bytes announced.
        size: usize,
    },
    /// Not a message of this protocol.
    #[error("a message cannot be read")]
    Malformed(#[from] serde_json::Error),
}

/// Reads one frame. Must not be dropped half-way if reading is to go on.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Frame, FrameError> {
    let length = stream.read_u32().await? as usize;
    if length > limits::FRAME {
        return Err(FrameError::TooLarge { size: length });
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Writes one frame.
pub async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    frame: &Frame,
) -> Result<(), FrameError> {
    let json = serde_json::to_vec(frame)?;
    let length = u32::try_from(json.len())
        .ok()
        .filter(|_| json.len() <= limits::FRAME);
    let length = length.ok_or(FrameError::TooLarge { size: json.len() })?;
    // One write, one packet.
    stream
        .write_all(&[length.to_be_bytes().as_slice(), &json].concat())
        .await?;
    stream.flush().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_round_trip_and_are_bounded() {
        let (mut a, mut b) = tokio::io::duplex(1 << 16);
        let frame = Frame::Hello {
            manifest: Digest::of(b"m"),
        };
        write(&mut a, &frame).await.unwrap();
        assert_eq!(read(&mut b).await.unwrap(), frame);
        a.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
        assert!(matches!(
            read(&mut b).await,
            Err(FrameError::TooLarge { .. })
        ));
        a.write_all(&[0, 0, 0, 1, b'x']).await.unwrap();
        assert!(matches!(read(&mut b).await, Err(FrameError::Malformed(_))));
    }
}
