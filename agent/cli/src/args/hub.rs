//! `e3 hub`.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};

/// Run a hub, keep its head fresh
#[derive(Debug, Subcommand)]
pub enum HubCommand {
    /// Serve the fleet's documents; the first start takes root and head from the fleet's folder
    Serve(HubServe),
    /// Sign and publish a head with the same contents and a later expiry
    Renew(HubRenew),
}

/// `e3 hub serve`
#[derive(Debug, Args)]
pub struct HubServe {
    /// The store: a folder that any web server can also serve, or s3://bucket/prefix
    /// [default: hub in the fleet's folder]
    #[arg(long, value_name = "DIR", env = "E3_HUB_DIR", hide_env_values = true)]
    pub dir: Option<String>,
    /// Where to listen [default: the address in fleet.toml if it is an IP address, else 127.0.0.1:8420]
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<SocketAddr>,
    /// Serve TLS with a certificate authority of the hub's own, for this host name or address (repeatable)
    #[arg(long, value_name = "NAME", conflicts_with_all = ["tls_cert", "tls_key"])]
    pub tls: Vec<String>,
    /// Serve TLS with this certificate chain (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's secret key (PEM, mode 600)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Who sees the fleet's page: everyone a summary, and whoever signs in with `e3 login` everything; only those; or nobody. The
    /// documents themselves stay readable, as machines need it
    #[arg(long, value_name = "WHOM", default_value = "everyone")]
    pub page: PageFor,
    /// Where machines reach the relay of the built-in mesh, over HTTPS [default: as the head says, if it names one beside the
    /// hub; with --relay alone, or for what is not said, the hub's host in fleet.toml and port 443]
    #[arg(long, value_name = "HOST[:PORT]", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub relay: Option<RelayAt>,
    /// Run no relay, although the head names one beside the hub
    #[arg(long, conflicts_with = "relay")]
    pub no_relay: bool,
    /// Where the relay listens [default: the hub's address, and the port by which machines reach it]
    #[arg(long, value_name = "IP:PORT", conflicts_with = "no_relay")]
    pub relay_listen: Option<SocketAddr>,
    /// UDP port at which the relay tells machines what their addresses look like from outside [default: as the head says, else
    /// 7842]
    #[arg(long, value_name = "PORT", conflicts_with = "no_relay")]
    pub relay_discovery: Option<u16>,
    /// A certificate chain for the relay alone (PEM) [default: one of the authority that the head names, if that is the hub's
    /// own, else the hub's]
    #[arg(
        long,
        value_name = "FILE",
        requires = "relay_key",
        conflicts_with = "no_relay"
    )]
    pub relay_cert: Option<PathBuf>,
    /// Its secret key (PEM, mode 600)
    #[arg(long, value_name = "FILE", requires = "relay_cert")]
    pub relay_key: Option<PathBuf>,
    /// The program that is the relay [default: e3-link beside e3, else in PATH]
    #[arg(long, value_name = "FILE", conflicts_with = "no_relay")]
    pub relay_program: Option<PathBuf>,
    /// Make keys for the machines of a Headscale mesh: where the server is, https:// unless it is on this machine
    #[arg(long, value_name = "URL", requires = "headscale_key_file")]
    pub headscale: Option<String>,
    /// A key of its API (`headscale apikeys create`), in a file that nobody else can read
    #[arg(long, value_name = "FILE", requires = "headscale")]
    pub headscale_key_file: Option<PathBuf>,
    /// The server's certificate authority (PEM), if this machine does not know it
    #[arg(long, value_name = "FILE", requires = "headscale")]
    pub headscale_ca: Option<PathBuf>,
    /// Make keys for the machines of a Tailscale mesh: the secret of an OAuth client of the tailnet (tskey-client-…) with the
    /// scopes auth_keys and devices:core and the fleet's tag alone, in a file that nobody else can read
    #[arg(long, value_name = "FILE")]
    pub tailscale_oauth_file: Option<PathBuf>,
    /// Have Tailscale remove machines that are away for some time
    #[arg(long, requires = "tailscale_oauth_file")]
    pub tailscale_ephemeral: bool,
}

/// Who sees the fleet's page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum PageFor {
    /// Everybody a summary, who signs in everything.
    #[default]
    #[value(help = None)]
    Everyone,
    /// Nobody but who signs in.
    #[value(help = None)]
    Owners,
    /// There is no page.
    #[value(help = None)]
    Off,
}

/// Where machines reach the relay, as far as it was said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RelayAt {
    /// The name or address; the hub's if there is none.
    pub host: Option<String>,
    /// The port; what the head says, or 443, if there is none.
    pub port: Option<u16>,
}

impl FromStr for RelayAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        // An address of IPv6 without brackets has no port.
        let bare: Option<Ipv6Addr> = text.parse().ok();
        let has_port = bare.is_none() && !text.ends_with(']') && text.contains(':');
        let with_port = match bare {
            Some(address) => format!("[{address}]:443"),
            None if !has_port => format!("{text}:443"),
            None => text.to_owned(),
        };
        let (host, port) = e3_core::mesh::split(&with_port)
            .ok_or_else(|| "write it like relay.example or 203.0.113.10:8443".to_owned())?;
        Ok(Self {
            host: Some(host.to_owned()),
            port: has_port.then_some(port),
        })
    }
}

/// `e3 hub renew`
#[derive(Debug, Args)]
pub struct HubRenew {
    /// Days until the new head expires
    #[arg(long, value_name = "DAYS", default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=365))]
    pub days: u32,
    /// Your secret key [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_at_a_name_or_an_address_and_perhaps_a_port() {
        let at = |text: &str| text.parse::<RelayAt>().map(|at| (at.host, at.port));
        let is = |host: &str, port| Ok((Some(host.to_owned()), port));
        assert_eq!(at(""), Ok((None, None)));
        assert_eq!(at("relay.example"), is("relay.example", None));
        assert_eq!(at("203.0.113.10:8443"), is("203.0.113.10", Some(8443)));
        assert_eq!(at("fd00::1"), is("fd00::1", None));
        assert_eq!(at("[fd00::1]"), is("fd00::1", None));
        assert_eq!(at("[fd00::1]:8443"), is("fd00::1", Some(8443)));
        for bad in ["https://relay.example", "a:0", "a b", "a:1:2"] {
            assert!(at(bad).is_err(), "{bad}");
        }
    }
}
