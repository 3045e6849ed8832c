//! The one place that chooses a TLS implementation: rustls on ring.
//!
//! ring builds everywhere with one C compiler; OpenSSL and aws-lc must not enter the agent, and a
//! check of the CI looks for them.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::clock::Clock;

/// Makes ring the process's provider. Call it before anything that may open a connection; calling it
/// again changes nothing.
pub fn install() {
    // An error only says that a provider is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The provider, for configurations that are made by hand.
pub fn provider() -> Arc<CryptoProvider> {
    install();
    CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()))
}

/// Whose word a client of HTTPS takes for who a server is.
#[derive(Debug, Clone, Copy)]
pub enum Authorities<'a> {
    /// The machine's own. They are read at once: some hundred files.
    Machine,
    /// Those in this PEM text, and nobody else's.
    Pem(&'a [u8]),
    /// Nobody's: for a client that never speaks TLS.
    None,
}

/// How a client of HTTPS judges servers: by these authorities, and by the time of `clock`. The error is a sentence about the
/// authorities.
pub fn client(authorities: Authorities<'_>, clock: Clock) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_details(provider(), Arc::new(clock))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let pem = match authorities {
        Authorities::Pem(pem) => pem,
        Authorities::Machine => {
            let builder = builder.with_platform_verifier();
            return Ok(builder
                .map_err(|error| error.to_string())?
                .with_no_client_auth());
        }
        Authorities::None => {
            return Ok(builder
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth());
        }
    };
    let mut authorities = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| {
                let added = authorities.add(certificate);
                added.map_err(|error| error.to_string())
            });
        added?;
    }
    if authorities.is_empty() {
        return Err("it holds no certificate".to_owned());
    }
    Ok(builder
        .with_root_certificates(authorities)
        .with_no_client_auth())
}
