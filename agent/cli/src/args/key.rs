//! `e3 key`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Make and show keys
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a secret key; an existing file is never overwritten
    New(KeyFile),
    /// Show the public key of a secret key file
    Show(KeyFile),
}

/// A secret key file.
#[derive(Debug, Args)]
pub struct KeyFile {
    /// The key file [default: ~/.config/e3/key.pem]
    #[arg(value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub file: Option<PathBuf>,
}
