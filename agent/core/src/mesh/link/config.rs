//! What `e3-link run` is told.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{ClientKey, MEMBERS, OnionKey};
use super::{ADDRESSES, CONFIG, DISCOVERY_PORT, HOLD, Id, PORTS, RELAYS};
use crate::name::Name;
use crate::time::Time;

/// All that `e3-link run` is told, rendered by the agent. It holds no secret.
///
/// On a reload `generation`, `clock_floor`, `peers` and `hold_seconds` take effect at once, and without touching
/// connections of peers and ports that stay; anything else wants a restart, and the reload is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The agent's own count of what it has rendered. [`super::Status::generation`] gives it back, so the agent can tell
    /// that a change has taken effect.
    #[serde(default)]
    pub generation: u64,
    /// Where the transport key is.
    pub key: KeySource,
    /// The control socket, which is made anew.
    pub control: PathBuf,
    /// UDP addresses to bind, one of each family at most. None of a family means any free port on all its interfaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bind: Vec<SocketAddr>,
    /// Addresses at which this machine is known to be reachable from outside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external: Vec<SocketAddr>,
    /// The fleet's relays. Without any, only peers with known addresses are reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relays: Vec<Relay>,
    /// PEM certificates of the authorities that the relays' certificates must come from. The machine's own if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<String>,
    /// Rule 10: no certificate is judged by an earlier time than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_floor: Option<Time>,
    /// Seconds for which a local connection is held while its peer is not there.
    #[serde(default = "hold_by_default")]
    pub hold_seconds: u32,
    /// Whom this machine speaks to. Nobody else gets further than the handshake.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<Peer>,
}

fn hold_by_default() -> u32 {
    HOLD
}

/// Where a secret key is: a PKCS#8 PEM file, as `e3-link keygen` writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum KeySource {
    /// A file that only its owner can read.
    File(PathBuf),
    /// The name of a credential that the service manager hands over.
    Credential(String),
}

/// A relay of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Relay {
    /// `https://name-or-address[:port]`.
    pub url: String,
    /// UDP port at which the relay tells what a packet's address looks like from outside.
    #[serde(default = "discovery_port")]
    pub discovery_port: u16,
}

/// The port that relays use when nobody says another one.
fn discovery_port() -> u16 {
    DISCOVERY_PORT
}

/// A machine to speak to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its transport key.
    pub id: Id,
    /// The key by which this machine's onion service lets it in, where peers are onion services; `id` is its own service's key
    /// then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientKey>,
    /// What people call it: for logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Where it may be found, if that is known. It is found through the relays otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<SocketAddr>,
    /// The address that stands for it on this machine, in 127.0.0.0/8 and its alone. Local programs dial it there, and
    /// what comes from it reaches local programs from there.
    pub local: Ipv4Addr,
    /// Its services that are carried to this machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reach: Vec<Reach>,
    /// This machine's services that it may reach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub serve: Vec<Serve>,
}

/// A service of a peer, listened for at the peer's local address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// The service's port there.
    pub port: u16,
    /// The port here, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<u16>,
}

impl Reach {
    /// The port here.
    pub fn listen(&self) -> u16 {
        self.listen.unwrap_or(self.port)
    }
}

/// A service of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Serve {
    /// The port by which the peer asks for it.
    pub port: u16,
    /// Where it is, on this machine. 127.0.0.1 and the same port, unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<SocketAddr>,
}

impl Serve {
    /// Where it is.
    pub fn target(&self) -> SocketAddr {
        self.target
            .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)))
    }
}

/// Why a configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Too long.
    #[error("the configuration has more than {CONFIG} bytes")]
    TooLarge,
    /// Not the JSON that it should be.
    #[error("the configuration cannot be read: {0}")]
    Json(String),
    /// More of something than there may be.
    #[error("there are {count} {what}; {limit} is the most")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The same thing twice.
    #[error("the {what} {value} is there twice")]
    Twice {
        /// What.
        what: &'static str,
        /// Which.
        value: String,
    },
    /// A relay that is reached without TLS, or whose URL says more than where it is.
    #[error(
        "`{0}` is no relay; write https:// and a name or an address, and nothing else but a port"
    )]
    Relay(String),
    /// An address that is not this machine's own.
    #[error("{0} is not an address of this machine alone; use one in 127.0.0.0/8")]
    NotLocal(IpAddr),
    /// Port 0 is no service.
    #[error("peer {0} has a service with port 0")]
    PortZero(Id),
    /// The name of a credential that is a path.
    #[error("`{0}` is not the name of a credential")]
    Credential(String),
}

impl Config {
    /// Reads and checks a configuration (rule 3: bounded before it is parsed).
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        if bytes.len() > CONFIG {
            return Err(ConfigError::TooLarge);
        }
        let config: Self = serde_json::from_slice(bytes)
            .map_err(|error| ConfigError::Json(crate::text::clean(&error.to_string(), 300)))?;
        config.check()?;
        Ok(config)
    }

    /// Whether its parts fit together.
    pub fn check(&self) -> Result<(), ConfigError> {
        if let KeySource::Credential(name) = &self.key
            && (name.is_empty() || name.contains('/') || name.starts_with('.'))
        {
            return Err(ConfigError::Credential(crate::text::clean(name, 80)));
        }
        at_most("addresses to bind", self.bind.len(), 2)?;
        each_once(
            "family to bind",
            self.bind.iter().map(|a| if a.is_ipv4() { 4 } else { 6 }),
        )?;
        at_most("external addresses", self.external.len(), ADDRESSES)?;
        at_most("relays", self.relays.len(), RELAYS)?;
        each_once("relay", self.relays.iter().map(|relay| &relay.url))?;
        for relay in &self.relays {
            relay.check()?;
        }
        at_most("peers", self.peers.len(), MEMBERS)?;
        each_once("peer", self.peers.iter().map(|peer| peer.id))?;
        each_once("local address", self.peers.iter().map(|peer| peer.local))?;
        self.peers.iter().try_for_each(Peer::check)
    }

    /// What a reload cannot change, if anything of it differs from `running`.
    pub fn wants_restart(&self, running: &Self) -> Option<&'static str> {
        let differs = [
            ("key", self.key != running.key),
            ("control", self.control != running.control),
            ("bind", self.bind != running.bind),
            ("external", self.external != running.external),
            ("relays", self.relays != running.relays),
            ("authorities", self.authorities != running.authorities),
        ];
        differs
            .iter()
            .find_map(|(field, differs)| differs.then_some(*field))
    }
}

impl Relay {
    /// Whether its URL says where it is, by HTTPS, and nothing else.
    pub fn check(&self) -> Result<(), ConfigError> {
        let refused = || {
            ConfigError::Relay(crate::text::clean(
                &crate::text::without_credentials(&self.url),
                120,
            ))
        };
        let place = self.url.strip_prefix("https://").ok_or_else(refused)?;
        let place = place.strip_suffix('/').unwrap_or(place);
        let fits = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        if (1..=260).contains(&place.len()) && place.chars().all(fits) {
            Ok(())
        } else {
            Err(refused())
        }
    }
}

impl Peer {
    fn check(&self) -> Result<(), ConfigError> {
        at_most("addresses of a peer", self.addresses.len(), ADDRESSES)?;
        at_most("services of a peer", self.reach.len(), PORTS)?;
        at_most("services for a peer", self.serve.len(), PORTS)?;
        each_once("local port of a peer", self.reach.iter().map(Reach::listen))?;
        each_once(
            "service for a peer",
            self.serve.iter().map(|serve| serve.port),
        )?;
        if !self.local.is_loopback() {
            return Err(ConfigError::NotLocal(self.local.into()));
        }
        // Whoever can write this file must not make a way into this machine's network of it.
        if let Some(serve) = self
            .serve
            .iter()
            .find(|serve| !serve.target().ip().is_loopback())
        {
            return Err(ConfigError::NotLocal(serve.target().ip()));
        }
        let reached = self
            .reach
            .iter()
            .flat_map(|reach| [reach.port, reach.listen()]);
        let served = self
            .serve
            .iter()
            .flat_map(|serve| [serve.port, serve.target().port()]);
        if reached.chain(served).any(|port| port == 0) {
            return Err(ConfigError::PortZero(self.id));
        }
        Ok(())
    }

    /// Both its keys, where peers are onion services.
    pub fn onion(&self) -> Option<OnionKey> {
        let service = self.id;
        let client = self.client?;
        Some(OnionKey { service, client })
    }

    /// Its name and the beginning of its key, for logs.
    pub fn label(&self) -> String {
        match &self.name {
            Some(name) => format!("{name} ({})", self.id.short()),
            None => self.id.short(),
        }
    }
}

fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), ConfigError> {
    if count > limit {
        return Err(ConfigError::TooMany { what, count, limit });
    }
    Ok(())
}

fn each_once<T: Ord + ToString>(
    what: &'static str,
    values: impl Iterator<Item = T>,
) -> Result<(), ConfigError> {
    let mut seen = BTreeSet::new();
    for value in values {
        if seen.contains(&value) {
            let value = crate::text::clean(&value.to_string(), 80);
            return Err(ConfigError::Twice { what, value });
        }
        seen.insert(value);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
