//! The relay's certificate: read again when it changes, as those who renew certificates expect.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use e3_client::files;
use e3_core::mesh::link::RelayConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use crate::error::{LinkError, chain};
use crate::key;

/// A chain of certificates, or a key, takes a few thousand bytes.
const PEM: usize = 64 * 1024;

/// What files are told by from others in their places.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<FileStamp>>);

/// Device, number, time of the last change, length.
type FileStamp = (u64, u64, (i64, i64), u64);

impl Stamp {
    pub(super) fn of(paths: &[&Path]) -> Self {
        let of = |path: &&Path| {
            let file = std::fs::metadata(path).ok()?;
            let changed = (file.mtime(), file.mtime_nsec());
            Some((file.dev(), file.ino(), changed, file.size()))
        };
        Self(paths.iter().map(of).collect())
    }
}

/// The certificate that is shown to whoever connects.
#[derive(Debug)]
pub(super) struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    stamp: Mutex<Stamp>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    pub(super) fn load(config: &RelayConfig) -> Result<Self, LinkError> {
        let chain = config.certificate.clone();
        let key = key::path(&config.key)?;
        let stamp = Stamp::of(&[&chain, &key]);
        let current = read(&chain, &key)?;
        Ok(Self {
            chain,
            key,
            stamp: Mutex::new(stamp),
            current: RwLock::new(Arc::new(current)),
        })
    }

    /// Reads both files again if one has changed. A pair that does not fit, as in the middle of a renewal, is left alone.
    pub(super) fn look(&self) {
        let stamp = Stamp::of(&[&self.chain, &self.key]);
        let mut known = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        if stamp == *known {
            return;
        }
        *known = stamp;
        match read(&self.chain, &self.key) {
            Ok(current) => {
                let mut known = self.current.write().unwrap_or_else(PoisonError::into_inner);
                *known = Arc::new(current);
                tracing::info!("the certificate was read again");
            }
            Err(error) => {
                tracing::error!(why = chain(&error), "the last certificate is kept");
            }
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(current.clone())
    }
}

fn read(path: &Path, key: &Path) -> Result<CertifiedKey, LinkError> {
    let wrong = |why: String| LinkError::Certificate {
        path: path.to_owned(),
        why,
    };
    let pem = files::read_bounded(path, PEM)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(error.to_string()))?;
    let pem = Zeroizing::new(files::read_bounded(key, PEM)?);
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| wrong(error.to_string()))?;
    // It compares the two.
    CertifiedKey::from_der(chain, key, &e3_client::tls::provider())
        .map_err(|error| wrong(error.to_string()))
}
