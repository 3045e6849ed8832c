//! The Unix socket to the gate: who may open it, how long a line may be, and how fast they may come.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::Instant;

use super::talk::GateEvent;

/// Bytes of a line from the gate.
pub const LINE: usize = 64 << 10;
/// Lines that may come at once; the gate itself never sends as many.
const BURST: u32 = 64;
/// After those, one per this time. Whoever sends faster waits in their own socket.
const PACE: Duration = Duration::from_millis(100);
/// Lines read when the process has ended and no others can come.
pub const LAST_LINES: usize = 256;

/// Why the talk with the gate is over.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The socket failed.
    #[error("the gate's socket failed")]
    Io(#[from] io::Error),
    /// A line that the gate would not have sent.
    #[error("the gate sent a line of more than {LINE} bytes")]
    TooLong,
    /// Not a word of the talk.
    #[error("the gate sent something that is no event")]
    Malformed,
}

/// The socket before the gate has come. Removed when dropped.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    path: PathBuf,
}

impl Door {
    /// Opens a socket at this path, in a folder that only the agent's user can enter, or nobody else sees but the
    /// gate, which then is another user.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let door = Self {
            listener: UnixListener::bind(&path)?,
            path,
        };
        std::fs::set_permissions(&door.path, Permissions::from_mode(0o666))?;
        Ok(door)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the gate; other processes than `pid`, if that is known, are sent away.
    pub async fn accept(&self, pid: Option<u32>) -> io::Result<Link> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let peer = stream.peer_cred()?.pid().map(i32::cast_unsigned);
            if pid.is_none() || peer == pid {
                return Ok(Link {
                    stream,
                    rest: Vec::new(),
                    free: BURST,
                    since: Instant::now(),
                });
            }
            tracing::warn!(
                ?peer,
                "a process that is not the gate came to the gate's socket"
            );
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The socket to the gate.
#[derive(Debug)]
pub struct Link {
    stream: UnixStream,
    rest: Vec<u8>,
    /// Lines that may come at once, and since when that is so.
    free: u32,
    since: Instant,
}

impl Link {
    /// Sends a line.
    pub async fn send(&mut self, message: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let mut sent = 0;
        while sent < line.len() {
            self.stream.writable().await?;
            match self.stream.try_write(&line[sent..]) {
                Ok(n) => sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The next event; `None` when the gate has closed the socket. Safe to cancel.
    pub async fn next(&mut self) -> Result<Option<GateEvent>, LinkError> {
        self.keep_pace().await;
        loop {
            if let Some(line) = self.take_line()? {
                self.free = self.free.saturating_sub(1);
                return parse(&line).map(Some);
            }
            self.stream.readable().await?;
            match self.read() {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What had been sent when the process ended: no more than [`LAST_LINES`], without waiting.
    pub fn last(&mut self) -> Vec<GateEvent> {
        let mut events = Vec::new();
        while events.len() < LAST_LINES {
            match self.take_line() {
                Ok(Some(line)) => events.extend(parse(&line)),
                // The runtime may not have heard yet that there is something, so the socket itself is asked.
                Ok(None) if self.read_now().is_ok_and(|n| n > 0) => {}
                _ => break,
            }
        }
        events
    }

    async fn keep_pace(&mut self) {
        loop {
            let earned = self.since.elapsed().as_millis() / PACE.as_millis();
            let earned = u32::try_from(earned).unwrap_or(BURST).min(BURST);
            if earned > 0 {
                self.free = (self.free + earned).min(BURST);
                self.since = Instant::now();
            }
            if self.free > 0 {
                return;
            }
            tokio::time::sleep_until(self.since + PACE).await;
        }
    }

    fn take_line(&mut self) -> Result<Option<Vec<u8>>, LinkError> {
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        match end {
            Some(end) if end <= LINE => {
                let line = self.rest.drain(..=end).collect();
                Ok(Some(line))
            }
            None if self.rest.len() <= LINE => Ok(None),
            _ => Err(LinkError::TooLong),
        }
    }

    fn read(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 4096];
        let read = self.stream.try_read(&mut chunk)?;
        self.rest.extend(&chunk[..read]);
        Ok(read)
    }

    fn read_now(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 4096];
        let read = nix::unistd::read(&self.stream, &mut chunk)?;
        self.rest.extend(&chunk[..read]);
        Ok(read)
    }
}

fn parse(line: &[u8]) -> Result<GateEvent, LinkError> {
    serde_json::from_slice(line).map_err(|_| LinkError::Malformed)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    async fn pair() -> (tempfile::TempDir, Link, UnixStream) {
        let folder = tempfile::tempdir().unwrap();
        let door = Door::open(folder.path().join("s")).unwrap();
        let gate = UnixStream::connect(door.path()).await.unwrap();
        let link = door.accept(Some(std::process::id())).await.unwrap();
        (folder, link, gate)
    }

    const CONNECTED: &[u8] = b"{\"event\": \"connected\"}\n";

    #[tokio::test]
    async fn only_the_expected_process_is_let_in() {
        let folder = tempfile::tempdir().unwrap();
        let door = Door::open(folder.path().join("s")).unwrap();
        let _other = UnixStream::connect(door.path()).await.unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(50), door.accept(Some(1)));
        assert!(waiting.await.is_err());
        let path = door.path().to_owned();
        drop(door);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn lines_are_read_whole_and_the_end_is_seen() {
        let (_folder, mut link, mut gate) = pair().await;
        gate.write_all(&CONNECTED[..5]).await.unwrap();
        assert!(
            tokio::time::timeout(Duration::from_millis(20), link.next())
                .await
                .is_err()
        );
        gate.write_all(&CONNECTED[5..]).await.unwrap();
        assert_eq!(link.next().await.unwrap(), Some(GateEvent::Connected));
        gate.write_all(b"{}\n").await.unwrap();
        assert!(matches!(link.next().await, Err(LinkError::Malformed)));
        drop(gate);
        assert_eq!(link.next().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_refused() {
        let (_folder, mut link, mut gate) = pair().await;
        let flood =
            tokio::spawn(async move { while gate.write_all(&[b'x'; 4096]).await.is_ok() {} });
        assert!(matches!(link.next().await, Err(LinkError::TooLong)));
        assert!(link.rest.len() <= LINE + 4096);
        drop(link);
        flood.await.unwrap();
    }

    #[tokio::test]
    async fn whoever_talks_without_end_waits() {
        let (_folder, mut link, mut gate) = pair().await;
        gate.write_all(&CONNECTED.repeat(200)).await.unwrap();
        let begin = Instant::now();
        for _ in 0..BURST + 2 {
            link.next().await.unwrap();
        }
        assert!(begin.elapsed() >= PACE * 3 / 2, "two lines too many");
        assert_eq!(link.last().len(), 200 - 66, "the end is not waited for");
    }
}
