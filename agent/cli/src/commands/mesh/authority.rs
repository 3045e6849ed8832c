//! The certificate authority of a Nebula network, in the fleet's folder, by Nebula's own `nebula-cert`.
//!
//! Its key never leaves the machine on which certificates are signed; the hub knows nothing of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use e3_client::files::{FileError, private_folder, read_bounded, write_atomic};
use e3_core::key::PublicKey;
use e3_core::mesh::Prefix;
use e3_core::name::Name;
use serde::Deserialize;

use crate::error::Error;
use crate::fleet_file::Fleet;

/// What signs.
const PROGRAM: &str = "nebula-cert";
/// How long the authority is good for: ten years. Replacing it means a new certificate for everybody.
const LIFETIME: &str = "87600h";
/// The group that all parties are in; Nebula's firewall lets nobody else in.
const GROUP: &str = "party";
/// Certificates are a few hundred bytes.
const LIMIT: usize = 16 * 1024;

/// An authority.
pub(super) struct Authority {
    folder: PathBuf,
    prefix: Prefix,
}

/// A certificate that it has signed.
pub(super) struct Signed {
    /// As PEM.
    pub(super) certificate: String,
    /// What names it where it is revoked.
    pub(super) fingerprint: String,
}

impl Authority {
    /// The authority of this fleet.
    pub(super) fn of(fleet: &Fleet) -> Self {
        Self {
            folder: fleet.folder.join("mesh/nebula"),
            prefix: Prefix::of(&fleet.root, "nebula"),
        }
    }

    /// Makes it, unless it is there. The key is written for its owner alone.
    pub(super) fn make(&self, fleet: &Name) -> Result<(), Error> {
        if self.certificate_path().exists() {
            return Ok(());
        }
        private_folder(&self.folder)?;
        // Whole or not at all: the certificate is moved to its place last.
        let new = self.scratch()?;
        let (key, certificate) = (new.path().join("ca.key"), new.path().join("ca.crt"));
        Self::run(&[
            "ca".as_ref(),
            "-version=2".as_ref(),
            "-name".as_ref(),
            format!("E3 fleet {fleet}").as_ref(),
            "-networks".as_ref(),
            self.prefix.network().as_ref(),
            "-groups".as_ref(),
            GROUP.as_ref(),
            "-duration".as_ref(),
            LIFETIME.as_ref(),
            "-out-key".as_ref(),
            key.as_os_str(),
            "-out-crt".as_ref(),
            certificate.as_os_str(),
        ])?;
        for (from, to) in [
            (key, self.key_path()),
            (certificate, self.certificate_path()),
        ] {
            std::fs::rename(&from, &to).map_err(|source| Error::Folder {
                action: "make",
                path: to,
                source,
            })?;
        }
        Ok(())
    }

    /// Whether its key is here, and not on another machine or in a safe.
    pub(super) fn is_here(&self) -> bool {
        self.key_path().exists()
    }

    /// Its certificate, as PEM.
    pub(super) fn certificate(&self) -> Result<String, Error> {
        text(&self.certificate_path())
    }

    /// A certificate for a party's key (X25519, in base64), good for so many seconds.
    pub(super) fn sign(
        &self,
        name: &Name,
        party: &PublicKey,
        key: &str,
        seconds: u64,
    ) -> Result<Signed, Error> {
        let scratch = self.scratch()?;
        let (public, signed) = (
            scratch.path().join("host.pub"),
            scratch.path().join("host.crt"),
        );
        let pem = format!(
            "-----BEGIN NEBULA X25519 PUBLIC KEY-----\n{key}\n-----END NEBULA X25519 PUBLIC KEY-----\n"
        );
        write_atomic(&public, pem.as_bytes())?;
        let address = format!(
            "{}/{}",
            self.prefix.party(party),
            e3_core::mesh::PREFIX_BITS
        );
        Self::run(&[
            "sign".as_ref(),
            "-version=2".as_ref(),
            "-name".as_ref(),
            name.as_str().as_ref(),
            "-networks".as_ref(),
            address.as_ref(),
            "-groups".as_ref(),
            GROUP.as_ref(),
            "-duration".as_ref(),
            format!("{seconds}s").as_ref(),
            "-ca-key".as_ref(),
            self.key_path().as_os_str(),
            "-ca-crt".as_ref(),
            self.certificate_path().as_os_str(),
            "-in-pub".as_ref(),
            public.as_os_str(),
            "-out-crt".as_ref(),
            signed.as_os_str(),
        ])?;
        let printed = Self::run(&[
            "print".as_ref(),
            "-json".as_ref(),
            "-path".as_ref(),
            signed.as_os_str(),
        ])?;
        Ok(Signed {
            certificate: text(&signed)?,
            fingerprint: fingerprint(&printed).ok_or_else(|| Error::Program {
                program: PROGRAM,
                detail: "it does not tell the certificate's fingerprint".to_owned(),
            })?,
        })
    }

    fn key_path(&self) -> PathBuf {
        self.folder.join("ca.key")
    }

    fn certificate_path(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// A private folder beside the key, gone afterwards.
    fn scratch(&self) -> Result<tempfile::TempDir, Error> {
        let made = tempfile::Builder::new()
            .prefix(".new-")
            .tempdir_in(&self.folder);
        made.map_err(|source| Error::Folder {
            action: "write to",
            path: self.folder.clone(),
            source,
        })
    }

    fn run(args: &[&std::ffi::OsStr]) -> Result<Vec<u8>, Error> {
        let failed = |detail: String| Error::Program {
            program: PROGRAM,
            detail,
        };
        let output = Command::new(PROGRAM).args(args).output();
        let output = output.map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(failed(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ))
    }
}

fn text(path: &Path) -> Result<String, Error> {
    let bytes = read_bounded(path, LIMIT)?;
    String::from_utf8(bytes).map_err(|error| {
        let source = std::io::Error::other(error);
        let (action, path) = ("cannot read", path.to_owned());
        FileError::Io {
            action,
            path,
            source,
        }
        .into()
    })
}

/// Newer versions print a list.
fn fingerprint(printed: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Printed {
        fingerprint: String,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Shape {
        One(Printed),
        List(Vec<Printed>),
    }
    match serde_json::from_slice(printed).ok()? {
        Shape::One(one) => Some(one.fingerprint),
        Shape::List(list) => list.into_iter().next().map(|one| one.fingerprint),
    }
}
