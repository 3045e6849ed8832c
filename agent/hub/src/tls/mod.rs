//! TLS with certificates that change while the hub runs: rustls on ring, HTTP/1.1 only.

mod own;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use e3_core::time::Time;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use self::own::Own;
use crate::ServeError;
use crate::settings::Tls;

/// How often the files are looked at again, and a certificate's age.
const LOOK: Duration = Duration::from_mins(15);
/// A chain or key file larger than this is none.
const FILE: u64 = 1024 * 1024;

/// The certificate that new connections get.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(
            &self.0.read().unwrap_or_else(PoisonError::into_inner),
        ))
    }
}

/// Where certificates come from.
enum Source {
    Files { certificate: PathBuf, key: PathBuf },
    Own(Own),
}

impl Source {
    fn load(&self, now: Time) -> Result<CertifiedKey, ServeError> {
        match self {
            Self::Files { certificate, key } => pair(certificate, &read(certificate)?, &read(key)?),
            Self::Own(own) => own.current(now),
        }
    }
}

/// The hub's certificates.
pub(crate) struct Certificates {
    source: Source,
    clock: fn() -> Time,
    current: Arc<Current>,
    /// What clients must trust, if the hub is its own authority.
    pub(crate) ca_pem: Option<String>,
}

/// A certificate as files, for a process beside the hub that reads them again when they change. Kept current until it is
/// dropped.
pub struct KeptCertificate {
    /// PEM with the certificate chain.
    pub certificate: PathBuf,
    /// PEM with its key; may be the same file.
    pub key: PathBuf,
    /// What clients must trust, if the hub is its own authority.
    pub ca_pem: Option<String>,
    _renewal: Renewal,
}

impl KeptCertificate {
    /// Reads or makes the certificate; `None` if `tls` has none. To be called in a runtime.
    pub fn open(tls: &Tls, clock: fn() -> Time) -> Result<Option<Self>, ServeError> {
        let Some(certificates) = Certificates::open(tls, clock)? else {
            return Ok(None);
        };
        let (certificate, key) = match &certificates.source {
            Source::Files { certificate, key } => (certificate.clone(), key.clone()),
            Source::Own(own) => (own.server(), own.server()),
        };
        Ok(Some(Self {
            certificate,
            key,
            ca_pem: certificates.ca_pem.clone(),
            _renewal: certificates.keep(),
        }))
    }
}

/// The authority of a hub's own certificates in this folder, as PEM; made if there is none, so that those who are to trust a hub
/// can be told of it before there is one.
pub fn authority(folder: &Path) -> Result<String, ServeError> {
    Own::open(folder, &[]).map(|own| own.ca_pem().to_owned())
}

/// Keeps the certificate current; ends when dropped.
pub(crate) struct Renewal(JoinHandle<()>);

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Certificates {
    /// Reads or makes the first certificate; `None` without TLS.
    pub(crate) fn open(tls: &Tls, clock: fn() -> Time) -> Result<Option<Self>, ServeError> {
        let (source, ca_pem) = match tls {
            Tls::None => return Ok(None),
            Tls::Files { certificate, key } => (
                Source::Files {
                    certificate: certificate.clone(),
                    key: key.clone(),
                },
                None,
            ),
            Tls::SelfSigned { folder, names } => {
                let own = Own::open(folder, names)?;
                let ca_pem = own.ca_pem().to_owned();
                (Source::Own(own), Some(ca_pem))
            }
        };
        let current = Arc::new(Current(RwLock::new(Arc::new(source.load(clock())?))));
        Ok(Some(Self {
            source,
            clock,
            current,
            ca_pem,
        }))
    }

    /// The acceptor, and the task that keeps its certificate current.
    pub(crate) fn run(self) -> (TlsAcceptor, Renewal) {
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Current>::clone(&self.current);
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring has the cipher suites of TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        (TlsAcceptor::from(Arc::new(config)), self.keep())
    }

    /// The task that keeps the certificate current.
    fn keep(self) -> Renewal {
        Renewal(tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                self.renew();
            }
        }))
    }

    /// Takes a newer certificate, or keeps the one that works (rule 11).
    fn renew(&self) {
        let new = match self.source.load((self.clock)()) {
            Ok(new) => Arc::new(new),
            Err(error) => {
                tracing::error!(%error, "the certificate stays as it is");
                return;
            }
        };
        *self
            .current
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner) = new;
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A chain and the key that fits it, both PEM. `path` is for the error.
fn pair(path: &Path, chain: &[u8], key: &[u8]) -> Result<CertifiedKey, ServeError> {
    let failed = |source| ServeError::Certificate {
        path: path.to_owned(),
        source,
    };
    let pem =
        |error: rustls::pki_types::pem::Error| failed(rustls::Error::General(error.to_string()));
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(pem)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(pem)?;
    if chain.is_empty() {
        return Err(failed(rustls::Error::NoCertificatesPresented));
    }
    CertifiedKey::from_der(chain, key, &provider()).map_err(failed)
}

fn read(path: &Path) -> Result<Vec<u8>, ServeError> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(FILE).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|source| ServeError::Folder {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_again_and_a_broken_file_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let write = |seed: &str| {
            let made = rcgen::generate_simple_self_signed([seed.to_owned()]).unwrap();
            std::fs::write(path("c.pem"), made.cert.pem()).unwrap();
            std::fs::write(path("k.pem"), made.signing_key.serialize_pem()).unwrap();
        };
        let tls = Tls::Files {
            certificate: path("c.pem"),
            key: path("k.pem"),
        };
        assert!(matches!(
            Certificates::open(&tls, || Time::MIN),
            Err(ServeError::Folder { .. })
        ));
        write("one");
        let certificates = Certificates::open(&tls, || Time::MIN).unwrap().unwrap();
        let now = || certificates.current.0.read().unwrap().cert.clone();
        let first = now();
        std::fs::write(path("k.pem"), "half").unwrap();
        certificates.renew();
        assert_eq!(now(), first);
        write("two");
        certificates.renew();
        assert_ne!(now(), first);
        // A key that belongs to another certificate.
        let other = rcgen::generate_simple_self_signed(["three".to_owned()]).unwrap();
        std::fs::write(path("k.pem"), other.signing_key.serialize_pem()).unwrap();
        assert!(matches!(
            Certificates::open(&tls, || Time::MIN),
            Err(ServeError::Certificate { .. })
        ));
    }
}
