//! What is wrong with a peer: kept until it is not wrong any more.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use e3_core::mesh::link::Problem;

/// So long something is shown that happens rather than lasts.
const SHOWN: Duration = Duration::from_mins(1);

#[derive(Debug, Default)]
struct Known {
    /// Why the last attempt to reach it failed.
    dial: Option<Problem>,
    /// Services that it has refused.
    not_served: BTreeMap<u16, Instant>,
    /// Addresses that somebody else holds.
    taken: BTreeSet<SocketAddr>,
    /// When there was no room.
    too_many: Option<Instant>,
}

/// What is wrong with a peer.
#[derive(Debug, Default)]
pub(crate) struct Problems(Mutex<Known>);

impl Problems {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the last attempt to reach the peer has come to. Whether that is news.
    pub(crate) fn dialled(&self, problem: Option<Problem>) -> bool {
        let mut known = self.known();
        let is_news = known.dial != problem;
        known.dial = problem;
        is_news
    }

    /// The peer has refused, or opened, one of its services. Whether that is news.
    pub(crate) fn asked(&self, port: u16, is_served: bool) -> bool {
        let mut known = self.known();
        if is_served {
            known.not_served.remove(&port).is_some()
        } else {
            known.not_served.insert(port, Instant::now()).is_none()
        }
    }

    /// An address could, or could not, be listened at. Whether that is news.
    pub(crate) fn listened(&self, listen: SocketAddr, is_free: bool) -> bool {
        let mut known = self.known();
        if is_free {
            known.taken.remove(&listen)
        } else {
            known.taken.insert(listen)
        }
    }

    /// There was no room for one more.
    pub(crate) fn too_many(&self) {
        self.known().too_many = Some(Instant::now());
    }

    /// All of them. Why it could not be reached counts only while it is not.
    pub(crate) fn list(&self, is_connected: bool) -> Vec<Problem> {
        let mut known = self.known();
        let recent = |at: &Instant| at.elapsed() < SHOWN;
        known.not_served.retain(|_, at| recent(at));
        let dial = known.dial.clone().filter(|_| !is_connected);
        let not_served = known.not_served.keys();
        let not_served = not_served.map(|port| Problem::NotServed { port: *port });
        let taken = known.taken.iter();
        let taken = taken.map(|listen| Problem::PortTaken { listen: *listen });
        let too_many = known.too_many.filter(recent).map(|_| Problem::TooMany);
        dial.into_iter()
            .chain(taken)
            .chain(not_served)
            .chain(too_many)
            .collect()
    }
}
