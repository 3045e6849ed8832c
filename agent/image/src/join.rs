//! A join file, looked at before it goes into an image: what the machine would refuse is refused here, where somebody sits
//! who can mend it.

use std::path::{Path, PathBuf};

use e3_client::files;
use e3_core::digest::Digest;
use e3_core::document::{Invite, Token};
use e3_core::key::PublicKey;
use e3_core::name::Name;
use e3_core::text;
use e3_core::time::Time;
use e3_core::trust::Policy;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::error::ImageError;

/// What a machine reads; a policy for hundreds of inputs has 100 KiB.
const LIMIT: usize = 512 * 1024;
/// Characters of what a parser says.
const SAID: usize = 200;

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
    /// Its text; secret.
    pub text: Zeroizing<String>,
}

/// A wireless network for the machine.
pub struct Wifi {
    /// Its name.
    pub ssid: String,
    /// Its password; none for an open network.
    pub password: Option<Zeroizing<String>>,
    /// Which channels the radio may use: `NL`.
    pub country: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    fleet: Name,
    name: Name,
    hub: String,
    #[serde(rename = "hub_ca")]
    _hub_ca: Option<String>,
    #[serde(rename = "root")]
    _root: Digest,
    owner: PublicKey,
    token: Option<String>,
    policy: Option<toml::Table>,
    wifi: Option<WifiFields>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WifiFields {
    ssid: String,
    password: Option<String>,
    country: Option<String>,
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
        let fields: Fields = toml::from_str(&text).map_err(|error| {
            // Not the error's own picture: it repeats the line, and that may be the one with the token.
            let line = error.span().map_or(1, |span| {
                text[..text.floor_char_boundary(span.start)]
                    .split('\n')
                    .count()
            });
            refused(format!(
                "line {line}: {}",
                text::clean(error.message(), SAID)
            ))
        })?;
        if !["https://", "http://", "file:///"]
            .iter()
            .any(|scheme| fields.hub.starts_with(scheme))
        {
            return Err(refused(
                "`hub` must begin with https://, http:// or file:///".to_owned(),
            ));
        }
        if let Some(wifi) = &fields.wifi {
            let password = wifi.password.as_deref();
            check_wifi(&wifi.ssid, password, wifi.country.as_deref())
                .map_err(|what| refused(what.to_owned()))?;
        }
        let mut policy = fields.policy.unwrap_or_default();
        policy
            .entry("owner")
            .or_insert_with(|| fields.owner.to_string().into());
        policy.try_into::<Policy>().map_err(|error| {
            refused(format!("[policy]: {}", text::clean(error.message(), SAID)))
        })?;
        let Some(token) = fields.token.filter(|token| !is_burnt(token)) else {
            return Err(ImageError::NoToken {
                path: path.to_owned(),
            });
        };
        let token =
            Token::from_text(&Zeroizing::new(token)).map_err(|error| refused(error.to_string()))?;
        let verified = token.invite.verify::<Invite>(&[fields.owner], 1);
        let invite = verified
            .map_err(|_| refused("its token is not signed by its `owner`".to_owned()))?
            .document;
        if (&invite.fleet, &invite.name) != (&fields.fleet, &fields.name) {
            return Err(refused(format!(
                "its token is for the machine `{}` of the fleet `{}`, not for `{}` of `{}`",
                invite.name, invite.fleet, fields.name, fields.fleet
            )));
        }
        if invite.expires <= now {
            return Err(ImageError::Expired {
                path: path.to_owned(),
                name: fields.name,
                expired: invite.expires,
            });
        }
        Ok(Self {
            path: path.to_owned(),
            fleet: fields.fleet,
            name: fields.name,
            expires: invite.expires,
            text,
        })
    }

    /// The same with a wireless network, instead of one that it may have.
    pub fn with_wifi(mut self, wifi: &Wifi) -> Result<Self, ImageError> {
        let refused = |what: String| ImageError::Join {
            path: self.path.clone(),
            what,
        };
        let password = wifi.password.as_deref().map(String::as_str);
        check_wifi(&wifi.ssid, password, wifi.country.as_deref())
            .map_err(|what| refused(what.to_owned()))?;
        let mut document: toml_edit::DocumentMut = self
            .text
            .parse()
            .map_err(|_| refused("it is not TOML".to_owned()))?;
        let mut table = toml_edit::Table::new();
        table.insert("ssid", toml_edit::value(&wifi.ssid));
        if let Some(password) = password {
            table.insert("password", toml_edit::value(password));
        }
        if let Some(country) = &wifi.country {
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
}

/// Whether a machine has written over it.
fn is_burnt(token: &str) -> bool {
    let rest = token.strip_prefix("burnt").unwrap_or(token);
    rest.bytes().all(|byte| byte == b'-')
}

/// What the same rules on the machine accept.
fn check_wifi(
    ssid: &str,
    password: Option<&str>,
    country: Option<&str>,
) -> Result<(), &'static str> {
    if !(1..=32).contains(&ssid.len()) || ssid.chars().any(char::is_control) {
        return Err("the name of a wireless network has 1 to 32 bytes");
    }
    if let Some(password) = password {
        let is_key = password.len() == 64 && password.bytes().all(|b| b.is_ascii_hexdigit());
        let is_phrase = (8..=63).contains(&password.len())
            && password.bytes().all(|b| (b' '..=b'~').contains(&b));
        if !is_key && !is_phrase {
            return Err(
                "the password of a wireless network has 8 to 63 letters, digits and signs, or is a key of 64 hexadecimal digits",
            );
        }
    }
    if country.is_some_and(|country| {
        country.len() != 2 || !country.bytes().all(|b| b.is_ascii_uppercase())
    }) {
        return Err("the country of a wireless network has two capital letters, for example NL");
    }
    Ok(())
}
