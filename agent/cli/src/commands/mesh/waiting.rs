//! Certificates that wait for more signatures, where heads need those of several keys: in a file that goes from signer to signer, in
//! any order, as a head's does; one signed envelope on each line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use e3_client::files::{FileError, read_bounded, write_atomic};
use e3_core::digest::Digest;
use e3_core::envelope::{Envelope, EnvelopeError};
use e3_core::limits;
use e3_core::mesh::MeshGrant;

use crate::error::Error;
use crate::fleet_file::Fleet;

/// Where they wait in the folder of whoever has the authority.
const FILE: &str = "mesh/nebula/certificates.jsonl";
/// Bytes of such a file: a certificate of two kilobytes for each of a thousand parties, and room for signatures.
const LIMIT: usize = 8 * 1024 * 1024;

/// The certificates in a file.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) path: PathBuf,
    envelopes: BTreeMap<Digest, Envelope>,
}

impl Waiting {
    /// Those in the fleet's folder; none if there is no file.
    pub(super) fn of(fleet: &Fleet) -> Result<Self, Error> {
        let path = fleet.folder.join(FILE);
        if path.exists() {
            return Self::read(&path);
        }
        let envelopes = BTreeMap::new();
        Ok(Self { path, envelopes })
    }

    /// Those in this file.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let refused = |source: EnvelopeError| Error::Envelope {
            what: path.display().to_string(),
            source,
        };
        let bytes = read_bounded(path, LIMIT)?;
        let mut waiting = Self {
            path: path.to_owned(),
            envelopes: BTreeMap::new(),
        };
        let lines = bytes.split(|byte| *byte == b'\n');
        for line in lines.filter(|line| !line.is_empty()) {
            let envelope = Envelope::parse(line, limits::ENVELOPE).map_err(refused)?;
            // Whether it is one is seen here; whether to believe it, by whoever takes it out.
            envelope.unverified::<MeshGrant>().map_err(refused)?;
            waiting.put(envelope);
        }
        Ok(waiting)
    }

    /// Takes over what is in another file: a copy of the same certificate gives its signatures.
    pub(super) fn merge(&mut self, other: Self) {
        for envelope in other.envelopes.into_values() {
            self.put(envelope);
        }
    }

    /// One more.
    pub(super) fn put(&mut self, envelope: Envelope) {
        let there = self.envelopes.entry(envelope.digest());
        let there = there.or_insert_with(|| envelope.clone());
        // A document of another type may have the same bytes.
        if !there.merge(&envelope) {
            *there = envelope;
        }
    }

    /// All of them; none is left.
    pub(super) fn take(&mut self) -> Vec<Envelope> {
        std::mem::take(&mut self.envelopes).into_values().collect()
    }

    /// Writes the file; without any certificate there is none.
    pub(super) fn save(&self) -> Result<(), Error> {
        if !self.envelopes.is_empty() {
            let mut text = Vec::new();
            for envelope in self.envelopes.values() {
                text.extend(envelope.to_bytes());
                text.push(b'\n');
            }
            return Ok(write_atomic(&self.path, &text)?);
        }
        match std::fs::remove_file(&self.path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                let (action, path) = ("cannot remove", self.path.clone());
                Err(FileError::Io {
                    action,
                    path,
                    source,
                }
                .into())
            }
            _ => Ok(()),
        }
    }
}
