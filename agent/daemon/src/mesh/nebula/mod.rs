//! Nebula: a key born here, a certificate from the fleet, a configuration for its daemon.
//!
//! Certificates have version 2, which knows IPv6, so the party's address follows from its identity (`e3_core::mesh`).
//! Nebula's own settings: <https://nebula.defined.net/docs/config/>.

mod config;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curve25519_dalek::MontgomeryPoint;
use e3_client::files::{self, private_folder};
use e3_core::mesh::{Nebula, NotJoined, Plan};
use zeroize::Zeroizing;

use super::files::Files;
use super::{Prepared, grant};
use crate::shared::Shared;

/// Its name.
const NAME: &str = "nebula";
/// All backends that a machine may have to leave.
pub(super) const ALL: [&str; 1] = [NAME];

/// Everything that the daemon needs.
pub(super) async fn prepare(
    shared: &Shared,
    plan: &Plan,
    nebula: &Nebula,
) -> Result<Prepared, NotJoined> {
    let key = key(shared)?;
    let public = STANDARD.encode(MontgomeryPoint::mul_base_clamped(*key).as_bytes());
    shared.board.mesh_key(NAME, &public);
    let grant = grant::have(shared, NAME, &public, &nebula.revoked).await?;
    let pem = Zeroizing::new(format!(
        "-----BEGIN NEBULA X25519 PRIVATE KEY-----\n{}\n-----END NEBULA X25519 PRIVATE KEY-----\n",
        *Zeroizing::new(STANDARD.encode(*key))
    ));
    let files = Files::of(NAME)
        .with("config.json", config::render(shared, plan, nebula))
        .with("ca.crt", nebula.authorities.as_str())
        .with("host.crt", grant.certificate.as_str())
        .with("host.key", pem.as_str());
    Ok(Prepared {
        files,
        grant: Some(grant),
    })
}

/// The private key: X25519, born here.
fn key(shared: &Shared) -> Result<Zeroizing<[u8; 32]>, NotJoined> {
    let folder = grant::folder(shared, NAME);
    let path = folder.join("key");
    let unable = |error: &dyn std::error::Error| NotJoined::Unable {
        detail: crate::text::chain(error),
    };
    if !path.exists() {
        let new = e3_client::random::bytes32();
        let text = Zeroizing::new(STANDARD.encode(*new));
        private_folder(&folder).map_err(|error| unable(&error))?;
        files::write_secret(&path, text.as_bytes()).map_err(|error| unable(&error))?;
    }
    let text = files::read_secret(&path).map_err(|error| unable(&error))?;
    let mut key = Zeroizing::new([0; 32]);
    match STANDARD.decode_slice(text.trim(), &mut *key) {
        Ok(32) => Ok(key),
        _ => Err(NotJoined::Unable {
            detail: format!("{} is no key; remove it for a new one", path.display()),
        }),
    }
}
