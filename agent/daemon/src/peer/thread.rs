//! A thread of its own for the connections between parties, so that heartbeats do not wait for the disk.
//!
//! The rest of the agent does: what it believes and what it does must be on the disk first. A party whose disk is slow
//! would be given up by the others, if it could not even say that it is alive. Whether its main loop turns is not said
//! here: systemd's watchdog sees to that, and a session's deadlines to how long it may take.
//!
//! Nothing on this thread may touch a file, or a lock that somebody holds who does.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::link::BEAT;

/// The thread; it ends with this.
#[derive(Debug)]
pub struct LinkThread {
    runtime: Handle,
    _end: oneshot::Sender<()>,
}

impl LinkThread {
    /// Starts it.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel();
        let turn = move || {
            // What it does is spawned from elsewhere.
            let _ = runtime.block_on(ended);
        };
        std::thread::Builder::new()
            .name("links".to_owned())
            .spawn(turn)?;
        Ok(Self {
            runtime: handle,
            _end: end,
        })
    }

    /// Does this on the thread.
    pub fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.runtime.spawn(work)
    }

    /// Has the thread wait for connections, which until now another one did.
    pub fn take(&self, listener: TcpListener) -> io::Result<TcpListener> {
        let listener = listener.into_std()?;
        let _inside = self.runtime.enter();
        TcpListener::from_std(listener)
    }

    /// Watches from now on whether the thread stands still for so long.
    pub fn watch(&self, silence: Duration) -> Watch {
        let turns = Arc::new(Mutex::new(Turns::since(Instant::now(), silence)));
        let seen = Arc::clone(&turns);
        let beats = self.spawn(async move {
            loop {
                tokio::time::sleep(BEAT).await;
                lock(&seen).turn(Instant::now());
            }
        });
        Watch { turns, beats }
    }
}

/// Whether the thread has stood still, as when the whole agent or its machine is stopped.
#[derive(Debug)]
pub struct Watch {
    turns: Arc<Mutex<Turns>>,
    beats: JoinHandle<()>,
}

impl Watch {
    /// Whether it has, at any time, for so long that the other parties have given this one up.
    pub fn has_stood_still(&self) -> bool {
        lock(&self.turns).stood_still(Instant::now())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.beats.abort();
    }
}

fn lock(turns: &Mutex<Turns>) -> std::sync::MutexGuard<'_, Turns> {
    turns.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When the thread has last turned. Whoever asks may be awake again before the thread is, or after it.
#[derive(Debug)]
struct Turns {
    last: Instant,
    silence: Duration,
    stood: bool,
}

impl Turns {
    const fn since(last: Instant, silence: Duration) -> Self {
        let stood = false;
        Self {
            last,
            silence,
            stood,
        }
    }

    fn turn(&mut self, now: Instant) {
        self.stood = self.stood_still(now);
        self.last = now;
    }

    fn stood_still(&self, now: Instant) -> bool {
        self.stood || now.saturating_duration_since(self.last) >= self.silence
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::super::link::{LinkEvent, Peer, SESSION, serve};
    use super::*;

    #[tokio::test]
    async fn a_thread_that_waits_for_the_disk_is_not_given_up() {
        let (ours, theirs) = tokio::io::duplex(1024);
        let peer = |party| Peer {
            party,
            address: None,
            round_trip: None,
        };
        let ((here, mut told), (there, mut heard)) = (mpsc::channel(8), mpsc::channel(8));
        let (thread, other) = (LinkThread::start().unwrap(), LinkThread::start().unwrap());
        let silence = SESSION.silence;
        let watch = thread.watch(silence);
        thread.spawn(serve(ours, peer(1), SESSION, here));
        other.spawn(serve(theirs, peer(0), SESSION, there));
        let Some((1, LinkEvent::Up(_way, _))) = told.recv().await else {
            panic!("not up")
        };
        let Some((0, LinkEvent::Up(_back, _))) = heard.recv().await else {
            panic!("not up")
        };
        // As a call does that waits for the disk: nothing else of this runtime runs.
        std::thread::sleep(silence + 2 * BEAT);
        assert!(heard.try_recv().is_err(), "it was given up");
        assert!(told.try_recv().is_err());
        assert!(!watch.has_stood_still());
    }

    #[test]
    fn standing_still_is_noticed_whoever_wakes_first() {
        let begin = Instant::now();
        let silence = SESSION.silence;
        let mut turns = Turns::since(begin, silence);
        turns.turn(begin + BEAT);
        assert!(!turns.stood_still(begin + 2 * BEAT));
        let after = begin + BEAT + silence;
        assert!(turns.stood_still(after), "the one who asks");
        turns.turn(after);
        assert!(turns.stood_still(after), "the thread");
        turns.turn(after + BEAT);
        assert!(turns.stood_still(after + BEAT), "and it stays so");
    }
}
