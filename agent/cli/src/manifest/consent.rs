//! Who has signed a session, and whose signature it still needs.
//!
//! For the owners' information: whether it may run is decided by every party for itself, by the
//! same rules (1, 7 and 9) and by its own policy, which only its owner knows.

use std::collections::{BTreeMap, BTreeSet};

use e3_core::document::{Consent, Role, Session};
use e3_core::envelope::Envelope;
use e3_core::key::PublicKey;
use e3_core::name::Name;
use serde_json::{Value, json};

use super::text::{count, list};

/// The signatures of an envelope, weighed by the fleet's session role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The session keys that have signed.
    pub signers: BTreeSet<PublicKey>,
    /// How many must.
    pub threshold: usize,
    /// Signatures that count for nothing: of other keys, or broken.
    pub worthless: usize,
    /// With `consent = "all"`: the owners who have not signed, each with its parties.
    pub missing: Vec<(PublicKey, Vec<Name>)>,
    /// Owners and their parties, for naming signers.
    parties: BTreeMap<PublicKey, Vec<Name>>,
}

impl Signed {
    /// Weighs the signatures of `envelope`, which holds `session`.
    pub fn of(envelope: &Envelope, session: &Session, role: &Role) -> Self {
        let signers = envelope.signers(&role.keys);
        let mut parties: BTreeMap<PublicKey, Vec<Name>> = BTreeMap::new();
        for party in &session.parties {
            parties
                .entry(party.owner)
                .or_default()
                .push(party.name.clone());
        }
        let missing = match session.consent {
            Consent::Signers => Vec::new(),
            Consent::All => {
                let owners = parties.iter().filter(|(owner, _)| !signers.contains(owner));
                owners
                    .map(|(owner, names)| (*owner, names.clone()))
                    .collect()
            }
        };
        let worthless = envelope.signature_count().saturating_sub(signers.len());
        Self {
            signers,
            threshold: role.threshold,
            worthless,
            missing,
            parties,
        }
    }

    /// Whether the fleet's rules ask for no more signatures.
    pub fn is_complete(&self) -> bool {
        self.signers.len() >= self.threshold && self.missing.is_empty()
    }

    /// Who a key is, as far as the manifest tells: `the owner of alice`.
    pub fn who(&self, key: &PublicKey) -> Option<String> {
        self.parties
            .get(key)
            .map(|names| format!("the owner of {}", list(names)))
    }

    /// Lines for people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let state = if self.signers.len() >= self.threshold {
            "enough"
        } else {
            "not enough"
        };
        let have = self.signers.len();
        lines.push(format!(
            "{have} of {} that the fleet asks for, {state}",
            self.threshold
        ));
        for key in &self.signers {
            lines.push(match self.who(key) {
                Some(who) => format!("{key}, {who}"),
                None => key.to_string(),
            });
        }
        for (owner, parties) in &self.missing {
            lines.push(format!(
                "missing: the consent of {owner}, the owner of {}",
                list(parties)
            ));
        }
        if self.worthless > 0 {
            let signatures = count(self.worthless, "signature");
            lines.push(format!(
                "{signatures} of keys that are no session keys of the fleet, or broken"
            ));
        }
        lines
    }

    /// The same for scripts.
    pub fn json(&self) -> Value {
        let missing = self
            .missing
            .iter()
            .map(|(owner, parties)| json!({ "owner": owner, "parties": parties }));
        json!({
            "complete": self.is_complete(),
            "signers": self.signers,
            "threshold": self.threshold,
            "worthless": self.worthless,
            "missing": missing.collect::<Vec<_>>(),
        })
    }
}
