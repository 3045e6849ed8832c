//! The contract between the agent and `e3-link`, the built-in mesh.
//!
//! `e3-link` carries TCP connections between parties inside QUIC. It is the process that strangers
//! on the network can reach, so it holds nothing but a transport key that was born for it: the
//! party's identity key stays with the agent, which signs the binding of the two elsewhere. The
//! crate `e3-link` says how connections are carried; here stands only what crosses the border:
//!
//! | type | as | from, to |
//! |---|---|---|
//! | [`Config`] | a JSON file | the agent renders it, `e3-link run` reads it, again on SIGHUP or [`Request::Reload`] |
//! | | inside [`Request::Apply`] | the agent sends a newer one |
//! | [`Request`], [`Answer`] | one JSON line each way on a Unix socket | the agent asks, `e3-link` answers |
//! | [`Status`] | inside an answer | how the mesh stands, with typed [`Problem`]s |
//! | [`RelayConfig`] | a JSON file | what `e3-link relay` reads |
//! | [`RelayReady`] | a JSON line | what `e3-link relay --attached` says to the hub that has started it |
//! | [`Id`] | 64 hexadecimal digits | what `e3-link keygen` prints, what peers are called by |
//!
//! Where parties are onion services of Tor, `e3-link tor` reads the same configuration and answers the same: each peer has one key more
//! ([`Peer::client`]), there are no relays but Tor's, and of them it is known only whether there is a way to them.
//!
//! An agent may write what it knows to a configuration before anybody is reachable: connections of
//! peers that come late are held, not refused.

mod config;
mod id;
mod plan;
mod relay;
mod status;

pub use config::{Config, ConfigError, KeySource, Peer, Reach, Relay, Serve};
pub use id::{Id, IdError};
pub use plan::Link;
pub use relay::{RelayConfig, RelayConfigError, RelayReady};
pub use status::{Answer, PeerPath, PeerStatus, Problem, RelayState, Request, Status};

/// Bytes in a configuration file. 64 peers with 16 ports each take 100 KiB.
pub const CONFIG: usize = 256 * 1024;
/// Bytes in one request on the control socket: a configuration, and the word for it.
pub const REQUEST: usize = CONFIG + 64;
/// Bytes in one answer on the control socket, which bounds what its reader has to hold.
pub const ANSWER: usize = 512 * 1024;
/// The port by which agents are reached on this mesh. Their own port is taken on every machine: by that machine's agent.
pub const AGENT_PORT: u16 = 7331;
/// Relays of one fleet.
pub const RELAYS: usize = 8;
/// Addresses at which a peer may be found.
pub const ADDRESSES: usize = 16;
/// Services of one peer that are carried to this machine, and of this machine that one peer may reach: its agent and a
/// few sessions at once.
pub const PORTS: usize = 64;
/// Seconds for which a local connection is held while its peer is not there, unless the configuration says another number.
pub const HOLD: u32 = 60;
/// UDP port at which a relay tells addresses, unless somebody says another one.
pub const DISCOVERY_PORT: u16 = 7842;
/// Transport keys that a relay serves.
pub const RELAYED: usize = 4096;
