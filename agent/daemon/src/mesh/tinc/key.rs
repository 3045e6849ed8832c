//! A machine's RSA key for tinc: made by tinc itself, since nothing else here makes such keys, and kept in the state folder.

use std::process::Stdio;
use std::time::Duration;

use e3_client::files::{private_folder, read_secret, write_secret};
use e3_core::mesh::NotJoined;
use tokio::process::Command;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::NAME;
use crate::mesh::{key, unable};
use crate::shared::Shared;

/// What makes it.
const PROGRAM: &str = "tincd";
/// A small board needs seconds, and what waits for random numbers at its first boot more.
const PATIENCE: Duration = Duration::from_mins(2);
/// Where the public half begins and ends.
const PUBLIC: [&str; 2] = [
    "-----BEGIN RSA PUBLIC KEY-----",
    "-----END RSA PUBLIC KEY-----",
];

/// Both halves.
pub(super) struct Pair {
    /// As PEM.
    pub(super) secret: Zeroizing<String>,
    /// In base64.
    pub(super) public: String,
}

/// The key of this machine, made if there is none; its public half is told to the fleet.
pub(super) async fn of(shared: &Shared) -> Result<Pair, NotJoined> {
    let folder = key::folder(shared, NAME);
    // One file, so that there is never one half without the other.
    let path = folder.join("key");
    if !path.exists() {
        private_folder(&folder).map_err(|error| unable(&error))?;
        let new = make(&folder).await?;
        write_secret(&path, new.as_bytes()).map_err(|error| unable(&error))?;
    }
    let text = read_secret(&path).map_err(|error| unable(&error))?;
    let pair = read(&text).ok_or_else(|| NotJoined::Unable {
        detail: format!("{} is no key; remove it for a new one", path.display()),
    })?;
    shared.board.mesh_key(NAME, &pair.public);
    Ok(pair)
}

/// Has tinc make one, in a folder that is gone afterwards.
async fn make(folder: &std::path::Path) -> Result<Zeroizing<String>, NotJoined> {
    let scratch = tempfile::Builder::new()
        .prefix(".new-")
        .tempdir_in(folder)
        .map_err(|error| unable(&error))?;
    let mut command = Command::new(PROGRAM);
    command
        .arg("--config")
        .arg(scratch.path())
        .arg("--generate-keys")
        // It would ask where to put them.
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let failed = |detail: String| NotJoined::Unable {
        detail: format!("{PROGRAM} makes no key: {detail}"),
    };
    let done = timeout(PATIENCE, command.output()).await;
    let output = done
        .map_err(|_| failed("it takes too long".to_owned()))?
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(said.trim().to_owned()));
    }
    let mut both = Zeroizing::new(String::new());
    for half in ["rsa_key.priv", "rsa_key.pub"] {
        // tinc's umask is its own, and nobody else gets as far as this folder.
        let path = scratch.path().join(half);
        let text = std::fs::read_to_string(&path).map(Zeroizing::new);
        *both += &text.map_err(|error| unable(&error))?;
    }
    Ok(both)
}

fn read(text: &str) -> Option<Pair> {
    let (secret, public) = text.split_at(text.find(PUBLIC[0])?);
    let (body, _) = public.strip_prefix(PUBLIC[0])?.split_once(PUBLIC[1])?;
    let public: String = body.split_whitespace().collect();
    (!secret.is_empty() && !public.is_empty()).then(|| Pair {
        secret: Zeroizing::new(secret.to_owned()),
        public,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_are_read_again() {
        let secret = "-----BEGIN RSA PRIVATE KEY-----\nxx\n-----END RSA PRIVATE KEY-----\n";
        let public = "-----BEGIN RSA PUBLIC KEY-----\nAB\nCD==\n-----END RSA PUBLIC KEY-----\n";
        let pair = read(&format!("{secret}{public}")).unwrap();
        assert_eq!(
            (pair.secret.as_str(), pair.public.as_str()),
            (secret, "ABCD==")
        );
        for half in [secret, public, "", PUBLIC[0]] {
            assert!(read(half).is_none(), "{half}");
        }
    }
}
