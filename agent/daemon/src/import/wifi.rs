//! The wireless network in a join file, and the configuration that it becomes.
//!
//! The importer only writes a file that root alone may read. Whoever runs the radio is told of it by the image.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use e3_client::files::{self, FileError};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::secrets::is_burnt;

/// `[wifi]` in a join file.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Wifi {
    ssid: String,
    /// As it stands there; nothing for an open network.
    password: Option<String>,
    country: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    ssid: String,
    password: Option<String>,
    country: Option<String>,
}

impl TryFrom<Raw> for Wifi {
    type Error = &'static str;

    fn try_from(raw: Raw) -> Result<Self, Self::Error> {
        if !(1..=32).contains(&raw.ssid.len()) || raw.ssid.chars().any(char::is_control) {
            return Err("`ssid` must be the name of a network: 1 to 32 bytes");
        }
        if let Some(password) = &raw.password {
            let is_key = password.len() == 64 && password.bytes().all(|b| b.is_ascii_hexdigit());
            let is_phrase = (8..=63).contains(&password.len())
                && password.bytes().all(|b| (b' '..=b'~').contains(&b));
            // One with escapes can be longer than what it stood for when it is burnt.
            if !is_key && !is_phrase && !is_burnt(password) {
                return Err(
                    "`password` must have 8 to 63 letters, digits and signs, or be a key of 64 hexadecimal digits; leave it out for an open network",
                );
            }
        }
        if let Some(country) = &raw.country
            && (country.len() != 2 || !country.bytes().all(|b| b.is_ascii_uppercase()))
        {
            return Err("`country` must be two capital letters, for example \"NL\"");
        }
        Ok(Self {
            ssid: raw.ssid,
            password: raw.password,
            country: raw.country,
        })
    }
}

/// For whom the configuration is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Nobody: this machine has no radio, or its network is not ours to set up.
    #[default]
    None,
    /// wpa_supplicant: `wpa_supplicant.conf`.
    WpaSupplicant,
    /// iwd: a file named after the network, for `/var/lib/iwd`.
    Iwd,
    /// NetworkManager: `e3.nmconnection`, for `/run/NetworkManager/system-connections`.
    NetworkManager,
}

impl Wifi {
    /// Whether both are the same network, as far as their passwords are still there.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let network = |wifi: &Self| (wifi.ssid.clone(), wifi.country.clone());
        self.is_burnt()
            || other.is_burnt()
            || (network(self) == network(other) && self.password == other.password)
    }

    /// Whether its password is not there any more.
    pub fn is_burnt(&self) -> bool {
        self.password.as_deref().is_some_and(is_burnt)
    }

    /// Writes the configuration into `folder`, unless the password has been burnt, and returns the file. An older one goes.
    pub fn write(&self, format: Format, folder: &Path) -> Result<Option<PathBuf>, FileError> {
        let Some((name, text)) = self.render(format).filter(|_| !self.is_burnt()) else {
            return Ok(None);
        };
        files::private_folder(folder)?;
        for old in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if old.file_name().to_str() != Some(&name) {
                // What stays is an older network, nothing worse.
                let _ = std::fs::remove_file(old.path());
            }
        }
        let path = folder.join(name);
        files::write_private(&path, text.as_bytes())?;
        Ok(Some(path))
    }

    fn render(&self, format: Format) -> Option<(String, Zeroizing<String>)> {
        let (name, text) = match format {
            Format::None => return None,
            Format::WpaSupplicant => ("wpa_supplicant.conf".to_owned(), self.wpa_supplicant()),
            Format::Iwd => (self.iwd_name(), self.iwd()),
            Format::NetworkManager => ("e3.nmconnection".to_owned(), self.network_manager()),
        };
        Some((name, Zeroizing::new(text)))
    }

    fn wpa_supplicant(&self) -> String {
        let mut text = String::new();
        if let Some(country) = &self.country {
            let _ = writeln!(text, "country={country}");
        }
        // Hexadecimal digits without quotes are the bytes of the name, whatever they are.
        let ssid = hex(&self.ssid);
        let key = match &self.password {
            None => "key_mgmt=NONE".to_owned(),
            Some(key) if key.len() == 64 => format!("key_mgmt=WPA-PSK WPA-PSK-SHA256\n  psk={key}"),
            // It reads up to the last quote of the line, and knows no escapes.
            Some(phrase) => {
                format!("key_mgmt=WPA-PSK WPA-PSK-SHA256 SAE\n  psk=\"{phrase}\"\n  ieee80211w=1")
            }
        };
        text + &format!("network={{\n  ssid={ssid}\n  scan_ssid=1\n  {key}\n}}\n")
    }

    fn iwd_name(&self) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || " -_".contains(c);
        let name = if self.ssid.chars().all(plain) {
            self.ssid.clone()
        } else {
            format!("={}", hex(&self.ssid))
        };
        let kind = if self.password.is_some() {
            "psk"
        } else {
            "open"
        };
        format!("{name}.{kind}")
    }

    fn iwd(&self) -> String {
        let security = match &self.password {
            None => String::new(),
            Some(key) if key.len() == 64 => format!("[Security]\nPreSharedKey={key}\n\n"),
            Some(phrase) => format!("[Security]\nPassphrase={}\n\n", escaped(phrase)),
        };
        security + "[Settings]\nHidden=true\n"
    }

    fn network_manager(&self) -> String {
        let ssid = self.ssid.bytes().fold(String::new(), |mut list, byte| {
            let _ = write!(list, "{byte};");
            list
        });
        let security = match &self.password {
            None => String::new(),
            Some(password) => format!(
                "[wifi-security]\nkey-mgmt=wpa-psk\npsk={}\n\n",
                escaped(password)
            ),
        };
        format!(
            "[connection]\nid=e3\ntype=wifi\n\n[wifi]\nmode=infrastructure\nhidden=true\nssid={ssid}\n\n{security}[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n"
        )
    }
}

/// For key files of GLib and iwd: backslashes doubled, and a leading blank kept.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\");
    match text.strip_prefix(' ') {
        Some(rest) => format!("\\s{rest}"),
        None => text,
    }
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn wifi(text: &str) -> Result<Wifi, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn each_format_says_the_network_and_nothing_that_is_in_a_name_acts() {
        let network = "ssid = \"a\\\"} b\"\npassword = ' \\pass\"word'\ncountry = \"NL\"\n";
        let network = wifi(network).unwrap();
        let show = |format| {
            let (name, text) = network.render(format).unwrap();
            format!("{name}\n{}", &*text)
        };
        insta::assert_snapshot!("wpa_supplicant", show(Format::WpaSupplicant));
        insta::assert_snapshot!("iwd", show(Format::Iwd));
        insta::assert_snapshot!("network_manager", show(Format::NetworkManager));
    }

    #[test]
    fn what_is_no_network_is_refused_and_its_password_is_not_repeated() {
        for (bad, word) in [
            ("ssid = \"\"", "ssid"),
            ("ssid = \"123456789012345678901234567890123\"", "ssid"),
            ("ssid = \"a\\nb\"", "ssid"),
            ("ssid = \"a\"\npassword = \"short77\"", "password"),
            ("ssid = \"a\"\npassword = \"line\\nbreaks\"", "password"),
            ("ssid = \"a\"\npasswort = \"12345678\"", "passwort"),
            ("ssid = \"a\"\ncountry = \"nl\"", "country"),
        ] {
            let error = wifi(bad).err().expect(bad).message().to_owned();
            assert!(error.contains(word), "{error}");
            assert!(
                !error.contains("breaks") && !error.contains("short77"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_burnt_password_writes_nothing_and_a_new_network_takes_the_place_of_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("wifi");
        let write = |text: &str| wifi(text).unwrap().write(Format::Iwd, &folder).unwrap();
        write("ssid = \"one\"\npassword = \"12345678\"").unwrap();
        assert_eq!(write("ssid = \"two\"\npassword = \"burnt---\""), None);
        let two = write("ssid = \"two\"").unwrap();
        assert!(two.ends_with("two.open"));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        let mode = std::fs::metadata(&two).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
