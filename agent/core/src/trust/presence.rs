//! How a party numbers its presences.
//!
//! A hub takes a presence only in place of one with a lower counter. The clock, in milliseconds, is such a counter, and needs
//! nothing to be kept on the disk; but a clock may have been years ahead, or fall back to 1970. The party then goes on from
//! what it finds at the hub. Not from a number that the hub tells: one that says 2^64 - 1 would silence the party for ever.
//! What counts is the presence itself, since the party has signed it: a hub can make the counter go no further than the party
//! has been, and show an older one at worst, which leaves things as they are.

use crate::document::Presence;
use crate::key::PublicKey;
use crate::name::Name;

/// The counter of this party's newest presence; 0 before the first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PresenceCounter(u64);

impl PresenceCounter {
    /// The next presence's: `clock`, in milliseconds since 1970, or one more than the last if that is not enough.
    pub fn next(&mut self, clock: u64) -> u64 {
        self.0 = clock.max(self.0.saturating_add(1));
        self.0
    }

    /// Takes note of a presence that a hub shows as this party's own; returns whether the next ones will have a higher counter
    /// because of it. One that `party` has not signed, for this fleet, changes nothing.
    pub fn found(&mut self, envelope: &[u8], party: &PublicKey, fleet: &Name) -> bool {
        let found = Presence::open(envelope, party, fleet).map_or(0, |own| own.counter);
        let is_news = found > self.0;
        self.0 = self.0.max(found);
        is_news
    }
}
