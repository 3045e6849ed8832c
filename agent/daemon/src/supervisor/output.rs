//! What a job prints: read as it comes, kept within a bound, in memory and in a file of the session.
//!
//! It comes out of a pipe in both supervisors. Under systemd that is a named one in the unit's folder, which the
//! unit has as `StandardOutput=file:…`: so the bound holds before anything is on the disk.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// One read.
const CHUNK: usize = 64 << 10;

/// How much to keep, and of which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Everything, up to this many bytes; more is an error that is told at once.
    All(u64),
    /// The last bytes in memory, the first ones in the file; the rest is read and dropped.
    Tail {
        /// Bytes in memory.
        memory: usize,
        /// Bytes in the file.
        file: u64,
    },
}

/// Something that whoever waits must know before the end.
#[derive(Debug, PartialEq, Eq)]
pub enum Trouble {
    /// More than may be printed; nothing is read any more.
    TooLarge,
    /// The file cannot be written.
    Disk {
        /// The file and the error.
        detail: String,
    },
}

/// What was printed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// The bytes that were kept.
    pub bytes: Vec<u8>,
    /// How many there were.
    pub total: u64,
}

/// Reads one pipe until [`Output::finish`].
#[derive(Debug)]
pub struct Output {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Captured>,
}

struct Reader {
    pipe: pipe::Receiver,
    file: File,
    path: PathBuf,
    keep: Keep,
    kept: VecDeque<u8>,
    total: u64,
    trouble: mpsc::UnboundedSender<Trouble>,
}

impl Output {
    /// Starts reading. The file is new and only its owner can read it; `trouble` hears of at most one thing.
    pub fn start(
        pipe: pipe::Receiver,
        path: &Path,
        keep: Keep,
        trouble: mpsc::UnboundedSender<Trouble>,
    ) -> io::Result<Self> {
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        let (stop, stopped) = oneshot::channel();
        let reader = Reader {
            pipe,
            file,
            path: path.to_owned(),
            keep,
            kept: VecDeque::new(),
            total: 0,
            trouble,
        };
        Ok(Self {
            stop,
            task: tokio::spawn(reader.run(stopped)),
        })
    }

    /// Takes what is still in the pipe and returns everything. To be called when nobody writes any more.
    pub async fn finish(self) -> Captured {
        let _ = self.stop.send(());
        self.task.await.unwrap_or_default()
    }
}

impl Reader {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) -> Captured {
        let mut chunk = vec![0; CHUNK];
        let mut stopping = false;
        loop {
            // At the end the pipe itself is asked: the runtime may not have heard yet that it can be read.
            let read = if stopping {
                nix::unistd::read(&self.pipe, &mut chunk).map_err(io::Error::from)
            } else {
                self.pipe.try_read(&mut chunk)
            };
            match read {
                Ok(0) => break,
                Ok(n) => {
                    if let Err(trouble) = self.take(&chunk[..n]) {
                        let _ = self.trouble.send(trouble);
                        break;
                    }
                    // A program that prints without end must not keep the agent from anything else.
                    tokio::task::yield_now().await;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && stopping => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    tokio::select! {
                        ready = self.pipe.readable() => if ready.is_err() { break },
                        _ = &mut stopped => stopping = true,
                    }
                }
                Err(_) => break,
            }
        }
        Captured {
            bytes: self.kept.into(),
            total: self.total,
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let (memory, room) = match self.keep {
            Keep::All(limit) => (usize::MAX, limit),
            Keep::Tail { memory, file } => (memory, file),
        };
        let fits = usize::try_from(room.saturating_sub(self.total))
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        self.total += bytes.len() as u64;
        let written = self.file.write_all(&bytes[..fits]);
        written.map_err(|error| Trouble::Disk {
            detail: format!("{}: {error}", self.path.display()),
        })?;
        if matches!(self.keep, Keep::All(_)) {
            self.kept.extend(&bytes[..fits]);
            return if fits < bytes.len() {
                Err(Trouble::TooLarge)
            } else {
                Ok(())
            };
        }
        self.kept.extend(bytes);
        let excess = self.kept.len().saturating_sub(memory);
        self.kept.drain(..excess);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    struct Setup {
        folder: tempfile::TempDir,
        sender: pipe::Sender,
        output: Output,
        trouble: mpsc::UnboundedReceiver<Trouble>,
    }

    fn setup(keep: Keep) -> Setup {
        let folder = tempfile::tempdir().unwrap();
        let (sender, receiver) = pipe::pipe().unwrap();
        let (tell, trouble) = mpsc::unbounded_channel();
        let output = Output::start(receiver, &folder.path().join("out"), keep, tell).unwrap();
        Setup {
            folder,
            sender,
            output,
            trouble,
        }
    }

    #[tokio::test]
    async fn everything_is_kept_up_to_the_limit() {
        let mut s = setup(Keep::All(8));
        s.sender.write_all(b"12345678").await.unwrap();
        // The writing end stays open, as one that a lost process holds would.
        let captured = s.output.finish().await;
        assert_eq!(
            captured,
            Captured {
                bytes: b"12345678".to_vec(),
                total: 8
            }
        );
        let file = s.folder.path().join("out");
        assert_eq!(std::fs::read(&file).unwrap(), b"12345678");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(s.trouble.recv().await.is_none());
    }

    #[tokio::test]
    async fn one_byte_too_many_is_told_at_once_and_never_written() {
        let mut s = setup(Keep::All(8));
        s.sender.write_all(b"123456789").await.unwrap();
        assert_eq!(s.trouble.recv().await, Some(Trouble::TooLarge));
        assert_eq!(
            std::fs::read(s.folder.path().join("out")).unwrap(),
            b"12345678"
        );
        assert_eq!(s.output.finish().await.bytes, b"12345678");
    }

    #[tokio::test]
    async fn of_a_flood_the_tail_is_kept_in_bounded_space() {
        let mut s = setup(Keep::Tail {
            memory: 4,
            file: 10,
        });
        for n in 0..10_000 {
            s.sender
                .write_all(format!("{n:04}").as_bytes())
                .await
                .unwrap();
        }
        let captured = s.output.finish().await;
        assert_eq!(
            (captured.bytes.as_slice(), captured.total),
            (&b"9999"[..], 40_000)
        );
        assert_eq!(
            std::fs::read(s.folder.path().join("out")).unwrap(),
            b"0000000100"
        );
    }
}
