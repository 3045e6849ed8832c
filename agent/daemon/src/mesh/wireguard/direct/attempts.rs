//! How often a party is dialled: rarer and rarer, since most attempts to reach somebody straight are in vain for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use e3_core::key::PublicKey;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::peer::link::Addresses;
use crate::sync::jitter;

/// Between attempts, at first, and at most to an anchor and to anybody else.
const RETRY: Duration = Duration::from_millis(250);
const RETRY_ANCHOR: Duration = Duration::from_secs(2);
const RETRY_OTHER: Duration = Duration::from_mins(1);

/// The attempts to reach one party. Cheap to clone.
#[derive(Clone)]
pub(super) struct Attempts(Arc<Parts>);

struct Parts {
    at: String,
    most: Duration,
    failed: AtomicU32,
    again: Notify,
}

impl Attempts {
    /// At this `host:port`.
    pub(super) fn new(at: String, is_anchor: bool) -> Self {
        Self(Arc::new(Parts {
            at,
            most: if is_anchor { RETRY_ANCHOR } else { RETRY_OTHER },
            failed: AtomicU32::new(0),
            again: Notify::new(),
        }))
    }

    /// One has succeeded.
    pub(super) fn succeeded(&self) {
        self.0.failed.store(0, Ordering::Relaxed);
    }

    /// There is a reason to try again now.
    pub(super) fn again(&self) {
        self.succeeded();
        self.0.again.notify_one();
    }
}

impl Addresses for Attempts {
    async fn of(&self, _: PublicKey, _: bool) -> Vec<String> {
        let failed = self.0.failed.fetch_add(1, Ordering::Relaxed);
        if failed > 0 {
            let pause = RETRY * 2_u32.saturating_pow(failed.min(8));
            let _ = timeout(jitter(pause.min(self.0.most)), self.0.again.notified()).await;
        }
        vec![self.0.at.clone()]
    }
}
