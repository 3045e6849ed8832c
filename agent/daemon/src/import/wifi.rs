//! The configuration that the wireless network of a join file becomes.
//!
//! The importer only writes a file that root alone may read. Whoever runs the radio is told of it by the image.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use e3_client::files::{self, FileError};
use e3_client::join::Wifi;
use serde::Deserialize;
use zeroize::Zeroizing;

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

/// Writes the configuration into `folder`, unless the password has been burnt, and returns the file. An older one goes.
pub fn write(wifi: &Wifi, format: Format, folder: &Path) -> Result<Option<PathBuf>, FileError> {
    let Some((name, text)) = render(wifi, format).filter(|_| !wifi.is_burnt()) else {
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

fn render(wifi: &Wifi, format: Format) -> Option<(String, Zeroizing<String>)> {
    let (name, text) = match format {
        Format::None => return None,
        Format::WpaSupplicant => ("wpa_supplicant.conf".to_owned(), wpa_supplicant(wifi)),
        Format::Iwd => (iwd_name(wifi), iwd(wifi)),
        Format::NetworkManager => ("e3.nmconnection".to_owned(), network_manager(wifi)),
    };
    Some((name, Zeroizing::new(text)))
}

fn wpa_supplicant(wifi: &Wifi) -> String {
    let mut text = String::new();
    if let Some(country) = wifi.country() {
        let _ = writeln!(text, "country={country}");
    }
    // Hexadecimal digits without quotes are the bytes of the name, whatever they are.
    let ssid = hex(wifi.ssid());
    let key = match wifi.password() {
        None => "key_mgmt=NONE".to_owned(),
        Some(key) if key.len() == 64 => format!("key_mgmt=WPA-PSK WPA-PSK-SHA256\n  psk={key}"),
        // It reads up to the last quote of the line, and knows no escapes.
        Some(phrase) => {
            format!("key_mgmt=WPA-PSK WPA-PSK-SHA256 SAE\n  psk=\"{phrase}\"\n  ieee80211w=1")
        }
    };
    text + &format!("network={{\n  ssid={ssid}\n  scan_ssid=1\n  {key}\n}}\n")
}

fn iwd_name(wifi: &Wifi) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || " -_".contains(c);
    let name = if wifi.ssid().chars().all(plain) {
        wifi.ssid().to_owned()
    } else {
        format!("={}", hex(wifi.ssid()))
    };
    let kind = if wifi.password().is_some() {
        "psk"
    } else {
        "open"
    };
    format!("{name}.{kind}")
}

fn iwd(wifi: &Wifi) -> String {
    let security = match wifi.password() {
        None => String::new(),
        Some(key) if key.len() == 64 => format!("[Security]\nPreSharedKey={key}\n\n"),
        Some(phrase) => format!("[Security]\nPassphrase={}\n\n", escaped(phrase)),
    };
    security + "[Settings]\nHidden=true\n"
}

fn network_manager(wifi: &Wifi) -> String {
    let ssid = wifi.ssid().bytes().fold(String::new(), |mut list, byte| {
        let _ = write!(list, "{byte};");
        list
    });
    let security = match wifi.password() {
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
            let (name, text) = render(&network, format).unwrap();
            format!("{name}\n{}", &*text)
        };
        insta::assert_snapshot!("wpa_supplicant", show(Format::WpaSupplicant));
        insta::assert_snapshot!("iwd", show(Format::Iwd));
        insta::assert_snapshot!("network_manager", show(Format::NetworkManager));
    }

    #[test]
    fn a_burnt_password_writes_nothing_and_a_new_network_takes_the_place_of_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("wifi");
        let write = |text: &str| super::write(&wifi(text).unwrap(), Format::Iwd, &folder).unwrap();
        write("ssid = \"one\"\npassword = \"12345678\"").unwrap();
        assert_eq!(write("ssid = \"two\"\npassword = \"burnt---\""), None);
        let two = write("ssid = \"two\"").unwrap();
        assert!(two.ends_with("two.open"));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        let mode = std::fs::metadata(&two).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
