//! How often one network may try to sign in: enough for people, not enough to keep the hub busy with signatures.
//!
//! Behind a proxy everybody comes from one address, and shares.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use e3_core::time::Time;

/// Requests at once: a sign-in takes three.
const BURST: u32 = 30;
/// Seconds until there is another one.
const SECONDS: i64 = 2;
/// Networks that are remembered; all others share one place.
const NETWORKS: usize = 4096;

/// What every network has left. Forgotten with the process.
#[derive(Default)]
pub(crate) struct Pace(Mutex<HashMap<Option<IpAddr>, Bucket>>);

struct Bucket {
    left: u32,
    filled: Time,
}

impl Bucket {
    fn fill(&mut self, now: Time) {
        // A clock that was set back only delays the next ones.
        let more = u32::try_from(now.since(self.filled).max(0) / SECONDS).unwrap_or(u32::MAX);
        if more > 0 {
            self.left = self.left.saturating_add(more).min(BURST);
            self.filled = now;
        }
    }
}

impl Pace {
    /// Takes one of the network's requests, if it has any left.
    pub(crate) fn take(&self, network: Option<IpAddr>, now: Time) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= NETWORKS && !all.contains_key(&network) {
            all.retain(|_, bucket| {
                bucket.fill(now);
                bucket.left < BURST
            });
        }
        let is_full = all.len() >= NETWORKS && !all.contains_key(&network);
        let place = if is_full { None } else { network };
        let bucket = all.entry(place).or_insert(Bucket {
            left: BURST,
            filled: now,
        });
        bucket.fill(now);
        let may = bucket.left > 0;
        bucket.left = bucket.left.saturating_sub(1);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_in_a_hurry_waits_and_memory_is_bounded() {
        let (pace, at) = (Pace::default(), Time::from_unix);
        let network = |n: u32| Some(IpAddr::from(n.to_be_bytes()));
        for _ in 0..BURST {
            assert!(pace.take(network(1), at(0)));
        }
        assert!(!pace.take(network(1), at(0)));
        assert!(pace.take(network(2), at(0)));
        assert!(pace.take(network(1), at(SECONDS)));
        assert!(!pace.take(network(1), at(SECONDS)));
        for n in 10..20_000 {
            pace.take(network(n), at(SECONDS));
        }
        assert!(pace.0.lock().unwrap().len() <= NETWORKS + 1);
        // Time goes on, and so does everybody else.
        assert!(pace.take(network(77_777), at(1_000)));
    }
}
