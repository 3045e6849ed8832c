//! The root: which keys may speak in which role.
//!
//! A chain of roots, each signed by the thresholds of its predecessor and of itself, replaces keys
//! without touching a machine (rule 4, walked in [`crate::trust::chain`]). A root does not expire:
//! what must be fresh is the head, and it names the root it stands on.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Document, DocumentError, ensure};
use crate::key::PublicKey;
use crate::limits;
use crate::name::Name;
use crate::time::Time;

/// The roles of a fleet and the keys that fill them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// The fleet that this root governs.
    pub fleet: Name,
    /// Starts at 1 and rises by exactly 1.
    pub version: u64,
    /// The age of counters: heads and sessions carry it. A new root may raise it by 1, and every
    /// counter and the clock floor then start afresh. This is how a fleet recovers when a stolen
    /// head key has pushed its counter or its time to the end of the scale (fast-forward recovery).
    pub epoch: u64,
    /// When it was signed.
    pub signed: Time,
    /// Who may sign the next root.
    pub root: Role,
    /// Who may sign the head.
    pub head: Role,
    /// Whose signatures count on a session at all; each party's policy decides further (rule 7).
    pub session: Role,
    /// Who may release new agents.
    pub release: Role,
}

/// Keys, and how many different ones of them must sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// The keys, each once.
    pub keys: Vec<PublicKey>,
    /// How many of them, at least one.
    pub threshold: usize,
}

/// The four roles (rules 4 and 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the words are the documentation")]
pub enum RoleName {
    Root,
    Head,
    Session,
    Release,
}

impl RoleName {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Root, Self::Head, Self::Session, Self::Release];

    /// The word in the document.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Head => "head",
            Self::Session => "session",
            Self::Release => "release",
        }
    }
}

impl Root {
    /// The role of that name.
    pub const fn role(&self, name: RoleName) -> &Role {
        match name {
            RoleName::Root => &self.root,
            RoleName::Head => &self.head,
            RoleName::Session => &self.session,
            RoleName::Release => &self.release,
        }
    }
}

impl Document for Root {
    const KIND: &'static str = "root";

    fn check(&self) -> Result<(), DocumentError> {
        ensure(self.version >= 1, "version", "starts at 1")?;
        for name in RoleName::ALL {
            let Role { keys, threshold } = self.role(name);
            let field = name.as_str();
            ensure(keys.len() <= limits::KEYS, field, "has more than 64 keys")?;
            let unique: BTreeSet<_> = keys.iter().collect();
            ensure(unique.len() == keys.len(), field, "names a key twice")?;
            ensure(*threshold >= 1, field, "needs a threshold of at least 1")?;
            ensure(
                *threshold <= keys.len(),
                field,
                "has fewer keys than its threshold",
            )?;
        }
        // Rule 9: a key that releases software must not be able to start sessions, and the other way
        // round; a shared key would make the two roles one.
        let shared = self
            .release
            .keys
            .iter()
            .find(|key| self.session.keys.contains(key));
        match shared {
            Some(key) => Err(DocumentError::field(
                "release",
                format!("{key} is a session key too; use another one"),
            )),
            None => Ok(()),
        }
    }
}
