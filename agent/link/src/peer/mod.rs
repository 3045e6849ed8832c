//! One peer: what the configuration says of it, its connections, and what is wrong with it.
//!
//! There may be several connections at a time, because both sides dial and a peer that starts anew
//! does not wait until its old ones are noticed to be dead. The newest is used for what begins; what
//! an older one carries goes on.

pub(crate) mod dial;
mod problems;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use e3_core::mesh::link::{self, Id};
use tokio::sync::{Notify, watch};

pub(crate) use problems::Problems;

use crate::carry::rooms::Rooms;
use crate::connection::Connection;
use crate::wire::close;

/// Connections with one peer at a time.
const CONNECTIONS: usize = 4;
/// So long may a second connection stay that carries nothing.
const DUPLICATE: Duration = Duration::from_secs(10);

/// What the configuration says of a peer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) peer: link::Peer,
    /// How long local connections wait.
    pub(crate) hold: Duration,
}

impl Settings {
    /// Whether a service of the peer is to be at this address.
    pub(crate) fn reaches(&self, listen: SocketAddr, port: u16) -> bool {
        self.listeners().any(|known| known == (listen, port))
    }

    /// Where the peer's services are to be, and their ports there.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = (SocketAddr, u16)> {
        let reach = self.peer.reach.iter();
        reach.map(|reach| ((self.peer.local, reach.listen()).into(), reach.port))
    }

    /// Where the service is that the peer asks for by this port, if it may.
    pub(crate) fn serves(&self, port: u16) -> Option<SocketAddr> {
        let mut serve = self.peer.serve.iter();
        serve
            .find(|serve| serve.port == port)
            .map(link::Serve::target)
    }
}

/// A peer.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: Id,
    /// Nothing once it is no peer any more.
    settings: watch::Sender<Option<Settings>>,
    /// The oldest first.
    live: watch::Sender<Vec<Arc<Live>>>,
    /// What room the peer's services have for local programs, and local ones for the peer.
    pub(crate) outgoing: Rooms,
    pub(crate) incoming: Rooms,
    pub(crate) held: AtomicUsize,
    /// What comes from it otherwise than by its connections here.
    pub(crate) guests: AtomicUsize,
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
    last_seen: Mutex<Option<Instant>>,
    /// It has come by another way, so it is worth while to look for it.
    pub(crate) came: Notify,
    pub(crate) problems: Problems,
}

/// A connection with a peer.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) connection: Connection,
    since: Instant,
    /// Which run of the peer's process this is with.
    run: OnceLock<u64>,
    /// What it carries.
    pub(crate) streams: AtomicUsize,
    /// How much had come by it when somebody last looked.
    heard: AtomicU64,
}

impl Live {
    fn is(&self, other: &Self) -> bool {
        self.connection.is(&other.connection)
    }
}

impl Peer {
    pub(crate) fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            id: settings.peer.id,
            settings: watch::Sender::new(Some(settings)),
            live: watch::Sender::default(),
            outgoing: Rooms::default(),
            incoming: Rooms::default(),
            held: AtomicUsize::new(0),
            guests: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            last_seen: Mutex::new(None),
            came: Notify::new(),
            problems: Problems::default(),
        })
    }

    /// What the configuration says now; nothing once it is no peer any more.
    pub(crate) fn settings(&self) -> Option<Settings> {
        self.settings.borrow().clone()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Settings>> {
        self.settings.subscribe()
    }

    /// Takes new settings, or none, and then whatever is carried ends.
    pub(crate) fn set(&self, settings: Option<Settings>) {
        let is_gone = settings.is_none();
        // An attempt to reach it that is under way does not begin anew for nothing.
        self.settings.send_if_modified(|known| {
            let is_new = *known != settings;
            *known = settings;
            is_new
        });
        if is_gone {
            for live in self.live.send_replace(Vec::new()) {
                live.connection.close(close::GONE);
            }
        }
    }

    /// Resolves when the settings do not say `what` any more.
    pub(crate) async fn until_not(&self, what: impl Fn(&Settings) -> bool) {
        let mut settings = self.settings.subscribe();
        let stays = |settings: &Option<Settings>| settings.as_ref().is_some_and(&what);
        // An error says that the peer is not even there any more.
        let _ = settings.wait_for(|settings| !stays(settings)).await;
    }

    /// The connection for what begins.
    pub(crate) fn newest(&self) -> Option<Arc<Live>> {
        self.live.borrow().last().cloned()
    }

    /// The same as soon as there is one.
    pub(crate) async fn connected(&self) -> Arc<Live> {
        let mut live = self.live.subscribe();
        loop {
            if let Some(newest) = live.borrow_and_update().last() {
                return newest.clone();
            }
            if live.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Resolves when there is no connection.
    pub(crate) async fn alone(&self) {
        let _ = self.live.subscribe().wait_for(Vec::is_empty).await;
    }

    /// Resolves when another connection than `live` is the newest, or none is there.
    pub(crate) async fn superseded(&self, live: &Live) {
        let is_other = |list: &Vec<Arc<Live>>| list.last().is_none_or(|newest| !newest.is(live));
        let _ = self.live.subscribe().wait_for(is_other).await;
    }

    /// Takes a connection on.
    pub(crate) fn admit(&self, connection: Connection) -> Arc<Live> {
        let live = Arc::new(Live {
            connection,
            since: Instant::now(),
            run: OnceLock::new(),
            streams: AtomicUsize::new(0),
            heard: AtomicU64::new(0),
        });
        self.saw();
        self.live.send_modify(|list| {
            list.push(live.clone());
            if list.len() > CONNECTIONS {
                list.remove(0).connection.close(close::OLD);
            }
        });
        live
    }

    /// A connection has ended.
    pub(crate) fn dismiss(&self, live: &Live) {
        self.live
            .send_modify(|list| list.retain(|known| !known.is(live)));
    }

    /// The process at the other end of `live` has said which run of it this is. Connections of earlier runs are dead, and
    /// what they carry waits in vain.
    pub(crate) fn met(&self, live: &Live, run: u64) {
        if live.run.set(run).is_ok() {
            self.end_others(run, live.since);
        }
    }

    /// The same, where the peer's process has come by another way.
    pub(crate) fn runs(&self, run: u64) {
        self.saw();
        self.came.notify_one();
        self.end_others(run, Instant::now());
    }

    fn end_others(&self, run: u64, since: Instant) {
        for known in self.live.borrow().iter() {
            let is_same_run = known.run.get().is_none_or(|known| *known == run);
            if !is_same_run && known.since <= since {
                known.connection.close(close::OLD);
            }
        }
    }

    /// Looks at the connections: whether something has come, and whether one can go. Only one of the two sides lets
    /// connections go (`is_tidy`), or each might choose another one.
    pub(crate) fn look(&self, is_tidy: bool) {
        let list = self.live.borrow();
        for live in list.iter() {
            let heard = live.connection.heard();
            if live.heard.swap(heard, Ordering::Relaxed) != heard {
                self.saw();
            }
        }
        let Some((_, older)) = list.split_last() else {
            return;
        };
        for live in older.iter().filter(|_| is_tidy) {
            if live.streams.load(Ordering::Relaxed) == 0 && live.since.elapsed() > DUPLICATE {
                live.connection.close(close::DUPLICATE);
            }
        }
    }

    fn saw(&self) {
        let mut seen = self
            .last_seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *seen = Some(Instant::now());
    }

    pub(crate) fn last_seen(&self) -> Option<Instant> {
        *self
            .last_seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How many connections of programs are carried.
    pub(crate) fn carried(&self) -> usize {
        let live = self.live.borrow();
        let streams = live.iter().map(|live| live.streams.load(Ordering::Relaxed));
        streams.sum::<usize>() + self.guests.load(Ordering::Relaxed)
    }
}
