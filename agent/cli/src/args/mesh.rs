//! `e3 mesh`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use e3_core::mesh::link::DISCOVERY_PORT;
use e3_core::name::Name;

/// The longest life of a certificate, in seconds.
const YEAR: u64 = 366 * 86_400;

/// Choose the network that the parties meet on, and let machines into it
#[derive(Debug, Subcommand)]
pub enum MeshCommand {
    /// Have every party join a Nebula network; what must be known for it goes into the next head
    Nebula(MeshAnchored),
    /// Have every party join a WireGuard network, whose hubs are its anchors
    Wireguard(MeshAnchored),
    /// Have every party join an OpenVPN network, whose server is its one anchor; by TCP if that is reached on port 443
    Openvpn(MeshAnchored),
    /// Have every party join a tinc network
    Tinc(MeshAnchored),
    /// Have every party join the built-in mesh, which carries connections and needs nothing but the hub's relay
    Link(MeshLink),
    /// Have every party join the network of a Headscale server of the fleet's own; its hub makes the keys (`e3 hub serve --headscale`)
    Headscale(MeshHeadscale),
    /// Have every party join a network of Tailscale's public server, with a key that each machine's owner puts there
    Tailscale(MeshTailscale),
    /// Have every party join by Tor, as an onion service: nobody learns who speaks to whom and from where, and every round of a computation
    /// waits for six relays and back
    Tor(MeshTor),
    /// Let the parties of fleet.toml in that `e3 fleet accept` could not let in, or whose certificates need a newer one
    Sign(MeshSign),
    /// Take a party's place in the mesh back, everywhere
    Revoke(MeshRevoke),
    /// Have every party leave one of two meshes, when they have moved to the other
    Drop(MeshDrop),
    /// Have every party leave all meshes
    Off(MeshOff),
}

/// `e3 mesh nebula`, and the other ones that have anchors
#[derive(Debug, Args)]
pub struct MeshAnchored {
    /// A party that all others can reach, and where: NAME=HOST:PORT. It introduces them to each other, and carries their
    /// packets where they cannot meet (repeatable; two are better than one)
    #[arg(long = "anchor", value_name = "NAME=HOST:PORT", required = true)]
    pub anchors: Vec<AnchorAt>,
    /// Your secret key [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// `e3 mesh headscale`
#[derive(Debug, Args)]
pub struct MeshHeadscale {
    /// Where all machines reach it: https://host or https://host:port
    #[arg(long, value_name = "URL", value_parser = server)]
    pub server: String,
    /// The server's certificate authority (PEM), if the machines do not know it
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Your secret key [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// `e3 mesh link`
#[derive(Debug, Args)]
pub struct MeshLink {
    /// Where a relay is: https://HOST[:PORT] (repeatable) [default: where the head has one, else the hub's host in fleet.toml,
    /// where `e3 hub serve --relay` has it]
    #[arg(long = "relay", value_name = "URL")]
    pub relays: Vec<String>,
    /// UDP port at which the relays tell machines what their addresses look like from outside
    #[arg(long, value_name = "PORT", default_value_t = DISCOVERY_PORT)]
    pub discovery: u16,
    /// Authorities of the relays' certificates (PEM) [default: relay-ca.pem in the fleet's folder, if it is there, else
    /// those of each machine's system]
    #[arg(long, value_name = "FILE")]
    pub relay_ca: Option<PathBuf>,
    /// A party with a UDP port that all others can reach, and where: NAME=IP:PORT (repeatable)
    #[arg(long = "anchor", value_name = "NAME=IP:PORT")]
    pub anchors: Vec<AnchorAt>,
    /// Have machines tell their own addresses as well, and meet there when not all of a session are in the mesh, as in a fleet
    /// that has chosen nothing
    #[arg(long)]
    pub direct: bool,
    /// Your secret key [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// `e3 mesh tailscale`
#[derive(Debug, Args)]
pub struct MeshTailscale {
    /// Your secret key [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// `e3 mesh tor`
#[derive(Debug, Args)]
pub struct MeshTor {
    /// Your secret key [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// `e3 mesh sign`
#[derive(Debug, Args)]
pub struct MeshSign {
    /// Certificates that another signer has made, where heads need several signatures: signs them, and publishes those that have
    /// enough. Several copies of one file are merged into the first
    #[arg(value_name = "FILE", conflicts_with_all = ["seconds", "watch"])]
    pub files: Vec<PathBuf>,
    /// For how long a certificate is good, such as 90d or 12h
    #[arg(long = "for", value_name = "TIME", default_value = "90d", value_parser = lifetime)]
    pub seconds: u64,
    /// Go on, and sign for whoever comes, until interrupted
    #[arg(long)]
    pub watch: bool,
    /// Your secret key [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// `e3 mesh revoke`
#[derive(Debug, Args)]
pub struct MeshRevoke {
    /// The party
    pub name: Name,
    /// Your secret key [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// `e3 mesh drop`
#[derive(Debug, Args)]
pub struct MeshDrop {
    /// The backend, such as nebula
    #[arg(value_name = "BACKEND")]
    pub backend: String,
    /// Also if parties are not in the other mesh yet; nobody reaches them any more then
    #[arg(long)]
    pub force: bool,
    /// Your secret key [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// `e3 mesh off`
#[derive(Debug, Args)]
pub struct MeshOff {
    /// Your secret key [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// The address of a control server.
fn server(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    if e3_core::mesh::is_server(text) {
        Ok(text.to_owned())
    } else {
        Err("write it like https://headscale.example.org or https://203.0.113.10:8443".to_owned())
    }
}

/// A party and an endpoint of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnchorAt {
    /// The party.
    pub name: Name,
    /// `host:port`.
    pub endpoint: String,
}

impl FromStr for AnchorAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || "write it like relay=203.0.113.10:4242".to_owned();
        let (name, endpoint) = text.split_once('=').ok_or_else(wrong)?;
        let name = name.parse().map_err(|_| wrong())?;
        e3_core::mesh::split(endpoint).ok_or_else(wrong)?;
        Ok(Self {
            name,
            endpoint: endpoint.to_owned(),
        })
    }
}

/// A lifetime of a certificate, in seconds.
fn lifetime(text: &str) -> Result<u64, String> {
    let seconds =
        crate::manifest::units::duration(text).filter(|seconds| (1..=YEAR).contains(seconds));
    seconds.ok_or_else(|| "write it like 90d, 12h or 30m, and a year at most".to_owned())
}
