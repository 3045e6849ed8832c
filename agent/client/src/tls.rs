//! The one place that chooses a TLS implementation: rustls on ring.
//!
//! ring builds everywhere with one C compiler; OpenSSL and aws-lc must not enter the agent, and a
//! check of the CI looks for them.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

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
