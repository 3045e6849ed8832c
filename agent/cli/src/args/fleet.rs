//! `e3 fleet`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use e3_core::document::RoleName;
use e3_core::key::PublicKey;
use e3_core::name::Name;

/// Make a fleet, invite machines, see how they are
#[derive(Debug, Subcommand)]
pub enum FleetCommand {
    /// Make a fleet: a folder with its first root, its first head and a release key
    New(FleetNew),
    /// Write join files, each with a token that works once
    Invite(FleetInvite),
    /// Show the parties, their state, and what will expire
    Status(FleetStatus),
    /// List the machines that have enrolled and wait to be accepted
    Pending(FleetPending),
    /// Add machines that have enrolled to fleet.toml
    #[command(visible_alias = "approve")]
    Accept(FleetAccept),
    /// Turn away a machine that has enrolled and was not accepted
    Deny(FleetDeny),
    /// Take invites and parties back: out of the fleet, its meshes and its hub
    Revoke(FleetRevoke),
    /// Write the next root, with other keys or thresholds, for its signers
    Rotate(FleetRotate),
    /// Add your signature to a root or head that lies in a file
    Sign(FleetSign),
    /// Publish a root or head that enough keys have signed
    Push(FleetPush),
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
    /// How machines meet that cannot reach each other: by a relay beside the hub (link), or not at all (none). Other ways are
    /// chosen later, see e3 mesh [default: link, unless the hub is at an address that only this machine reaches]
    #[arg(long, value_name = "MESH")]
    pub mesh: Option<FirstMesh>,
    /// Days until the first head expires
    #[arg(long, value_name = "DAYS", default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=365))]
    pub days: u32,
    /// Your secret key [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// What the first head says of how machines meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum FirstMesh {
    /// The built-in mesh.
    #[value(help = None)]
    Link,
    /// No mesh.
    #[value(help = None)]
    None,
}

/// `e3 fleet invite`
#[derive(Debug, Args)]
pub struct FleetInvite {
    /// The name that the machine will have in the fleet
    pub name: Name,
    /// Invite so many machines: NAME-1, NAME-2, …, each with a file of its own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub count: Option<u16>,
    /// The join file to write, or with --count the folder; what is written is secret
    /// [default: e3.toml, or joins]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What kind of machine it is: the answer says where the file goes there
    #[arg(long = "for", value_name = "KIND")]
    pub machine: Option<Machine>,
    /// How long the invite is good, such as 1h or 7d
    #[arg(long = "expires", value_name = "TIME", default_value = "7d", value_parser = lifetime)]
    pub seconds: u64,
    /// Show the join file as a QR code, too; it is as secret as the file
    #[arg(long, conflicts_with = "count")]
    pub qr: bool,
    /// Your secret key [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// `e3 fleet status`
#[derive(Debug, Args)]
pub struct FleetStatus {
    /// Go on until Ctrl-C: on a terminal the screen is drawn anew as things change, with --json there is one line for each change
    #[arg(long, short)]
    pub watch: bool,
}

/// A kind of machine, by how it gets its join file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Machine {
    /// A Raspberry Pi
    Pi,
    /// A droplet at DigitalOcean
    Droplet,
    /// The Windows Subsystem for Linux
    Wsl,
    /// A container
    Container,
}

/// `e3 fleet pending`
#[derive(Debug, Args)]
pub struct FleetPending {}

/// `e3 fleet deny`
#[derive(Debug, Args)]
pub struct FleetDeny {
    /// The machines, as `e3 fleet pending` calls them
    #[arg(required = true)]
    pub names: Vec<Name>,
    /// Your secret key [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// `e3 fleet revoke`
#[derive(Debug, Args)]
pub struct FleetRevoke {
    /// The parties, or names that were invited and have not enrolled
    #[arg(required = true)]
    pub names: Vec<Name>,
    /// Say nothing of names that the fleet does not have
    #[arg(long)]
    pub if_known: bool,
    /// Your secret key [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// `e3 fleet accept`
#[derive(Debug, Args)]
pub struct FleetAccept {
    /// The parties to accept
    #[arg(required_unless_present = "all")]
    pub names: Vec<Name>,
    /// Accept everybody who has enrolled with a valid invite
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
    /// Do not ask whether the machines show the same six words: for scripts
    #[arg(long, short)]
    pub yes: bool,
    /// Your secret key, for the head that lets them meet the others [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// `e3 fleet rotate`
#[derive(Debug, Args)]
pub struct FleetRotate {
    /// Give a role to a key: root, head, session or release (repeatable)
    #[arg(long, value_name = "ROLE=DID")]
    pub add: Vec<RoleKey>,
    /// Take a role from a key (repeatable)
    #[arg(long, value_name = "ROLE=DID")]
    pub remove: Vec<RoleKey>,
    /// How many keys of a role must sign (repeatable)
    #[arg(long, value_name = "ROLE=N")]
    pub threshold: Vec<RoleNumber>,
    /// Start every counter afresh, as after a theft of a key: every session must be signed again
    #[arg(long)]
    pub new_epoch: bool,
    /// The file to write [default: root-<VERSION>.json]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Your secret key [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// `e3 fleet sign`
#[derive(Debug, Args)]
pub struct FleetSign {
    /// The root or head
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Another copy of the same file, whose signatures are taken over (repeatable)
    #[arg(long, value_name = "FILE")]
    pub merge: Vec<PathBuf>,
    /// Only merge, and do not sign
    #[arg(long, requires = "merge")]
    pub no_sign: bool,
    /// Your secret key [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// `e3 fleet push`
#[derive(Debug, Args)]
pub struct FleetPush {
    /// The root or head
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Your secret key, for the head on a new root [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// The longest life of an invite, in seconds.
const YEAR: u64 = 365 * 86_400;

/// A lifetime of an invite, in seconds.
fn lifetime(text: &str) -> Result<u64, String> {
    let seconds =
        crate::manifest::units::duration(text).filter(|seconds| (1..=YEAR).contains(seconds));
    seconds.ok_or_else(|| "write it like 1h, 90m or 7d, and a year at most".to_owned())
}

/// A key in a role: `head=did:key:…`.
#[derive(Debug, Clone, Copy)]
pub struct RoleKey {
    /// The role.
    pub role: RoleName,
    /// The key.
    pub key: PublicKey,
}

/// A number for a role: `head=2`.
#[derive(Debug, Clone, Copy)]
pub struct RoleNumber {
    /// The role.
    pub role: RoleName,
    /// The number.
    pub number: usize,
}

/// `ROLE=` and the rest.
fn role(text: &str) -> Result<(RoleName, &str), String> {
    let (word, rest) = text.split_once('=').ok_or("there is no `=`")?;
    let role = RoleName::ALL.into_iter().find(|role| role.as_str() == word);
    let role = role.ok_or_else(|| {
        format!("there is no role `{word}`; the roles are root, head, session and release")
    })?;
    Ok((role, rest))
}

impl FromStr for RoleKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (role, key) = role(text)?;
        let key = key.parse().map_err(|_| format!("`{key}` is no did:key"))?;
        Ok(Self { role, key })
    }
}

impl FromStr for RoleNumber {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (role, number) = role(text)?;
        let number = number
            .parse()
            .map_err(|_| format!("`{number}` is no number"))?;
        Ok(Self { role, number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_named_and_the_rest_is_read() {
        assert_eq!("head=2".parse::<RoleNumber>().unwrap().number, 2);
        for (bad, says) in [
            ("head", "there is no `=`"),
            ("heads=2", "there is no role `heads`"),
            ("head=two", "`two` is no number"),
        ] {
            let error = bad.parse::<RoleNumber>().unwrap_err();
            assert!(error.starts_with(says), "{error}");
        }
        let error = "head=somebody".parse::<RoleKey>().unwrap_err();
        assert_eq!(error, "`somebody` is no did:key");
    }
}
