//! `e3 key new` and `e3 key show`, and where a person's key lies.

use std::path::{Path, PathBuf};

use e3_client::{files, random};
use e3_core::key::SecretKey;
use serde_json::json;

use crate::args::{KeyCommand, KeyFile};
use crate::error::Error;
use crate::output::Answer;

pub(super) fn run(command: &KeyCommand) -> Result<Answer, Error> {
    match command {
        KeyCommand::New(KeyFile { file }) => new(&path_of(file.as_deref())?),
        KeyCommand::Show(KeyFile { file }) => show(file.as_deref()),
    }
}

/// Where the key lies: as named (flag or `E3_KEY`), else in the home folder.
pub fn path_of(named: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    Ok(settings()?.join("key.pem"))
}

/// The folder of what is a person's own, and not a fleet's.
pub fn settings() -> Result<PathBuf, Error> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let config = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    Ok(config.ok_or(Error::NoHome)?.join("e3"))
}

/// Reads the key, refusing one that others can read.
pub fn read(named: Option<&Path>) -> Result<SecretKey, Error> {
    let path = path_of(named)?;
    match files::read_key(&path) {
        Err(error) if error.is_not_found() => Err(Error::NoKey { path }),
        other => Ok(other?),
    }
}

/// Makes a new key file and the folder it lies in.
pub fn make(path: &Path) -> Result<SecretKey, Error> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty() && !folder.exists())
    {
        files::private_folder(folder)?;
    }
    let key = random::key();
    files::write_secret(path, key.to_pem().as_bytes())?;
    Ok(key)
}

fn new(path: &Path) -> Result<Answer, Error> {
    let public = make(path)?.public();
    let text = format!(
        "{public}\n\nThe secret key is in {}\nKeep a copy of it offline: whoever has it can sign as you, and nobody can make it again.\n",
        path.display()
    );
    Ok(Answer::new(
        text,
        json!({"key": public, "file": crate::output::named(path)}),
    ))
}

fn show(named: Option<&Path>) -> Result<Answer, Error> {
    let path = path_of(named)?;
    let public = read(named)?.public();
    Ok(Answer::new(
        format!("{public}\n"),
        json!({"key": public, "file": crate::output::named(&path)}),
    ))
}
