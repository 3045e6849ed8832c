//! The transport key: made here, kept here, and never the party's identity.

use std::path::{Path, PathBuf};

use e3_client::files;
use e3_core::key::SecretKey;
use e3_core::mesh::link::{Id, KeySource};
use zeroize::Zeroizing;

use crate::error::LinkError;

/// A PKCS#8 file with an Ed25519 key takes 119 bytes, one with a chain of blanks is not worth reading.
const KEY: usize = 4096;

/// A transport key.
pub struct TransportKey(SecretKey);

impl TransportKey {
    /// Its public half.
    pub fn id(&self) -> Id {
        self.0.public().into()
    }

    /// The key itself.
    pub(crate) fn into_secret(self) -> SecretKey {
        self.0
    }

    /// As the QUIC library wants it.
    pub(crate) fn for_quic(&self) -> iroh::SecretKey {
        iroh::SecretKey::from_bytes(&self.0.seed())
    }
}

/// Makes a key in a file that must not exist and that only its owner can read.
pub fn generate(path: &Path) -> Result<Id, LinkError> {
    let key = e3_client::random::key();
    files::write_secret(path, key.to_pem().as_bytes())?;
    Ok(key.public().into())
}

/// Reads a key from a file that nobody else can read.
pub fn read_file(path: &Path) -> Result<TransportKey, LinkError> {
    Ok(TransportKey(files::read_key(path)?))
}

/// Reads a key from where the configuration says it is.
pub fn read(source: &KeySource) -> Result<TransportKey, LinkError> {
    let name = match source {
        KeySource::File(path) => return read_file(path),
        KeySource::Credential(name) => name,
    };
    // systemd decides who can read a credential, by means that the permission bits do not show.
    let text = Zeroizing::new(files::read_bounded(&path(source)?, KEY)?);
    let text = std::str::from_utf8(&text).unwrap_or_default();
    let key = SecretKey::from_pem(text).map_err(|_| LinkError::Credential(name.clone()))?;
    Ok(TransportKey(key))
}

/// Where the file is that a source means.
pub(crate) fn path(source: &KeySource) -> Result<PathBuf, LinkError> {
    match source {
        KeySource::File(path) => Ok(path.clone()),
        KeySource::Credential(name) => credential(name),
    }
}

fn credential(name: &str) -> Result<PathBuf, LinkError> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY")
        .ok_or_else(|| LinkError::NoCredential(name.to_owned()))?;
    Ok(Path::new(&folder).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("link.key");
        let id = generate(&path).unwrap();
        let key = read(&KeySource::File(path.clone())).unwrap();
        assert_eq!(key.id(), id);
        // The library reads the same key out of the same bytes.
        assert_eq!(key.for_quic().public().as_bytes(), id.as_bytes());
        assert_eq!(key.for_quic().public().to_string(), id.to_string());
        assert!(generate(&path).is_err());
    }
}
