//! Carrying: a program's connection becomes a stream to the peer, and a stream of the peer becomes a
//! connection to a program.
//!
//! MPyC dials until a connection is accepted, and never again. So a connection that is accepted here is
//! held until the service at the far end has accepted, too; only when that takes too long it is reset.

pub(crate) mod listen;
mod open;
mod pace;
pub(crate) mod rooms;
pub(crate) mod serve;
mod splice;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Counts bytes that have gone.
pub(crate) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(u64::try_from(count).unwrap_or_default(), Ordering::Relaxed);
}

/// Counts one more for as long as it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
