//! The wireless network in a join file.

use serde::Deserialize;

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

impl Wifi {
    /// A network, if its name, password and country are such; otherwise what is wrong.
    pub fn new(
        ssid: String,
        password: Option<String>,
        country: Option<String>,
    ) -> Result<Self, &'static str> {
        Self::try_from(Raw {
            ssid,
            password,
            country,
        })
    }

    /// Its name.
    pub fn ssid(&self) -> &str {
        &self.ssid
    }

    /// Its password, or what burning has left of it; nothing for an open network.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// Which channels the radio may use.
    pub fn country(&self) -> Option<&str> {
        self.country.as_deref()
    }

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
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let error = toml::from_str::<Wifi>(bad).err().expect(bad);
            let error = error.message().to_owned();
            assert!(error.contains(word), "{error}");
            assert!(
                !error.contains("breaks") && !error.contains("short77"),
                "{error}"
            );
        }
    }
}
