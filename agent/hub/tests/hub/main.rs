//! The hub over real sockets: what it takes, what it refuses, what it survives.

#![allow(clippy::disallowed_methods, reason = "tests write files as they like")]

#[cfg(feature = "s3")]
mod bucket;
mod common;
mod full;
mod hostile;
mod keys;
mod machines;
mod page;
mod publish;
mod push;
mod requests;
mod stored;
mod survive;
mod tailnet;
mod tls;
mod udp;
