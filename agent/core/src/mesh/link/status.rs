//! What `e3-link` answers.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Config, Id};

/// One line on the control socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// How does the mesh stand? Answered by [`Answer::Status`].
    Status,
    /// Read the configuration again, as at SIGHUP. Answered by [`Answer::Reloaded`] when it is in effect, or by
    /// [`Answer::Refused`], and then nothing has changed.
    Reload,
    /// The machine has got another address or another way out: connections to relays of Tor are made anew, which would not notice
    /// for a quarter of an hour. The built-in mesh notices by itself. Answered by [`Answer::Heard`].
    Moved,
    /// Take this configuration in the place of the one that was read. Answered like a reload.
    Apply(Box<Config>),
}

/// The line that comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// How the mesh stands.
    Status(Box<Status>),
    /// The configuration with this generation is in effect.
    Reloaded(u64),
    /// It is so.
    Heard,
    /// Nothing has changed, and why.
    Refused(String),
}

/// How the mesh stands on this machine.
///
/// It says what `e3-link` sees. Whether the mesh is up is judged by agents that reach each other
/// through it, and by nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// This machine's transport key.
    pub id: Id,
    /// The generation of the configuration that is in effect.
    pub generation: u64,
    /// Where others might find this machine: its own addresses, and what relays see.
    pub addresses: Vec<SocketAddr>,
    /// The relays that this machine waits at; of those that it is configured for usually the nearest.
    pub relays: Vec<RelayState>,
    /// Whether packets get out and back by UDP; nobody knows without a relay.
    pub udp: Option<bool>,
    /// Whether a router gives this machine another address for everyone whom it speaks to, so that holes can be punched
    /// only from the other side; nobody knows without two relays.
    pub symmetric: Option<bool>,
    /// What is wrong with this machine's place in the mesh.
    pub problems: Vec<Problem>,
    /// The peers, in the configuration's order.
    pub peers: Vec<PeerStatus>,
    /// How many have knocked with a transport key that is no peer's, since the start.
    pub strangers: u64,
}

/// A relay, seen from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayState {
    /// Its URL.
    pub url: String,
    /// Whether this machine is connected to it.
    pub connected: bool,
}

/// A peer, seen from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Its transport key.
    pub id: Id,
    /// How packets get there.
    pub path: PeerPath,
    /// How long a packet takes there and back, in microseconds.
    pub rtt_us: Option<u64>,
    /// Bytes of carried connections that went there, since the start.
    pub sent: u64,
    /// Bytes of carried connections that came from there.
    pub received: u64,
    /// Connections that are carried just now.
    pub carried: usize,
    /// Local connections that wait for it.
    pub held: usize,
    /// Milliseconds since something came from it, if anything ever did.
    pub last_seen_ms: Option<u64>,
    /// What is wrong with it, or with what is carried for it.
    pub problems: Vec<Problem>,
}

/// How packets get to a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PeerPath {
    /// They do not.
    None,
    /// By a relay.
    Relayed {
        /// Its URL.
        relay: String,
    },
    /// By themselves.
    Direct {
        /// Where they go.
        address: SocketAddr,
    },
}

/// What keeps packets from getting somewhere. `detail`s are for people, cleaned for a terminal, and never for deciding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Problem {
    /// No relay of those in the configuration is connected.
    NoRelay {
        /// What the last attempt came to.
        detail: String,
    },
    /// A relay does not serve this machine's transport key.
    RelayRefused {
        /// The relay's URL.
        relay: String,
    },
    /// A relay's certificate is not of the fleet's authorities, or of another name.
    RelayCertificate {
        /// Why it is refused.
        detail: String,
    },
    /// A relay's certificate is good for other times than this machine's: a clock is wrong, or it has expired.
    ClockWrong {
        /// Seconds that this machine's clock is before the certificate's beginning; 0 if it is past its end.
        behind: u64,
        /// What the two say.
        detail: String,
    },
    /// UDP does not get out or does not come back: everything goes by a relay.
    UdpBlocked,
    /// A reload was refused; what was in effect before still is.
    ConfigRefused {
        /// Why.
        detail: String,
    },
    /// There is no relay, and no address of the peer is known.
    NoWay,
    /// The peer does not answer, neither at its addresses nor at a relay.
    Unreachable {
        /// What the last attempt came to.
        detail: String,
    },
    /// The peer does not know this machine's transport key.
    NotAPeer,
    /// Somebody without the peer's key answers at an address of it.
    WrongIdentity {
        /// Why what it has shown is refused.
        detail: String,
    },
    /// The peer does not let this machine reach one of its services.
    NotServed {
        /// The service's port there.
        port: u16,
    },
    /// A program of this machine holds the address at which a service of the peer should be.
    PortTaken {
        /// Which address.
        listen: SocketAddr,
    },
    /// The peer, or this machine for it, carries as many connections as it may.
    TooMany,
}
