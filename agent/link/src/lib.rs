//! `e3-link`: the built-in mesh.
//!
//! It carries TCP connections between parties inside QUIC: behind routers that only let connections
//! out, by punched holes where that is possible and by the fleet's own relay where it is not, by TCP
//! 443 alone where UDP is blocked. It needs no TUN device, no root and no server but the fleet's own.
//! What the agent tells it and hears from it is [`e3_core::mesh::link`]; the agent does not link this
//! crate, so that it stays small.
//!
//! ## How a connection goes
//!
//! Each peer has an address of its own in 127.0.0.0/8 on each machine, which the agent chooses. A
//! program dials its peer there. The near `e3-link` accepts, opens a stream on its QUIC connection to
//! the peer, and names the service's port; the far one looks whether that peer may reach that port,
//! connects to the service from the address that stands for the near machine there, and says so. From
//! then on bytes, ends and breaks of either direction are passed on.
//!
//! - **Late peers are waited for.** MPyC dials until it is accepted, once. So the near end holds its
//!   program while the peer is not there, the peer's service does not listen yet, or the peer does not
//!   know this machine yet, and resets it only after `hold_seconds`.
//! - **An end is an end.** A stream that breaks reaches the program as a reset, never as an end of file.
//! - **Who may what** is decided by the far end, by the key that the handshake has proved and its own
//!   configuration. Everybody else is turned away after the handshake, and never gets a stream.
//! - **A local address is no proof.** Every program on the machine can dial it; what is behind it is
//!   MPyC and agents, which prove themselves to each other by TLS of their own.
//!
//! ## Bounds
//!
//! | what | at most |
//! |---|---|
//! | peers; QUIC connections with each | 64; 4 |
//! | carried connections for each service of each peer | 32 |
//! | bytes that are kept for a program that does not read | 4 MiB, and 1.5 MiB under way |
//! | handshakes under way, with anybody | 64, each 8 s |
//! | what a stream is for must be said within | 5 s |
//! | a local connection is held for | `hold_seconds` |
//! | a configuration; a list of parties for a relay | 256 KiB; 4096 parties |
//!
//! Silence of 20 seconds ends a QUIC connection; a peer whose process starts anew ends its old ones at once.
//!
//! ## The relay
//!
//! `e3-link relay` (feature `relay`, [`e3_core::mesh::link::RelayConfig`]) passes sealed packets between the parties on
//! its list, over HTTPS, and tells them by QUIC what their addresses look like from outside, without
//! which no hole can be punched. It can withhold and it sees who speaks to whom; it cannot read, change
//! or pose as anybody.

pub mod args;
mod carrier;
mod carry;
mod connection;
pub mod control;
mod endpoint;
pub mod error;
mod home;
pub mod key;
pub mod logging;
mod mesh;
mod onion;
mod peer;
#[cfg(feature = "relay")]
pub mod relay;
mod report;
pub mod run;
mod tls;
mod wire;
