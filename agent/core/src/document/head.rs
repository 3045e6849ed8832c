//! The head: the small signed index of what is current, and the only mutable object on the hub.
//!
//! Everything else is immutable and named by its digest, so a hub, a mirror or a CDN can hold back
//! news but cannot mix old and new (rules 5 and 6).

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Document, DocumentError, Session, ensure};
use crate::digest::{Blob, Digest};
use crate::envelope::Envelope;
use crate::limits;
use crate::mesh::{self, Plan};
use crate::name::Name;
use crate::time::Time;

/// What is current in a fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The fleet.
    pub fleet: Name,
    /// The epoch of the root that this head stands on.
    pub epoch: u64,
    /// Rises with every head of an epoch.
    pub counter: u64,
    /// When it was signed; it lifts the clock floor (rule 10).
    pub signed: Time,
    /// After this no party starts anything new because of it (freeze).
    pub expires: Time,
    /// The current root.
    pub root: RootRef,
    /// The current sessions.
    pub sessions: Vec<SessionRef>,
    /// Sessions, by manifest digest, that must stop or never start (rule 8).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<Digest>,
    /// The current release document, if the fleet updates its agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Blob>,
    /// The meshes that the parties meet on, the preferred one first; without any they reach each other by the addresses of
    /// their machines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub meshes: Vec<Plan>,
}

/// One root of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RootRef {
    /// Its version.
    pub version: u64,
    /// The digest of its payload.
    pub digest: Digest,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionRef {
    /// Its name.
    pub name: Name,
    /// Its counter.
    pub counter: u64,
    /// The digest of the manifest (the payload): what receipts name.
    pub manifest: Digest,
    /// The envelope with its signatures, as it lies on the hub.
    pub envelope: Blob,
}

impl SessionRef {
    /// The entry for the session in this envelope.
    pub fn of(session: &Session, envelope: &Envelope) -> Self {
        Self {
            name: session.name.clone(),
            counter: session.counter,
            manifest: envelope.digest(),
            envelope: Blob::of(&envelope.to_bytes()),
        }
    }
}

impl Document for Head {
    const KIND: &'static str = "head";

    fn check(&self) -> Result<(), DocumentError> {
        ensure(self.counter >= 1, "counter", "starts at 1")?;
        ensure(
            self.signed < self.expires,
            "expires",
            "must be later than `signed`",
        )?;
        ensure(
            self.sessions.len() <= limits::HEAD_SESSIONS,
            "sessions",
            "names more than 256 sessions",
        )?;
        ensure(
            self.revoked.len() <= limits::HEAD_SESSIONS,
            "revoked",
            "names more than 256 sessions",
        )?;
        let manifests: BTreeSet<_> = self.sessions.iter().map(|s| s.manifest).collect();
        ensure(
            manifests.len() == self.sessions.len(),
            "sessions",
            "names a session twice",
        )?;
        let small = |blob: &Blob| blob.size <= limits::ENVELOPE as u64;
        ensure(
            self.sessions.iter().all(|s| small(&s.envelope)),
            "sessions",
            "names an envelope over 256 KiB",
        )?;
        ensure(
            self.release.iter().all(small),
            "release",
            "names an envelope over 256 KiB",
        )?;
        mesh::check_all(&self.meshes)
    }
}
