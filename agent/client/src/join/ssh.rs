//! Who may log in over ssh: a public key as it stands in a file that ends in `.pub`.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// Bytes of a line; the longest key that sshd takes, RSA with 16,384 bits, has 2,800.
const LINE: usize = 4096;
/// What sshd of the images takes, without what is broken (DSA) and certificates, which are no keys.
const KINDS: [&str; 7] = [
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
];
/// Bytes of an RSA key's data: one with 2,048 bits has 279.
const RSA: usize = 270;

/// A public key: its kind, its data, and what its owner calls it. It fits into one line of `authorized_keys`, and has none of
/// the options that such a line may begin with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SshKey(String);

/// Why a text is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SshKeyError {
    /// The secret half. It goes nowhere.
    #[error(
        "this is a private key, which must never leave its owner's computer; give the public one, the file that ends in .pub"
    )]
    Private,
    /// Another format.
    #[error(
        "this is a public key in another format than OpenSSH's; `ssh-keygen -i -f FILE` writes it as one line"
    )]
    Format,
    /// Several keys, or something that would act.
    #[error("a public key is one line, without anything before it")]
    Line,
    /// More than anybody has.
    #[error("there are more than 20 keys")]
    Many,
    /// None of those that are taken.
    #[error("this is no public key: a line begins with ssh-ed25519, ecdsa-sha2-…, sk-… or ssh-rsa")]
    Kind,
    /// Cut off, or changed.
    #[error("the key is damaged: its data are not those of such a key")]
    Data,
    /// Too weak.
    #[error("the RSA key has fewer than 2048 bits; make a new one with `ssh-keygen -t ed25519`")]
    Weak,
}

impl SshKey {
    /// The line.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SshKey {
    type Err = SshKeyError;

    fn from_str(text: &str) -> Result<Self, SshKeyError> {
        if text.contains("PRIVATE KEY") || text.contains("PuTTY-User-Key-File") {
            return Err(SshKeyError::Private);
        }
        if text.contains("BEGIN ") {
            return Err(SshKeyError::Format);
        }
        let line = text.trim();
        let acts = |c: char| c.is_control() || (c.is_whitespace() && c != ' ');
        if line.is_empty() || line.len() > LINE || line.contains(acts) {
            return Err(SshKeyError::Line);
        }
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        let kind = words.next().unwrap_or_default();
        if !KINDS.contains(&kind) {
            return Err(SshKeyError::Kind);
        }
        let data = words.next().and_then(|data| STANDARD.decode(data).ok());
        let data = data.ok_or(SshKeyError::Data)?;
        // Each part is a length and as many bytes; the first part is the kind again.
        let mut rest = data.as_slice();
        let mut parts = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            let part = after.split_at_checked(length).ok_or(SshKeyError::Data)?;
            parts.push(part.0);
            rest = part.1;
        }
        let good = rest.is_empty()
            && parts.first().is_some_and(|part| *part == kind.as_bytes())
            && match kind {
                "ssh-ed25519" => parts.len() == 2 && parts[1].len() == 32,
                "sk-ssh-ed25519@openssh.com" => parts.len() == 3 && parts[1].len() == 32,
                "sk-ecdsa-sha2-nistp256@openssh.com" => parts.len() == 4,
                _ => parts.len() == 3,
            };
        if !good {
            return Err(SshKeyError::Data);
        }
        if kind == "ssh-rsa" && data.len() < RSA {
            return Err(SshKeyError::Weak);
        }
        let plain: Vec<_> = line.split(' ').filter(|word| !word.is_empty()).collect();
        Ok(Self(e3_core::text::clean(&plain.join(" "), LINE)))
    }
}

impl TryFrom<String> for SshKey {
    type Error = SshKeyError;

    fn try_from(text: String) -> Result<Self, SshKeyError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBAcQFIbHsTzTGiKCNSJlSqk4CHvp8UEAGGHHfkxzRSu";

    #[test]
    fn a_public_key_is_taken_as_it_stands_in_its_file() {
        for text in [
            KEY.to_owned(),
            format!("{KEY} alice@home\n"),
            format!("  {KEY}   alice  at home \r\n"),
        ] {
            let key: SshKey = text.parse().unwrap();
            assert!(key.as_str().starts_with(KEY) && !key.as_str().contains('\n'));
        }
    }

    #[test]
    fn what_is_secret_damaged_or_acts_is_refused() {
        use SshKeyError as E;
        let data = &KEY["ssh-ed25519 ".len()..];
        for (text, why) in [
            (
                "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n".to_owned(),
                E::Private,
            ),
            (
                "PuTTY-User-Key-File-3: ssh-ed25519\n".to_owned(),
                E::Private,
            ),
            ("---- BEGIN SSH2 PUBLIC KEY ----\n".to_owned(), E::Format),
            (format!("{KEY}\n{KEY}\n"), E::Line),
            (format!("{KEY} a\u{1b}[2J"), E::Line),
            (String::new(), E::Line),
            (format!("command=\"x\" {KEY}"), E::Kind),
            (format!("ssh-dss {data}"), E::Kind),
            (format!("ssh-ed25519-cert-v01@openssh.com {data}"), E::Kind),
            (format!("ssh-rsa {data}"), E::Data),
            (KEY[..60].to_owned(), E::Data),
            ("ssh-ed25519".to_owned(), E::Data),
        ] {
            assert_eq!(text.parse::<SshKey>().unwrap_err(), why, "{text}");
        }
        // RSA with 512 bits.
        let mut weak = Vec::new();
        for part in [&b"ssh-rsa"[..], &[1, 0, 1], &[7; 65]] {
            weak.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
            weak.extend(part);
        }
        let weak = format!("ssh-rsa {}", STANDARD.encode(weak));
        assert_eq!(weak.parse::<SshKey>().unwrap_err(), E::Weak);
    }
}
