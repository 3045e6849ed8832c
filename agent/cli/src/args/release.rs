//! `e3 release`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Sign and publish new agents for the fleet's machines
#[derive(Debug, Subcommand)]
pub enum ReleaseCommand {
    /// Make a release of built agents and sign it, or add your signature to one
    Sign(ReleaseSign),
    /// Show what a release would install, and who has signed it
    Show(ReleaseShow),
    /// Publish a signed release: every machine installs it when it runs no session
    Push(ReleasePush),
}

/// `e3 release sign`
#[derive(Debug, Args)]
pub struct ReleaseSign {
    /// The release: a folder to make, or one that others have signed already
    #[arg(value_name = "RELEASE")]
    pub release: PathBuf,
    /// A static agent to put into a new release (repeatable, one for each processor)
    #[arg(long = "binary", value_name = "FILE", requires = "version")]
    pub binaries: Vec<PathBuf>,
    /// The version of the new agents, later than those on the machines
    #[arg(long, value_name = "VERSION", requires = "binaries")]
    pub version: Option<String>,
    /// The counter of a new release; it must rise [default: the time in seconds]
    #[arg(long, value_name = "N", requires = "binaries")]
    pub counter: Option<u64>,
    /// Days until a new release is not installed any more
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
    /// Another copy of the same release, whose signatures are taken over (repeatable)
    #[arg(long, value_name = "RELEASE", conflicts_with = "binaries")]
    pub merge: Vec<PathBuf>,
    /// Only merge, and do not sign
    #[arg(long, requires = "merge")]
    pub no_sign: bool,
    /// A secret release key [default: keys/release.pem in the fleet's folder]
    #[arg(
        long,
        value_name = "FILE",
        env = "E3_RELEASE_KEY",
        hide_env_values = true
    )]
    pub key: Option<PathBuf>,
}

/// `e3 release show`
#[derive(Debug, Args)]
pub struct ReleaseShow {
    /// The release [default: what the fleet's head names]
    #[arg(value_name = "RELEASE")]
    pub release: Option<PathBuf>,
}

/// `e3 release push`
#[derive(Debug, Args)]
pub struct ReleasePush {
    /// The signed release
    #[arg(value_name = "RELEASE")]
    pub release: PathBuf,
    /// Your secret key, for the new head [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}
