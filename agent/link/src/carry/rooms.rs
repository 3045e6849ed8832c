//! How many connections each service may have at a time.
//!
//! Each service has room of its own: a session's program that opens connections without end must not
//! take the agents' own away.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Connections with one service of one peer at a time. MPyC has one with each party, an agent a few.
pub(crate) const ROOM: usize = 32;

/// How many are in which room.
#[derive(Debug, Default)]
pub(crate) struct Rooms(Mutex<BTreeMap<u16, usize>>);

/// A place in a room, until it is dropped.
pub(crate) struct Place<'a> {
    rooms: &'a Rooms,
    port: u16,
}

impl Rooms {
    fn taken(&self) -> MutexGuard<'_, BTreeMap<u16, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more connection with the service, if there is one.
    pub(crate) fn enter(&self, port: u16) -> Option<Place<'_>> {
        let mut taken = self.taken();
        let count = taken.entry(port).or_default();
        if *count >= ROOM {
            return None;
        }
        *count += 1;
        Some(Place { rooms: self, port })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.rooms.taken();
        if let Some(count) = taken.get_mut(&self.port) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.port);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_has_room_of_its_own_and_gets_it_back() {
        let rooms = Rooms::default();
        let places: Vec<_> = (0..ROOM).map(|_| rooms.enter(1).unwrap()).collect();
        assert!(rooms.enter(1).is_none());
        assert!(rooms.enter(2).is_some());
        drop(places);
        assert!(rooms.taken().is_empty());
    }
}
