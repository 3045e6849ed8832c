//! `e3 session`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Write, sign, publish and watch sessions
#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// Write a commented manifest to start from
    New(SessionNew),
    /// Check a manifest and say what to change
    Check(SessionCheck),
    /// Sign a manifest, or add your signature to a bundle
    Sign(SessionSign),
    /// Show what a bundle would run, and who has signed it
    Show(SessionShow),
    /// Publish a signed bundle to the hub
    Push(SessionPush),
    /// List the current sessions
    List(SessionList),
    /// Follow a session until every party has signed its receipt
    Watch(SessionWatch),
    /// Revoke a session: it stops where it runs and starts nowhere
    Stop(SessionStop),
}

/// `e3 session new`
#[derive(Debug, Args)]
pub struct SessionNew {
    /// The manifest to write, `-` for standard output [default: NAME.toml]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The program to run: a .py file or a folder
    #[arg(long, value_name = "PATH")]
    pub program: Option<PathBuf>,
    /// A party, in MPyC's order (repeatable) [default: all parties of the fleet]
    #[arg(long = "party", value_name = "NAME|DID")]
    pub parties: Vec<String>,
    /// A local input that every party gives its own of, if its owner allows it (repeatable)
    #[arg(long = "input", value_name = "NAME")]
    pub inputs: Vec<String>,
}

/// `e3 session check`
#[derive(Debug, Args)]
pub struct SessionCheck {
    /// The manifest
    #[arg(value_name = "MANIFEST")]
    pub manifest: PathBuf,
}

/// `e3 session sign`
#[derive(Debug, Args)]
pub struct SessionSign {
    /// A manifest (.toml), or a bundle that others have signed already
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The bundle to write for a manifest [default: NAME.session beside it]
    #[arg(long, short, value_name = "BUNDLE")]
    pub output: Option<PathBuf>,
    /// Another copy of the same bundle, whose signatures are taken over (repeatable)
    #[arg(long, value_name = "BUNDLE")]
    pub merge: Vec<PathBuf>,
    /// Only merge, and do not sign
    #[arg(long, requires = "merge")]
    pub no_sign: bool,
    /// The Python index that MPyC comes from [default: PIP_INDEX_URL, or PyPI]
    #[arg(long, value_name = "URL", env = "E3_INDEX", hide_env_values = true)]
    pub index: Option<String>,
    /// Your secret key [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// `e3 session show`
#[derive(Debug, Args)]
pub struct SessionShow {
    /// The bundle
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
}

/// `e3 session push`
#[derive(Debug, Args)]
pub struct SessionPush {
    /// The signed bundle
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// Follow it until every party has signed its receipt
    #[arg(long)]
    pub watch: bool,
    /// Seconds to follow it for, at most
    #[arg(long, value_name = "SECONDS", requires = "watch")]
    pub timeout: Option<u64>,
    /// Your secret key, for the new head [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// `e3 session list`
#[derive(Debug, Args)]
pub struct SessionList {}

/// `e3 session watch`
#[derive(Debug, Args)]
pub struct SessionWatch {
    /// A session's name, its manifest's digest, or its bundle
    #[arg(value_name = "NAME|BUNDLE|DIGEST")]
    pub session: String,
    /// Seconds to wait, at most
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
}

/// `e3 session stop`
#[derive(Debug, Args)]
pub struct SessionStop {
    /// A session's name, its manifest's digest, or its bundle
    #[arg(value_name = "NAME|BUNDLE|DIGEST")]
    pub session: String,
    /// Your secret key, for the new head [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}
