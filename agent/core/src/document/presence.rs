//! Presence: what a party says of itself, signed by its identity key.
//!
//! Addresses in it are hints: whoever answers there must still prove the party's identity. Only
//! states and typed reasons appear in it, never inputs or outputs.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Document, DocumentError, ensure};
use crate::degraded::Degraded;
use crate::digest::Digest;
use crate::envelope::Envelope;
use crate::key::PublicKey;
use crate::limits;
use crate::mesh::{MESHES, NotJoined, check_key, is_backend};
use crate::name::Name;
use crate::session::Failure;
use crate::text::{self, is_plain};
use crate::time::Time;
use crate::update::Trouble;

/// Bytes of an image's name.
const IMAGE: usize = 64;
/// Endpoints of one mesh's daemon.
pub const MESH_ENDPOINTS: usize = 4;

/// A party's own account of its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Presence {
    /// The fleet.
    pub fleet: Name,
    /// The party, whose key must have signed this.
    pub party: PublicKey,
    /// The party's name in its fleet.
    pub name: Name,
    /// The owner whose policy it follows.
    pub owner: PublicKey,
    /// Rises with every presence, so that an old one cannot replace a new one.
    pub counter: u64,
    /// When it was signed.
    pub signed: Time,
    /// The agent's version.
    pub agent: String,
    /// The image that the machine was made from, if it says so itself: `raspberrypi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Where the party's agent can be reached, `host:port`, best first.
    pub addresses: Vec<String>,
    /// How it stands with each mesh that its newest head asks for, by backend.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub meshes: BTreeMap<String, Mesh>,
    /// Its public keys on meshes, in base64, by backend. The private halves were born on the machine and stay there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub mesh_keys: BTreeMap<String, String>,
    /// Where the daemons of its meshes may be reached without an anchor, by backend: addresses of its machine with a port.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub mesh_endpoints: BTreeMap<String, Vec<String>>,
    /// Why the party takes no new session, if it does not (rule 11).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<Degraded>,
    /// What is wrong with its agent's update, if something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<Trouble>,
    /// The newest root and head it has accepted.
    pub root: u64,
    /// The counter of the newest head.
    pub head: u64,
    /// Its latest sessions.
    pub sessions: Vec<SessionPresence>,
}

impl Presence {
    /// What `party` says of itself in this fleet, out of an envelope from anybody: nothing unless the party itself has signed it.
    pub fn open(envelope: &[u8], party: &PublicKey, fleet: &Name) -> Option<Self> {
        let envelope = Envelope::parse(envelope, limits::ENVELOPE).ok()?;
        let presence = envelope.verify::<Self>(&[*party], 1).ok()?.document;
        (presence.fleet == *fleet && presence.party == *party).then_some(presence)
    }
}

/// How a party stands with one mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Mesh {
    /// Joined, with these addresses.
    Joined {
        /// The mesh addresses.
        addresses: Vec<String>,
        /// Milliseconds from its daemon's last start until another agent answered through the mesh; nothing from an agent that
        /// was itself started later.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        took_ms: Option<u32>,
    },
    /// Not joined.
    NotJoined {
        /// Why.
        reason: NotJoined,
    },
}

impl Mesh {
    /// Whether it is in it.
    pub const fn is_joined(&self) -> bool {
        matches!(self, Self::Joined { .. })
    }
}

/// One session as this party sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionPresence {
    /// The session, by manifest digest.
    pub manifest: Digest,
    /// How far it is.
    pub progress: Progress,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// The states of a session, without their contents.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "see `crate::session::State`")]
pub enum Progress {
    Fetched,
    Verified,
    Staged,
    Preflight,
    Running,
    Done,
    Failed,
}

impl Progress {
    /// The word that people read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fetched => "fetched",
            Self::Verified => "verified",
            Self::Staged => "staged",
            Self::Preflight => "preflight",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

impl Document for Presence {
    const KIND: &'static str = "presence";

    fn check(&self) -> Result<(), DocumentError> {
        ensure(
            self.addresses.len() <= 16,
            "addresses",
            "has more than 16 addresses",
        )?;
        ensure(
            self.sessions.len() <= 32,
            "sessions",
            "has more than 32 sessions",
        )?;
        // Its texts end up on the screens of everybody in the fleet.
        let address = |text: &String| is_plain(text, 300);
        ensure(
            is_plain(&self.agent, text::VERSION),
            "agent",
            "is no version",
        )?;
        ensure(
            self.image.iter().all(|image| is_plain(image, IMAGE)),
            "image",
            "is no name of an image",
        )?;
        ensure(
            self.addresses.iter().all(address),
            "addresses",
            "has something that is no address",
        )?;
        ensure(
            self.meshes.len() <= MESHES && self.meshes.keys().all(|backend| is_backend(backend)),
            "meshes",
            "has more than 2 meshes, or something that is no name of a backend",
        )?;
        for mesh in self.meshes.values() {
            match mesh {
                Mesh::Joined { addresses, .. } => {
                    let fit = addresses.len() <= 16 && addresses.iter().all(address);
                    ensure(
                        fit,
                        "meshes.addresses",
                        "has more than 16 addresses, or something that is none",
                    )?;
                }
                Mesh::NotJoined { reason } => reason.check("meshes.reason")?,
            }
        }
        ensure(
            self.mesh_keys.len() <= 16,
            "mesh_keys",
            "has keys for more than 16 backends",
        )?;
        self.mesh_keys
            .iter()
            .try_for_each(|(backend, key)| check_key("mesh_keys.", backend, key))?;
        let is_endpoint = |text: &String| text.len() <= 64 && text.parse::<SocketAddr>().is_ok();
        ensure(
            self.mesh_endpoints.len() <= MESHES
                && self
                    .mesh_endpoints
                    .keys()
                    .all(|backend| is_backend(backend))
                && { self.mesh_endpoints.values() }
                    .all(|told| told.len() <= MESH_ENDPOINTS && told.iter().all(is_endpoint)),
            "mesh_endpoints",
            "has more than 2 meshes, more than 4 endpoints in one, or something that is no address with a port",
        )?;
        if let Some(reason) = &self.degraded {
            reason.check("degraded")?;
        }
        ensure(
            self.update.as_ref().is_none_or(Trouble::is_plain),
            "update",
            "has a text that is too long or has control characters",
        )?;
        self.sessions
            .iter()
            .filter_map(|s| s.failure.as_ref())
            .try_for_each(|f| f.check("sessions.failure"))
    }
}
