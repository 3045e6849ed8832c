//! How often each party may publish its presence: enough for every session that it can run, not
//! enough to keep the store and every subscriber busy.
//!
//! Only presences that are signed, of an enrolled party and new are counted: nobody can use up
//! another party's share by sending its old ones again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use e3_core::key::PublicKey;
use e3_core::time::Time;

/// Presences at once: a party at work tells each step of each session.
const BURST: u32 = 60;
/// And then so many each second.
const PER_SECOND: u32 = 2;

/// What every enrolled party may still publish. Forgotten with the process.
#[derive(Default)]
pub(super) struct Pace(Mutex<HashMap<PublicKey, Bucket>>);

struct Bucket {
    left: u32,
    filled: Time,
}

impl Pace {
    /// Takes one of the party's presences, if it has any left.
    pub(super) fn take(&self, party: PublicKey, now: Time) -> bool {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(party).or_insert(Bucket {
            left: BURST,
            filled: now,
        });
        // A clock that was set back only delays the next ones.
        let seconds = u32::try_from(now.since(bucket.filled).max(0)).unwrap_or(u32::MAX);
        bucket.left = bucket
            .left
            .saturating_add(seconds.saturating_mul(PER_SECOND))
            .min(BURST);
        bucket.filled = now;
        let may = bucket.left > 0;
        bucket.left = bucket.left.saturating_sub(1);
        may
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
        for _ in 0..BURST {
            assert!(pace.take(busy, at(0)));
        }
        assert!(!pace.take(busy, at(0)));
        assert!(pace.take(other, at(0)));
        for _ in 0..PER_SECOND {
            assert!(pace.take(busy, at(1)));
        }
        assert!(!pace.take(busy, at(1)));
        assert!(!pace.take(busy, at(-100)), "a clock set back gives nothing");
        for _ in 0..BURST {
            assert!(pace.take(busy, at(1_000_000)));
        }
        assert!(
            !pace.take(busy, at(1_000_000)),
            "nothing is saved up beyond the burst"
        );
    }
}
