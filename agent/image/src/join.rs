//! A join file, looked at before it goes into an image: what the machine would refuse is refused here, where somebody sits
//! who can mend it. The rules are those of the machine ([`e3_client::join`]); here is what only matters before a file is
//! used: its token has to be there, for this machine, and still be good.

use std::path::{Path, PathBuf};

use e3_client::clock::Clock;
use e3_client::files;
use e3_client::join::{Join, JoinError, LIMIT, SshKey, SshKeyError, Wifi};
use e3_core::document::{Invite, Token};
use e3_core::name::Name;
use e3_core::text::chain;
use e3_core::time::Time;
use zeroize::Zeroizing;

use crate::error::ImageError;

/// Keys in one file: more than that are nobody's own.
const KEYS: usize = 20;
/// A file of keys.
const KEYS_LIMIT: usize = 64 * 1024;

/// A join file that a machine will take.
pub struct JoinFile {
    /// Where it came from, for people.
    pub path: PathBuf,
    /// The fleet.
    pub fleet: Name,
    /// The machine.
    pub name: Name,
    /// When its token is void.
    pub expires: Time,
    /// Who may log in as root by it.
    pub ssh_keys: Vec<SshKey>,
    /// Its text; secret.
    pub text: Zeroizing<String>,
}

impl JoinFile {
    /// Reads and judges a join file.
    pub fn read(path: &Path, now: Time) -> Result<Self, ImageError> {
        let refused = |what: String| ImageError::Join {
            path: path.to_owned(),
            what,
        };
        let bytes = files::read_bounded(path, LIMIT).map_err(|error| match error {
            files::FileError::Io { source, .. } => ImageError::io("read", path)(source),
            error => refused(error.to_string()),
        })?;
        let text = String::from_utf8(bytes).map_err(|_| refused("it is not text".to_owned()))?;
        Self::parse(path, Zeroizing::new(text), now)
    }

    /// Judges the text of a join file.
    pub fn parse(path: &Path, text: Zeroizing<String>, now: Time) -> Result<Self, ImageError> {
        let refused = |what: String| ImageError::Join {
            path: path.to_owned(),
            what,
        };
        let join = Join::check(path, text.as_bytes(), &Clock::default()).map_err(|error| {
            refused(match &error {
                // The path is told already.
                JoinError::Syntax { source, .. } | JoinError::Token { source, .. } => {
                    source.to_string()
                }
                JoinError::Hub { source, .. } => chain(source),
                JoinError::File(source) => chain(source),
            })
        })?;
        let Some(token) = join.token.map(Zeroizing::new) else {
            return Err(ImageError::NoToken {
                path: path.to_owned(),
            });
        };
        let token = Token::from_text(&token).map_err(|error| refused(error.to_string()))?;
        let verified = token.invite.verify::<Invite>(&[join.owner], 1);
        let invite = verified
            .map_err(|_| refused("its token is not signed by its `owner`".to_owned()))?
            .document;
        if (&invite.fleet, &invite.name) != (&join.fleet, &join.name) {
            return Err(refused(format!(
                "its token is for the machine `{}` of the fleet `{}`, not for `{}` of `{}`",
                invite.name, invite.fleet, join.name, join.fleet
            )));
        }
        if invite.expires <= now {
            return Err(ImageError::Expired {
                path: path.to_owned(),
                name: join.name,
                expired: invite.expires,
            });
        }
        Ok(Self {
            path: path.to_owned(),
            fleet: join.fleet,
            name: join.name,
            expires: invite.expires,
            ssh_keys: join.ssh_keys,
            text,
        })
    }

    /// The same with a wireless network, instead of one that it may have.
    pub fn with_wifi(mut self, wifi: &Wifi) -> Result<Self, ImageError> {
        let mut document = self.document()?;
        let mut table = toml_edit::Table::new();
        table.insert("ssid", toml_edit::value(wifi.ssid()));
        if let Some(password) = wifi.password() {
            table.insert("password", toml_edit::value(password));
        }
        if let Some(country) = wifi.country() {
            table.insert("country", toml_edit::value(country));
        }
        if document.contains_key("wifi") {
            document.insert("wifi", toml_edit::Item::Table(table));
            self.text = Zeroizing::new(document.to_string());
        } else {
            // At the end: what is commented out below the last table stays that table's.
            let mut last = toml_edit::DocumentMut::new();
            last.insert("wifi", toml_edit::Item::Table(table));
            self.text = Zeroizing::new(format!("{}\n\n{last}", self.text.trim_end()));
        }
        Ok(self)
    }

    /// The same with these keys for ssh, instead of those that it may have.
    pub fn with_ssh_keys(mut self, keys: Vec<SshKey>) -> Result<Self, ImageError> {
        let mut document = self.document()?;
        let list: toml_edit::Array = keys.iter().map(SshKey::as_str).collect();
        document.insert("ssh_keys", toml_edit::value(list));
        self.text = Zeroizing::new(document.to_string());
        self.ssh_keys = keys;
        Ok(self)
    }

    fn document(&self) -> Result<toml_edit::DocumentMut, ImageError> {
        self.text.parse().map_err(|_| ImageError::Join {
            path: self.path.clone(),
            what: "it is not TOML".to_owned(),
        })
    }
}

/// The keys in a file as `ssh-keygen` writes it (`.pub`), or in several lines as in `authorized_keys`.
pub fn ssh_keys(path: &Path) -> Result<Vec<SshKey>, ImageError> {
    let refused = |source: SshKeyError| ImageError::SshKey {
        path: path.to_owned(),
        source,
    };
    let bytes = files::read_bounded(path, KEYS_LIMIT).map_err(|error| match error {
        files::FileError::Io { source, .. } => ImageError::io("read", path)(source),
        _ => refused(SshKeyError::Kind),
    })?;
    // Never kept: it may be a private key.
    let text = Zeroizing::new(String::from_utf8(bytes).map_err(|_| refused(SshKeyError::Kind))?);
    if text.contains("BEGIN ") || text.contains("PuTTY-User-Key-File") {
        // Not a line of it by itself, but all of it is something else.
        text.parse::<SshKey>().map_err(refused)?;
    }
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<SshKey> = lines
        .map(|line| line.parse().map_err(refused))
        .collect::<Result<_, _>>()?;
    match keys.len() {
        1..=KEYS => Ok(keys),
        0 => Err(refused(SshKeyError::Kind)),
        _ => Err(refused(SshKeyError::Many)),
    }
}
