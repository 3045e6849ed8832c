//! What is carried by a stream of Tor, in pieces of a said length.
//!
//! Tor knows one end of a stream, and it is that of both directions; nor does it tell an end from a break. So each
//! direction ends with an empty piece, and a stream that ends without one has broken.

use std::io;
use std::sync::atomic::AtomicU64;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// Bytes moved at once.
const CHUNK: usize = 16 * 1024;

/// The half that is written. Dropped, it ends the stream.
pub(crate) struct Write<W = OwnedWriteHalf> {
    pub(crate) half: W,
    buffer: Vec<u8>,
}

/// The half that is read.
pub(crate) struct Read<R = OwnedReadHalf> {
    pub(crate) half: R,
}

impl<W: AsyncWrite + Unpin> Write<W> {
    pub(crate) fn new(half: W) -> Self {
        let buffer = Vec::new();
        Self { half, buffer }
    }

    /// Sends bytes, none of which is an end.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.clear();
        for piece in bytes.chunks(usize::from(u16::MAX)) {
            let length = u16::try_from(piece.len()).unwrap_or(u16::MAX);
            self.buffer.extend_from_slice(&length.to_be_bytes());
            self.buffer.extend_from_slice(piece);
        }
        self.half.write_all(&self.buffer).await
    }

    /// Says that this was all.
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        self.half.write_all(&0_u16.to_be_bytes()).await
    }
}

impl<R: AsyncRead + Unpin> Read<R> {
    pub(crate) fn new(half: R) -> Self {
        Self { half }
    }

    /// Passes on all pieces up to the empty one.
    pub(crate) async fn pass_on(
        &mut self,
        to: &mut (impl AsyncWrite + Unpin),
        counter: &AtomicU64,
    ) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        loop {
            let mut left = usize::from(self.half.read_u16().await?);
            if left == 0 {
                return Ok(());
            }
            while left > 0 {
                let room = left.min(CHUNK);
                let room = buffer.get_mut(..room).unwrap_or_default();
                let count = self.half.read(room).await?;
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                to.write_all(buffer.get(..count).unwrap_or_default())
                    .await?;
                crate::carry::add(counter, count);
                left -= count;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    async fn received(sent: &[u8]) -> (io::Result<()>, Vec<u8>, u64) {
        let (mut to, counter) = (Vec::new(), AtomicU64::new(0));
        let outcome = Read::new(sent).pass_on(&mut to, &counter).await;
        (outcome, to, counter.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn all_comes_and_then_the_end() {
        for length in [0, 1, 1000, 65_535, 65_536, 200_000] {
            let bytes: Vec<u8> = (0..=250).cycle().take(length).collect();
            let mut write = Write::new(Vec::new());
            write.send(&bytes).await.unwrap();
            write.send(b"more").await.unwrap();
            write.finish().await.unwrap();
            let (outcome, to, counted) = received(&write.half).await;
            outcome.unwrap();
            assert_eq!(to, [&bytes[..], b"more"].concat(), "{length}");
            assert_eq!(counted, u64::try_from(to.len()).unwrap());
        }
    }

    #[tokio::test]
    async fn a_stream_that_ends_without_a_word_has_broken() {
        let mut write = Write::new(Vec::new());
        write.send(&[7; 300]).await.unwrap();
        for cut in [0, 1, 2, 100, 302] {
            let (outcome, ..) = received(&write.half[..cut]).await;
            assert!(outcome.is_err(), "{cut}");
        }
    }
}
