//! How relays are judged: by the fleet's authorities, and by a clock that cannot be set back (rule 10).
//!
//! Peers are not judged here: they prove their transport keys, which have no certificates and no dates.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use e3_client::clock::Clock;
use e3_core::mesh::link::{Config, Problem};
use iroh::tls::CaTlsConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::{LinkError, detail};

/// What was last wrong with a relay's certificate, if the last one that was shown was wrong.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trouble(Arc<Mutex<Option<Problem>>>);

impl Trouble {
    pub(crate) fn get(&self) -> Option<Problem> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, problem: Option<Problem>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}

/// How the relays of this configuration are judged.
pub(crate) fn relays(
    config: &Config,
    clock: &Clock,
    trouble: &Trouble,
) -> Result<CaTlsConfig, LinkError> {
    let clock = clock.clone();
    let authorities = config.authorities.as_deref().map(authorities).transpose()?;
    let trouble = trouble.clone();
    Ok(CaTlsConfig::custom_server_cert_verifier(Arc::new(
        move |provider| {
            Ok(Arc::new(Verifier {
                inner: inner(authorities.clone(), provider)?,
                clock: clock.clone(),
                trouble: trouble.clone(),
            }))
        },
    )))
}

fn authorities(pem: &str) -> Result<Arc<RootCertStore>, LinkError> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| LinkError::Authorities(error.to_string()))?;
        store
            .add(certificate)
            .map_err(|error| LinkError::Authorities(error.to_string()))?;
    }
    if store.is_empty() {
        return Err(LinkError::Authorities("there is no certificate".to_owned()));
    }
    Ok(Arc::new(store))
}

fn inner(
    authorities: Option<Arc<RootCertStore>>,
    provider: Arc<CryptoProvider>,
) -> io::Result<Arc<dyn ServerCertVerifier>> {
    let verifier: Arc<dyn ServerCertVerifier> = if let Some(store) = authorities {
        let verifier = WebPkiServerVerifier::builder_with_provider(store, provider);
        verifier.build().map_err(io::Error::other)?
    } else {
        let verifier = rustls_platform_verifier::Verifier::new(provider);
        Arc::new(verifier.map_err(io::Error::other)?)
    };
    Ok(verifier)
}

#[derive(Debug)]
struct Verifier {
    inner: Arc<dyn ServerCertVerifier>,
    clock: Clock,
    trouble: Trouble,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let now = u64::try_from(self.clock.now().unix()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now));
        let verdict = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        self.trouble.set(verdict.as_ref().err().map(problem));
        verdict
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn problem(error: &rustls::Error) -> Problem {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    let detail = detail(error);
    let rustls::Error::InvalidCertificate(why) = error else {
        return Problem::RelayCertificate { detail };
    };
    let behind = match why {
        NotValidYetContext { time, not_before } => {
            not_before.as_secs().saturating_sub(time.as_secs()).max(1)
        }
        NotValidYet => 1,
        Expired | ExpiredContext { .. } => 0,
        _ => return Problem::RelayCertificate { detail },
    };
    Problem::ClockWrong { behind, detail }
}
