//! A machine's own key for a mesh: born here, kept in the state folder, shown to nobody but the mesh's daemon.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curve25519_dalek::MontgomeryPoint;
use e3_client::files::{self, private_folder};
use e3_core::mesh::NotJoined;
use zeroize::Zeroizing;

use super::unable;
use crate::shared::Shared;

/// The folder of a backend in the state folder.
pub(super) fn folder(shared: &Shared, backend: &str) -> PathBuf {
    shared.ledger.folder().join("mesh").join(backend)
}

/// An X25519 key pair.
pub(super) struct X25519 {
    /// In base64.
    pub(super) secret: Zeroizing<String>,
    /// In base64.
    pub(super) public: String,
}

/// The key of this machine for a backend, made if there is none; its public half is told to the fleet.
pub(super) fn x25519(shared: &Shared, backend: &str) -> Result<X25519, NotJoined> {
    let folder = folder(shared, backend);
    let path = folder.join("key");
    if !path.exists() {
        let new = e3_client::random::bytes32();
        let text = Zeroizing::new(STANDARD.encode(*new));
        private_folder(&folder).map_err(|error| unable(&error))?;
        files::write_secret(&path, text.as_bytes()).map_err(|error| unable(&error))?;
    }
    let text = files::read_secret(&path).map_err(|error| unable(&error))?;
    let mut key = Zeroizing::new([0; 32]);
    let Ok(32) = STANDARD.decode_slice(text.trim(), &mut *key) else {
        return Err(NotJoined::Unable {
            detail: format!("{} is no key; remove it for a new one", path.display()),
        });
    };
    let public = STANDARD.encode(MontgomeryPoint::mul_base_clamped(*key).as_bytes());
    shared.board.mesh_key(backend, &public);
    Ok(X25519 {
        secret: Zeroizing::new(STANDARD.encode(*key)),
        public,
    })
}
