//! The secrets of an upload: from the environment or from a file, never from a command line.

use std::path::Path;

use e3_client::files;
use zeroize::Zeroizing;

use super::error::Fault;

/// What a credentials file may hold: the names that DigitalOcean's own tools take from the environment.
const NAMES: &str = "DIGITALOCEAN_TOKEN, SPACES_ACCESS_KEY_ID, SPACES_SECRET_ACCESS_KEY";
/// Each of them, with the name that other tools use.
const TOKEN: [&str; 2] = ["DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN"];
const KEY: [&str; 2] = ["SPACES_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"];
const SECRET: [&str; 2] = ["SPACES_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY"];
/// What a credentials file may have, in all.
pub const LIMIT: u64 = 16 * 1024;

/// Who uploads. It shows nothing of itself.
pub struct Account {
    /// For the API.
    pub(super) token: Zeroizing<String>,
    /// The Space's access key.
    pub(super) key: Zeroizing<String>,
    /// And what goes with it.
    pub(super) secret: Zeroizing<String>,
}

impl Account {
    /// Takes what `credentials` (a file's text, lines of NAME=value) have, and the rest from `variable`.
    pub fn new(
        credentials: Option<&str>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Fault> {
        let lines = lines(credentials.unwrap_or_default())?;
        let find = |names: [&'static str; 2]| {
            let given = lines
                .iter()
                .find(|(name, _)| names.contains(&name.as_str()));
            let given = given.map(|(_, value)| value.clone());
            let found = given.or_else(|| {
                let set = |name: &&str| variable(name).filter(|value| !value.trim().is_empty());
                names.iter().find_map(set).map(Zeroizing::new)
            });
            found.ok_or(Fault::NoCredential { name: names[0] })
        };
        Ok(Self {
            token: find(TOKEN)?,
            key: find(KEY)?,
            secret: find(SECRET)?,
        })
    }
}

/// Reads a credentials file, which nobody else may be able to read.
pub fn read(path: &Path) -> Result<Zeroizing<String>, Fault> {
    Ok(files::read_secret(path)?)
}

fn lines(text: &str) -> Result<Vec<(String, Zeroizing<String>)>, Fault> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // As `op run --env-file`, systemd and shells write it.
        let line = line.strip_prefix("export ").unwrap_or(line);
        let known = |name: &str| [TOKEN, KEY, SECRET].concat().contains(&name);
        match line.split_once('=') {
            Some((name, value)) if known(name.trim()) => {
                let value = value.trim();
                let quoted = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
                let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
                found.push((name.trim().to_owned(), Zeroizing::new(value.to_owned())));
            }
            _ => {
                return Err(Fault::Credentials {
                    line: at + 1,
                    names: NAMES,
                });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn a_file_counts_before_the_environment_and_each_secret_is_looked_for_by_itself() {
        let file =
            "# mine\nexport DIGITALOCEAN_TOKEN='dop_v1_a'\n\nSPACES_ACCESS_KEY_ID = \"key\"\n";
        let variable = |name: &str| {
            ["DIGITALOCEAN_TOKEN", "AWS_SECRET_ACCESS_KEY"]
                .contains(&name)
                .then(|| "other".to_owned())
        };
        let account = Account::new(Some(file), variable).unwrap();
        let found = [&*account.token, &*account.key, &*account.secret];
        assert_eq!(found.map(String::as_str), ["dop_v1_a", "key", "other"]);
        let missing = Account::new(Some(file), none).err().unwrap();
        assert!(missing.to_string().contains("SPACES_SECRET_ACCESS_KEY"));
    }

    #[test]
    fn a_line_that_is_none_is_named_and_not_shown() {
        for file in ["DIGITALOCEAN_TOKEN=a\ndop_v1_secret\n", "\nTOKEN=secret"] {
            let error = Account::new(Some(file), none).err().unwrap().to_string();
            assert!(
                error.contains("line 2") && !error.contains("secret"),
                "{error}"
            );
        }
    }
}
