//! Ctrl-C for work that runs in threads: looked at between two pieces.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often somebody looks who waits for it.
const LOOK: Duration = Duration::from_millis(100);

/// Whether to stop.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Stop at the next opportunity.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked for it.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits until somebody asks for it.
    pub async fn asked(&self) {
        while !self.is_set() {
            tokio::time::sleep(LOOK).await;
        }
    }
}
