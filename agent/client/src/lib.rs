//! What the daemon, the owner's command and the tests share: the way to a hub and to a Python index,
//! TLS, careful files, randomness and the clock.
//!
//! Nothing here decides whether a document counts: [`hub`] fetches and sends bytes, bounded and
//! checked against the digests they were asked for by; `e3-core` verifies them.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod clock;
pub mod files;
pub mod hub;
pub mod human;
pub mod index;
pub mod join;
pub mod looks;
pub mod random;
pub mod seal;
pub mod tls;
pub mod toml_file;
