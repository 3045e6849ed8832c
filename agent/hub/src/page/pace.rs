//! How often one network may try to sign in: enough for people, not enough to keep the hub busy with signatures.
//!
//! Behind a proxy everybody comes from one address, and shares.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use e3_core::bucket::{Bucket, Rate};
use e3_core::time::Time;

/// Requests at once: a sign-in takes three. And until there is another one.
const RATE: Rate = Rate {
    burst: 30,
    more: 1,
    seconds: 2,
};
/// Networks that are remembered; all others share one place.
const NETWORKS: usize = 4096;

/// What every network has left. Forgotten with the process.
#[derive(Default)]
pub(crate) struct Pace(Mutex<HashMap<Option<IpAddr>, Bucket>>);

impl Pace {
    /// Takes one of the network's requests, if it has any left.
    pub(crate) fn take(&self, network: Option<IpAddr>, now: Time) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= NETWORKS && !all.contains_key(&network) {
            all.retain(|_, bucket| !bucket.is_full(RATE, now.max(bucket.filled())));
        }
        let is_full = all.len() >= NETWORKS && !all.contains_key(&network);
        let place = if is_full { None } else { network };
        let bucket = all.entry(place).or_insert(Bucket::new(RATE, now));
        // Where anybody may come, a clock that was set back gives nothing until it has caught up.
        bucket.take(RATE, now.max(bucket.filled()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_in_a_hurry_waits_and_memory_is_bounded() {
        let (pace, at) = (Pace::default(), Time::from_unix);
        let network = |n: u32| Some(IpAddr::from(n.to_be_bytes()));
        for _ in 0..RATE.burst {
            assert!(pace.take(network(1), at(0)));
        }
        assert!(!pace.take(network(1), at(0)));
        assert!(pace.take(network(2), at(0)));
        assert!(pace.take(network(1), at(RATE.seconds)));
        assert!(!pace.take(network(1), at(RATE.seconds)));
        for n in 10..20_000 {
            pace.take(network(n), at(RATE.seconds));
        }
        assert!(pace.0.lock().unwrap().len() <= NETWORKS + 1);
        // Time goes on, and so does everybody else.
        assert!(pace.take(network(77_777), at(1_000)));
    }
}
