//! The join file `e3.toml`: what a fresh machine needs to find its fleet.
//!
//! It holds one or two secrets, which are burnt after their first use: the token, and a Wi-Fi password ([`secrets`]).
//! Everything else may lie open.
//!
//! The machine reads it here, and so does the command that puts it into an image: what the one would refuse, the other
//! refuses before.

pub mod secrets;
mod ssh;
mod wifi;

use std::path::{Path, PathBuf};

use e3_core::digest::Digest;
use e3_core::document::Token;
use e3_core::key::PublicKey;
use e3_core::name::Name;
use e3_core::text::chain;
use e3_core::trust::Policy;
use serde::{Deserialize, Serialize};

use self::secrets::is_burnt;
pub use self::ssh::{SshKey, SshKeyError};
pub use self::wifi::Wifi;
use crate::clock::Clock;
use crate::files;
use crate::hub::{Hub, HubError};
use crate::toml_file::Mistake;

/// A policy for hundreds of inputs has 100 KiB.
pub const LIMIT: usize = 512 * 1024;

/// A join file.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The fleet.
    pub fleet: Name,
    /// Where signed documents are published.
    pub hub: String,
    /// The certificate authority of the hub, as PEM, if it is not a public one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub_ca: Option<String>,
    /// The digest of the first root: where trust begins.
    pub root: Digest,
    /// This party's name.
    pub name: Name,
    /// Whose policy it follows.
    pub owner: PublicKey,
    /// The one-time secret. Never written to the state folder.
    #[serde(default, skip_serializing)]
    pub token: Option<String>,
    /// The owner's policy, unless it lies in a file of its own; without `owner`, which stands above.
    #[serde(default, skip_serializing)]
    pub policy: Option<toml::Table>,
    /// The wireless network to join, which is the importer's business: the agent's copy has no password.
    #[serde(default, skip_serializing)]
    pub wifi: Option<Wifi>,
    /// Who may log in as root over ssh, where the image lets its user decide about that; the importer's business, too.
    #[serde(default, skip_serializing)]
    pub ssh_keys: Vec<SshKey>,
}

/// Why a join file or policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// It cannot be read.
    #[error("the file cannot be read")]
    File(#[from] files::FileError),
    /// It is not TOML, or not a join file.
    #[error("{path} is broken")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Line, column and what is wrong.
        #[source]
        source: Mistake,
    },
    /// What it says about the hub makes no sense.
    #[error("{path} is broken")]
    Hub {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: HubError,
    },
    /// What it holds as a token is none.
    #[error("{path} is broken")]
    Token {
        /// Which file.
        path: PathBuf,
        /// Line, column and what is wrong.
        #[source]
        source: Mistake,
    },
}

impl Join {
    /// The first join file that is there.
    pub fn find(paths: &[PathBuf]) -> Result<Option<(PathBuf, Self)>, JoinError> {
        for path in paths {
            match files::read_bounded(path, LIMIT) {
                Err(error) if error.is_not_found() => {}
                bytes => return Ok(Some((path.clone(), Self::parse(path, &bytes?)?))),
            }
        }
        Ok(None)
    }

    /// The join file with these bytes; `path` is for people.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, JoinError> {
        let mut join: Self = parse(path, bytes)?;
        join.token = join.token.filter(|token| !is_burnt(token));
        Ok(join)
    }

    /// The same, and everything in it that is looked at later is looked at now.
    pub fn check(path: &Path, bytes: &[u8], clock: &Clock) -> Result<Self, JoinError> {
        let join = Self::parse(path, bytes)?;
        let text = String::from_utf8_lossy(bytes);
        let at = |key: &str, message: &dyn std::error::Error| {
            Mistake::at(bytes, secrets::place(&text, key), &chain(message))
        };
        join.open_hub(path, clock)?;
        if let Some(Err(error)) = join.token.as_deref().map(Token::from_text) {
            return Err(JoinError::Token {
                path: path.to_owned(),
                source: at("token", &error),
            });
        }
        // A file of the owner's, if there is one, is looked at by the agent.
        match join.policy(Path::new(""), path) {
            Err(JoinError::Syntax { source, .. }) => Err(JoinError::Syntax {
                path: path.to_owned(),
                source: at("policy", &source),
            }),
            _ => Ok(join),
        }
    }

    /// The hub that it names.
    pub fn open_hub(&self, path: &Path, clock: &Clock) -> Result<Hub, JoinError> {
        let ca = self.hub_ca.as_deref().map(str::as_bytes);
        Hub::open_at(&self.hub, ca, clock).map_err(|source| JoinError::Hub {
            path: path.to_owned(),
            source,
        })
    }

    /// Whether following the one is following the other. A secret that one of them has no more makes no difference.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let plain = |join: &Self| Self {
            token: None,
            wifi: None,
            ..join.clone()
        };
        let wifi = match (&self.wifi, &other.wifi) {
            (Some(one), Some(two)) => one.agrees_with(two),
            _ => true,
        };
        let token = self.token.is_none() || other.token.is_none() || self.token == other.token;
        wifi && token && plain(self) == plain(other)
    }

    /// The policy: the file `path` if it is there, else the join file's, else the owner alone decides.
    pub fn policy(&self, path: &Path, joined_from: &Path) -> Result<Policy, JoinError> {
        let (source, mut table) = match files::read_bounded(path, LIMIT) {
            Ok(bytes) => (path, parse::<toml::Table>(path, &bytes)?),
            Err(error) if error.is_not_found() => {
                (joined_from, self.policy.clone().unwrap_or_default())
            }
            Err(error) => return Err(error.into()),
        };
        table
            .entry("owner")
            .or_insert_with(|| toml::Value::String(self.owner.to_string()));
        let broken = |error: toml::de::Error| JoinError::Syntax {
            path: source.to_owned(),
            source: Mistake::of(&error, b""),
        };
        table.try_into().map_err(broken)
    }
}

/// Burns the token in a join file that has served, if the medium can be written. Everything else in the file, comments
/// included, stays.
pub fn burn_token(path: &Path) -> Result<(), JoinError> {
    let bytes = files::read_bounded(path, LIMIT)?;
    let text = String::from_utf8_lossy(&bytes);
    let burnt = secrets::burn(&text, &secrets::tokens(&text));
    Ok(files::write_private(path, burnt.as_bytes())?)
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, JoinError> {
    toml::from_slice(bytes).map_err(|error| JoinError::Syntax {
        path: path.to_owned(),
        source: Mistake::of(&error, bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_burnt_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e3.toml");
        let owner = e3_core::key::SecretKey::from_seed(&[1; 32]).public();
        let root = Digest::of(b"root");
        let text = format!(
            "# mine\nfleet = \"f\"\nhub = \"http://h\"\nroot = \"{root}\"\nname = \"a\"\nowner = \"{owner}\"\ntoken = \"e3-join-x\"\n\n[policy]\npublish = true\n"
        );
        files::write_atomic(&path, text.as_bytes()).unwrap();
        let (found, join) = Join::find(&[folder.path().join("none"), path.clone()])
            .unwrap()
            .unwrap();
        assert_eq!((&found, join.token.as_deref()), (&path, Some("e3-join-x")));
        assert!(
            join.policy(&folder.path().join("policy.toml"), &path)
                .unwrap()
                .publish
        );
        burn_token(&path).unwrap();
        let (_, join) = Join::find(std::slice::from_ref(&path)).unwrap().unwrap();
        assert_eq!(join.token, None);
        assert!(
            files::read_bounded(&path, LIMIT)
                .unwrap()
                .starts_with(b"# mine\n")
        );
        assert!(!toml::to_string(&join).unwrap().contains("token"));
    }
}
