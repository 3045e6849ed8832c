//! What the fleet's head says of the built-in mesh.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::Roster;
use super::super::text::is_pem;
use super::{Id, RELAYS, Relay};
use crate::document::{DocumentError, ensure};

/// Bytes of authorities: the old and the new one during a change.
const AUTHORITIES: usize = 8192;

/// The built-in mesh. Its anchors are parties with a UDP port that the others reach; with a relay it needs none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Where machines meet that cannot reach each other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relays: Vec<Relay>,
    /// Whose certificates the relays have, as PEM; the authorities of each machine's own system if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<String>,
    /// Who belongs to it, by transport key ([`Id`]).
    #[serde(default)]
    pub roster: Roster,
}

impl Link {
    pub(in super::super) fn check(&self) -> Result<(), DocumentError> {
        ensure(
            self.relays.len() <= RELAYS && self.relays.iter().all(|relay| relay.check().is_ok()),
            "meshes.backend.relays",
            "is not at most 8 of https://, a name or an address, and perhaps a port",
        )?;
        let begin = "-----BEGIN CERTIFICATE-----\n";
        let pem = self.authorities.as_deref();
        ensure(
            pem.is_none_or(|pem| is_pem(pem, begin, AUTHORITIES)),
            "meshes.backend.authorities",
            "is not PEM with certificates, of at most 8 KiB",
        )?;
        let keys = self.roster.members.iter();
        ensure(
            { keys }.all(|member| member.key.parse::<Id>().is_ok()),
            "meshes.backend.roster.members",
            "has a key that is none of the built-in mesh",
        )?;
        self.roster.check()
    }
}
