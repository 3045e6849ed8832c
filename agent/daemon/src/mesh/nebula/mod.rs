//! Nebula: a key born here, a certificate from the fleet, a configuration for its daemon.
//!
//! Certificates have version 2, which knows IPv6, so the party's address follows from its identity (`e3_core::mesh`).
//! Nebula's own settings: <https://nebula.defined.net/docs/config/>.

mod config;

use e3_core::mesh::{Nebula, NotJoined, Plan};
use zeroize::Zeroizing;

use super::backend::Prepared;
use super::files::Files;
use super::{grant, key};
use crate::shared::Shared;

const NAME: &str = "nebula";

/// Everything that the daemon needs.
pub(super) async fn prepare(
    shared: &Shared,
    plan: &Plan,
    nebula: &Nebula,
) -> Result<Prepared, NotJoined> {
    let key = key::x25519(shared, NAME)?;
    let grant = grant::have(shared, NAME, &key.public, nebula).await?;
    let pem = Zeroizing::new(format!(
        "-----BEGIN NEBULA X25519 PRIVATE KEY-----\n{}\n-----END NEBULA X25519 PRIVATE KEY-----\n",
        *key.secret
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
