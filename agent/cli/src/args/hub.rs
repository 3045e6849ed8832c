//! `e3 hub`.

use std::net::SocketAddr;
use std::path::PathBuf;

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
    /// Make keys for the machines of a Headscale mesh: where the server is, https:// unless it is on this machine
    #[arg(long, value_name = "URL", requires = "headscale_key_file")]
    pub headscale: Option<String>,
    /// A key of its API (`headscale apikeys create`), in a file that nobody else can read
    #[arg(long, value_name = "FILE", requires = "headscale")]
    pub headscale_key_file: Option<PathBuf>,
    /// The server's certificate authority (PEM), if this machine does not know it
    #[arg(long, value_name = "FILE", requires = "headscale")]
    pub headscale_ca: Option<PathBuf>,
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
