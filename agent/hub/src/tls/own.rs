//! The hub as its own certificate authority: for fleets without a domain.
//!
//! The authority is made once and goes into every join file, so it lives long; the server's
//! certificate under it is short and renews itself. Both start in 1970: a board without a clock must
//! be able to connect, and there is nothing to gain from a start date under an own authority.
//!
//! Files: `ca.pem` (public), `ca-secret.pem` (its key and itself), `server-secret.pem` (the server's
//! key and certificate), `server.json` (for which names, until when). Secret ones have mode 0600, and a
//! file is replaced as a whole.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use e3_core::time::Time;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use super::{pair, read};
use crate::ServeError;

const CA: &str = "ca.pem";
const CA_SECRET: &str = "ca-secret.pem";
const SERVER: &str = "server-secret.pem";
const SERVER_ABOUT: &str = "server.json";

/// The authority's certificate ends in this year; a machine's join file is not made for longer.
const CA_END: i32 = 2099;
/// Days that a server certificate is good for, and days before its end when it is replaced.
const DAYS: u64 = 90;
const RENEW_DAYS: u64 = 30;
const DAY: u64 = 86_400;

/// The authority and where it lies.
pub(super) struct Own {
    folder: PathBuf,
    names: Vec<String>,
    ca_pem: String,
    ca_key: String,
}

/// What the server's certificate is good for.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct About {
    names: Vec<String>,
    expires: Time,
}

impl Own {
    /// Reads the authority, or makes it. Of two hubs that make it at the same time both use the first.
    pub(super) fn open(folder: &Path, names: &[String]) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Folder {
            path: folder.to_owned(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let secret = folder.join(CA_SECRET);
        if !secret.exists() {
            let issue = |source| ServeError::Issue {
                names: "the authority".to_owned(),
                source,
            };
            let key = KeyPair::generate().map_err(issue)?;
            let certificate = authority().self_signed(&key).map_err(issue)?;
            let text = format!("{}{}", key.serialize_pem(), certificate.pem());
            // Losing to another hub is as good: what counts is read below.
            match write(&secret, text.as_bytes(), false) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(failed(error));
                }
                _ => {}
            }
        }
        let bytes = read(&secret)?;
        pair(&secret, &bytes, &bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let start = text.find("-----BEGIN CERTIFICATE-----").unwrap_or_default();
        let (ca_key, ca_pem) = text.split_at(start);
        let own = Self {
            folder: folder.to_owned(),
            names: names.to_vec(),
            ca_pem: ca_pem.to_owned(),
            ca_key: ca_key.to_owned(),
        };
        write(&folder.join(CA), own.ca_pem.as_bytes(), true).map_err(failed)?;
        Ok(own)
    }

    pub(super) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The file with the server's certificate and its key.
    pub(super) fn server(&self) -> PathBuf {
        self.folder.join(SERVER)
    }

    /// The server's certificate: the one on disk while it is good, a new one in its last days, or when
    /// the names have changed.
    pub(super) fn current(&self, now: Time) -> Result<CertifiedKey, ServeError> {
        let path = self.server();
        let about = read(&self.folder.join(SERVER_ABOUT)).ok();
        let about: Option<About> = about.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let good = about.is_some_and(|about| {
            about.names == self.names && now.plus(RENEW_DAYS * DAY) < about.expires
        });
        let there = read(&path).and_then(|bytes| pair(&path, &bytes, &bytes));
        match there {
            Ok(there) if good => Ok(there),
            _ => self.issue(&path, now),
        }
    }

    fn issue(&self, path: &Path, now: Time) -> Result<CertifiedKey, ServeError> {
        let issue = |source| ServeError::Issue {
            names: self.names.join(", "),
            source,
        };
        let expires = now.plus(DAYS * DAY);
        let ca_key = KeyPair::from_pem(&self.ca_key).map_err(issue)?;
        let issuer = Issuer::new(authority(), ca_key);
        let mut params = CertificateParams::new(self.names.clone()).map_err(issue)?;
        params.distinguished_name = name("E3 hub");
        params.not_before = date_time_ymd(1970, 1, 1);
        params.not_after = date(expires);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(issue)?;
        let certificate = params.signed_by(&key, &issuer).map_err(issue)?;
        let text = format!("{}{}", key.serialize_pem(), certificate.pem());
        let failed = |source| ServeError::Folder {
            path: path.to_owned(),
            source,
        };
        write(path, text.as_bytes(), true).map_err(failed)?;
        let about = About {
            names: self.names.clone(),
            expires,
        };
        let about = serde_json::to_vec(&about).unwrap_or_default();
        write(&self.folder.join(SERVER_ABOUT), &about, true).map_err(failed)?;
        pair(path, text.as_bytes(), text.as_bytes())
    }
}

/// The authority's own certificate; the same words each time, so that it can sign after a restart.
fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("E3 hub authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(1970, 1, 1);
    params.not_after = date_time_ymd(CA_END, 1, 1);
    params
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

/// The day of a time: certificates are not cut finer than that.
fn date(time: Time) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(time.unix()).unwrap_or(date_time_ymd(CA_END, 1, 1))
}

/// Writes a file as a whole, with mode 0600 but for the public one.
fn write(path: &Path, bytes: &[u8], replace: bool) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // Temporary files have mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    if path.ends_with(CA) {
        use std::os::unix::fs::PermissionsExt as _;
        file.as_file()
            .set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    file.as_file().sync_all()?;
    if replace {
        file.persist(path)?
    } else {
        file.persist_noclobber(path)?
    };
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_authority_stays_and_the_server_certificate_renews_itself() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["hub.example".to_owned(), "192.0.2.1".to_owned()];
        let open = |names: &[String]| Own::open(&folder.path().join("tls"), names).unwrap();
        let own = open(&names);
        let start = Time::from_unix(1_800_000_000);
        let first = own.current(start).unwrap().cert;
        let again = open(&names);
        assert_eq!(again.ca_pem, own.ca_pem);
        assert_eq!(again.current(start.plus(59 * DAY)).unwrap().cert, first);
        let renewed = again.current(start.plus(61 * DAY)).unwrap().cert;
        assert_ne!(renewed, first);
        assert_eq!(again.current(start.plus(62 * DAY)).unwrap().cert, renewed);
        // Another name is another certificate, under the same authority.
        let moved = open(&names[..1]);
        assert_ne!(moved.current(start.plus(62 * DAY)).unwrap().cert, renewed);
        assert_eq!(moved.ca_pem, own.ca_pem);
    }

    #[test]
    fn secret_files_are_for_the_hub_alone() {
        let folder = tempfile::tempdir().unwrap();
        let own = Own::open(folder.path(), &["localhost".to_owned()]).unwrap();
        own.current(Time::from_unix(1_800_000_000)).unwrap();
        let mode = |name: &str| {
            folder
                .path()
                .join(name)
                .metadata()
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!(
            [mode(CA_SECRET), mode(SERVER), mode(CA)],
            [0o600, 0o600, 0o644]
        );
        let public = std::fs::read_to_string(folder.path().join(CA)).unwrap();
        assert!(public.contains("BEGIN CERTIFICATE") && !public.contains("PRIVATE"));
    }

    #[test]
    fn a_name_that_is_none_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let own = Own::open(folder.path(), &["nö".to_owned()]).unwrap();
        assert!(matches!(
            own.current(Time::MIN),
            Err(ServeError::Issue { .. })
        ));
    }
}
