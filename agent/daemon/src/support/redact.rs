//! Takes secrets out of texts: those that this machine is known to have, in every spelling that a log
//! line may have them in, and whatever looks like one.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use e3_client::files;
use e3_core::text::without_credentials;

use crate::config::Settings;
use crate::ledger::Ledger;
use crate::session::folder::Folder;

/// What stands in a secret's place.
const GONE: &str = "[redacted]";
/// Shorter values stand in too many other places; they are kept out by not being collected.
const SHORTEST: usize = 6;
/// A file that may be a secret.
const LIMIT: usize = 64 * 1024;
/// A key's PEM text: everything between these.
const PEM: (&str, &str) = ("-----BEGIN ", "-----END ");
/// How a join token begins.
const TOKEN: &str = "e3-join-";
/// Names after which a secret follows, in settings, environments and headers.
const NAMES: [&str; 10] = [
    "token",
    "password",
    "passwd",
    "passphrase",
    "psk",
    "secret",
    "authkey",
    "auth_key",
    "private_key",
    "authorization",
];

/// Knows this machine's secrets.
pub(crate) struct Redactor {
    /// Longest first, so that no part of a longer one is left.
    spellings: Vec<String>,
}

impl Redactor {
    /// Gathers the secrets from where they lie. They are held in memory only.
    pub(crate) fn of(settings: &Settings, config: &Path) -> Self {
        let ledger = Ledger::at(&settings.state);
        let mut secrets: BTreeSet<Vec<u8>> = BTreeSet::new();
        if let Ok(key) = files::read_key(&ledger.identity()) {
            secrets.insert(key.seed().to_vec());
            secrets.insert(hex(key.seed().as_slice()).into_bytes());
        }
        let mut whole = |path: &Path| {
            let Ok(bytes) = files::read_bounded(path, LIMIT) else {
                return;
            };
            let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            secrets.extend(
                lines
                    .filter(|line| !line.starts_with(b"-----"))
                    .map(<[u8]>::to_vec),
            );
            secrets.insert(bytes.trim_ascii().to_vec());
        };
        whole(&ledger.identity());
        for manifest in ledger.sessions() {
            let folder = Folder::of(&ledger, &manifest);
            for name in ["stdout", "stderr", "output.key"] {
                whole(&folder.path(name));
            }
            for_files(&folder.path("inputs"), &mut whole);
        }
        for_files(&settings.state.join("jobs"), &mut |path| {
            if path.extension().is_some_and(|kind| kind == "key") {
                whole(path);
            }
        });
        for path in settings
            .join
            .iter()
            .chain([&settings.policy, &config.to_owned()])
        {
            let Ok(bytes) = files::read_bounded(path, LIMIT * 8) else {
                continue;
            };
            let text = String::from_utf8_lossy(&bytes);
            // Inputs lie where the policy says.
            for value in text.split('"').skip(1).step_by(2) {
                if value.starts_with('/') && text.contains("[inputs") && path != config {
                    whole(Path::new(value));
                }
            }
        }
        let mut texts: BTreeSet<Vec<u8>> = BTreeSet::new();
        let places = settings.join_places();
        for path in settings
            .join
            .iter()
            .chain(&places)
            .chain([&config.to_owned()])
        {
            let bytes = files::read_bounded(path, LIMIT * 8).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            let passwords = e3_client::join::secrets::passwords(&text);
            texts.extend(passwords.into_iter().map(|at| text[at].as_bytes().to_vec()));
            texts.extend(
                text.match_indices(TOKEN)
                    .map(|(at, _)| token(&text[at..]).into()),
            );
            texts.extend(credentials(&text).map(|secret| secret.as_bytes().to_vec()));
        }
        secrets.extend(texts);
        let mut spellings: BTreeSet<String> = BTreeSet::new();
        for secret in secrets.iter().filter(|secret| secret.len() >= SHORTEST) {
            spellings.extend(String::from_utf8(secret.clone()));
            spellings.extend(base64_inside(secret));
        }
        let mut spellings: Vec<String> = spellings.into_iter().collect();
        spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
        Self { spellings }
    }

    /// The text without secrets.
    pub(crate) fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        // After a thousand sessions there are a million spellings, and hardly one of them is in the text: most are told by
        // how they begin.
        let begins = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |all, byte| all << 8 | u64::from(*byte))
        };
        let there: HashSet<u64> = text.as_bytes().windows(SHORTEST).map(begins).collect();
        for spelling in &self.spellings {
            let begin = spelling.as_bytes().get(..SHORTEST).map(begins);
            if begin.is_none_or(|begin| there.contains(&begin)) && text.contains(spelling.as_str())
            {
                text = text.replace(spelling.as_str(), GONE);
            }
        }
        let (mut cleaned, mut in_key) = (String::with_capacity(text.len()), false);
        for line in text.lines() {
            let begins = line.contains(PEM.0) && line.contains("KEY");
            in_key |= begins;
            if in_key {
                in_key = !line.contains(PEM.1);
                // One line for a whole key, wherever it stood.
                if begins {
                    cleaned += GONE;
                    cleaned.push('\n');
                }
                continue;
            }
            cleaned += &clean_line(line);
            cleaned.push('\n');
        }
        cleaned
    }
}

/// What looks like a secret in one line.
fn clean_line(line: &str) -> String {
    let mut cleaned: String = line
        .split_inclusive([' ', '"', '\'', ',', '<', '>', '(', ')'])
        .map(without_credentials)
        .collect();
    while let Some(at) = cleaned.find(TOKEN) {
        let length = token(&cleaned[at..]).len();
        cleaned.replace_range(at..at + length, GONE);
    }
    let lower = cleaned.to_ascii_lowercase();
    // Everything from the first value on: there may be more of them, and none is worth keeping.
    let value_of = |(at, name): (usize, &str)| {
        let value = lower[at + name.len()..].trim_start_matches(['"', '\'', ' ']);
        (value.starts_with(['=', ':']) && value.len() > 1).then(|| lower.len() - value.len() + 1)
    };
    let values = NAMES
        .iter()
        .flat_map(|name| lower.match_indices(name))
        .filter_map(value_of);
    match values.min() {
        Some(keep) => format!("{} {GONE}", &cleaned[..keep]),
        None => cleaned,
    }
}

fn token(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !"-_=".contains(c));
    &text[..end.unwrap_or(text.len())]
}

/// Users and passwords in URLs, and each password by itself.
fn credentials(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("://").filter_map(|(at, sign)| {
        let rest = &text[at + sign.len()..];
        let end = rest.find(['/', '"', '\'', ' ', '\n']).unwrap_or(rest.len());
        let (user, _) = rest[..end].rsplit_once('@')?;
        Some(user.split_once(':').map_or(user, |(_, password)| password))
    })
}

/// How `secret` reads inside a longer base64 text: three shifts, two alphabets, without the characters
/// that its neighbours share.
fn base64_inside(secret: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for engine in [&STANDARD, &URL_SAFE] {
        for shift in 0..3 {
            let padded = [&vec![0; shift], secret].concat();
            let text = engine.encode(&padded);
            let text = text.trim_end_matches('=');
            let from = [0, 2, 3][shift];
            let upto = padded.len() * 8 / 6;
            if upto > from + SHORTEST {
                found.push(text[from..upto].to_owned());
            }
        }
    }
    found
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Every file below a folder.
fn for_files(folder: &Path, look: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => for_files(&path, look),
            Ok(kind) if kind.is_file() => look(&path),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_goes_and_the_rest_stays() {
        let nobody = Redactor {
            spellings: Vec::new(),
        };
        for (text, cleaned) in [
            (
                "the hub https://a:b@hub.example/x is gone",
                "the hub https://hub.example/x is gone",
            ),
            ("token = \"e3-join-AAAA_b-c\" # mine", "token = [redacted]"),
            ("used e3-join-AAAA_b-c, once", "used [redacted], once"),
            ("Authorization: Basic AAAA", "Authorization: [redacted]"),
            ("  psk=\"correct horse\"", "  psk= [redacted]"),
            ("the token is used", "the token is used"),
            (
                "the token is read, token=AAAA",
                "the token is read, token= [redacted]",
            ),
            ("password: BBBB, token: AAAA", "password: [redacted]"),
            (
                "a\n-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\nb",
                "a\n[redacted]\nb",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nMIIB\n",
                "-----BEGIN CERTIFICATE-----\nMIIB",
            ),
        ] {
            assert_eq!(nobody.clean(text).trim_end(), cleaned);
        }
    }

    #[test]
    fn of_very_many_secrets_each_is_found() {
        let knows = Redactor {
            spellings: (0..100_000).map(|n| format!("{n:06} is secret")).collect(),
        };
        let text = "harmless 000007 is secret, 09999 is none, (099999 is secret)";
        let cleaned = knows.clean(text);
        assert_eq!(
            cleaned.trim_end(),
            "harmless [redacted], 09999 is none, ([redacted])"
        );
    }

    #[test]
    fn base64_is_found_at_every_shift() {
        let secret = b"correct horse battery";
        let knows = Redactor {
            spellings: base64_inside(secret),
        };
        for before in 0..6 {
            for after in 0..6 {
                let text = [&vec![b'x'; before], secret.as_slice(), &vec![b'y'; after]].concat();
                for engine in [&STANDARD, &URL_SAFE] {
                    let cleaned = knows.clean(&engine.encode(&text));
                    assert!(cleaned.contains(GONE), "{before} {after}");
                }
            }
        }
    }
}
