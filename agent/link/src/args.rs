//! The command line of `e3-link`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// The built-in mesh: carries connections between parties, behind whatever routers they are.
#[derive(Debug, Parser)]
#[command(name = "e3-link", version, arg_required_else_help = true)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `e3-link` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a transport key, which never leaves this machine, and print its public id.
    Keygen {
        /// The file for the secret key, which must not exist.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Print the public id of a transport key.
    Id {
        /// The file with the secret key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Carry connections until told to stop. SIGHUP reads the configuration again.
    Run {
        /// The configuration, as the agent renders it.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Carry connections by Tor until told to stop: be an onion service for the peers, and reach theirs.
    Tor {
        /// The configuration, as the agent renders it.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Tor.
        #[arg(long, value_name = "PROGRAM", default_value = "tor")]
        program: PathBuf,
    },
    /// Print how a running `e3-link` stands, as one line of JSON.
    Status {
        /// Its control socket.
        #[arg(long, value_name = "SOCKET")]
        control: PathBuf,
    },
    /// Be the fleet's relay until told to stop.
    #[cfg(feature = "relay")]
    Relay {
        /// The relay's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print where it listens when it does, as a line of JSON, and stop when standard input ends: as a hub starts it.
        #[arg(long)]
        attached: bool,
    },
}
