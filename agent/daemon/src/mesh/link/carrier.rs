//! The two meshes that carry connections: the built-in one, and Tor's onion services. The same program does both, is told the same
//! and answers the same.

use e3_core::key::SecretKey;
use e3_core::mesh::link::Id;
use e3_core::mesh::{Backend, ClientKey, OnionKey, Plan};

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// `e3-link run`
    Link,
    /// `e3-link tor`
    Tor,
}

impl Carrier {
    pub(super) const ALL: [Self; 2] = [Self::Link, Self::Tor];

    /// The one of a plan, if its mesh is one.
    pub(in super::super) const fn of(plan: &Plan) -> Option<Self> {
        match plan.backend {
            Backend::Link(_) => Some(Self::Link),
            Backend::Tor(_) => Some(Self::Tor),
            _ => None,
        }
    }

    /// The word for it.
    pub(in super::super) const fn name(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Tor => "tor",
        }
    }

    /// The credential with its key.
    pub(super) const fn credential(self) -> &'static str {
        match self {
            Self::Link => "link.key",
            Self::Tor => "tor.key",
        }
    }

    /// Where its daemon listens: its unit makes the folder, for itself and the agent's group.
    pub(super) const fn socket(self) -> &'static str {
        match self {
            Self::Link => "/run/e3-link/control.sock",
            Self::Tor => "/run/e3-tor/control.sock",
        }
    }

    /// What others know a machine by that has this key.
    pub(super) fn public(self, key: &SecretKey) -> String {
        match self {
            Self::Link => Id::from(key.public()).to_string(),
            Self::Tor => OnionKey::of(key).to_string(),
        }
    }

    /// What the daemon calls the machine that others know by this text, and what lets it in there.
    pub(super) fn keys(self, public: &str) -> Option<(Id, Option<ClientKey>)> {
        match self {
            Self::Link => Some((public.parse().ok()?, None)),
            Self::Tor => {
                let key: OnionKey = public.parse().ok()?;
                Some((key.service, Some(key.client)))
            }
        }
    }
}
