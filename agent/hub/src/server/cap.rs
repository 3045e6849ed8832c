//! How many connections there may be, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::network;

/// The caps and what is used of them.
#[derive(Clone)]
pub(super) struct Cap {
    all: usize,
    each: usize,
    used: Arc<Mutex<Used>>,
}

#[derive(Default)]
struct Used {
    all: usize,
    each: HashMap<IpAddr, usize>,
}

/// A connection's place; dropping it makes room.
pub(super) struct Place {
    address: IpAddr,
    used: Arc<Mutex<Used>>,
}

fn lock(used: &Mutex<Used>) -> MutexGuard<'_, Used> {
    used.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cap {
    pub(super) fn new(all: usize, each: usize) -> Self {
        Self {
            all,
            each,
            used: Arc::default(),
        }
    }

    /// A place, if there is one.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Place> {
        let address = network(address);
        let mut used = lock(&self.used);
        let here = used.each.get(&address).copied().unwrap_or_default();
        if used.all >= self.all || here >= self.each {
            return None;
        }
        used.all += 1;
        used.each.insert(address, here + 1);
        Some(Place {
            address,
            used: Arc::clone(&self.used),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut used = lock(&self.used);
        used.all -= 1;
        let here = used.each.get(&self.address).copied().unwrap_or_default();
        if here > 1 {
            used.each.insert(self.address, here - 1);
        } else {
            used.each.remove(&self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_caps_hold_and_places_come_back() {
        let cap = Cap::new(3, 2);
        let [a, b] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
        let first = cap.enter(a).unwrap();
        let _second = cap.enter(a).unwrap();
        assert!(cap.enter(a).is_none());
        let third = cap.enter(b).unwrap();
        assert!(cap.enter(b).is_none());
        drop(first);
        assert!(cap.enter(a).is_some());
        drop(third);
        assert_eq!(lock(&cap.used).each.len(), 1);
    }
}
