//! How often each party may publish its presence: enough for every session that it can run, not
//! enough to keep the store and every subscriber busy.
//!
//! Only presences that are signed, of an enrolled party and new are counted: nobody can use up
//! another party's share by sending its old ones again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use e3_core::bucket::{Bucket, Rate};
use e3_core::key::PublicKey;
use e3_core::time::Time;

/// Presences at once: a party at work tells each step of each session. And then so many each second.
const RATE: Rate = Rate {
    burst: 60,
    more: 2,
    seconds: 1,
};

/// What every enrolled party may still publish. Forgotten with the process.
#[derive(Default)]
pub(super) struct Pace(Mutex<HashMap<PublicKey, Bucket>>);

impl Pace {
    /// Takes one of the party's presences, if it has any left.
    pub(super) fn take(&self, party: PublicKey, now: Time) -> bool {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(party).or_insert(Bucket::new(RATE, now));
        bucket.take(RATE, now)
    }
}

#[cfg(test)]
mod tests {
    use e3_core::key::SecretKey;

    use super::*;

    #[test]
    fn a_party_in_a_hurry_waits_and_the_others_do_not() {
        let [busy, other] = [1, 2].map(|n| SecretKey::from_seed(&[n; 32]).public());
        let (pace, at) = (Pace::default(), Time::from_unix);
        for _ in 0..RATE.burst {
            assert!(pace.take(busy, at(0)));
        }
        assert!(!pace.take(busy, at(0)));
        assert!(pace.take(other, at(0)));
        for _ in 0..RATE.more {
            assert!(pace.take(busy, at(1)));
        }
        assert!(!pace.take(busy, at(1)));
        assert!(!pace.take(busy, at(-100)), "a clock set back gives nothing");
        for _ in 0..RATE.burst {
            assert!(pace.take(busy, at(1_000_000)));
        }
        assert!(
            !pace.take(busy, at(1_000_000)),
            "nothing is saved up beyond the burst"
        );
    }
}
