//! `e3 fleet`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use e3_core::key::PublicKey;
use e3_core::name::Name;

/// Make a fleet, invite machines, see how they are
#[derive(Debug, Subcommand)]
pub enum FleetCommand {
    /// Make a fleet: a folder with its first root, its first head and a release key
    New(FleetNew),
    /// Write the join file of one machine, with a token that works once
    Invite(FleetInvite),
    /// Show the parties, their state, and what will expire
    Status(FleetStatus),
    /// Add machines that have enrolled to fleet.toml
    Accept(FleetAccept),
}

/// `e3 fleet new`
#[derive(Debug, Args)]
pub struct FleetNew {
    /// The fleet's name, and the folder's
    pub name: Name,
    /// Where the hub will be: http://host:port, https://host or file:///folder
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8420")]
    pub hub: String,
    /// The certificate authority of an https hub that no system knows, as a PEM file
    #[arg(long, value_name = "FILE")]
    pub hub_ca: Option<PathBuf>,
    /// Another owner, who may invite machines, sign sessions and publish (repeatable)
    #[arg(long = "owner", value_name = "DID")]
    pub owners: Vec<PublicKey>,
    /// Somebody else whose signature counts on sessions (repeatable)
    #[arg(long = "session-signer", value_name = "DID")]
    pub session_signers: Vec<PublicKey>,
    /// How many session signers must sign a session
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threshold: usize,
    /// Days until the first head expires
    #[arg(long, value_name = "DAYS", default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=365))]
    pub days: u32,
    /// Your secret key [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// `e3 fleet invite`
#[derive(Debug, Args)]
pub struct FleetInvite {
    /// The name that the machine will have in the fleet
    pub name: Name,
    /// The join file to write; it holds a secret
    #[arg(long, short, value_name = "FILE", default_value = "e3.toml")]
    pub output: PathBuf,
    /// Days until the invite is void
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=365))]
    pub days: u32,
    /// Your secret key [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// `e3 fleet status`
#[derive(Debug, Args)]
pub struct FleetStatus {}

/// `e3 fleet accept`
#[derive(Debug, Args)]
pub struct FleetAccept {
    /// The parties to accept
    #[arg(required_unless_present = "all")]
    pub names: Vec<Name>,
    /// Accept everybody who has enrolled with a valid invite
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
}
