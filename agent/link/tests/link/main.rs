//! `e3-link` as it is: real processes, real sockets, QUIC between them over the loopback interface.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod carry;
mod control;
mod identity;
#[cfg(feature = "relay")]
mod nat;
#[cfg(feature = "relay")]
mod network;
#[cfg(feature = "relay")]
mod place;
#[cfg(feature = "relay")]
mod relay;
mod world;
