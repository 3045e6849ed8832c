//! Who is let into the meshes of a fleet: by one head for all who wait, and by certificates where a backend wants them.
//!
//! Which key is whose is not the hub's word: the party's identity has signed its presence. Who may come in is fleet.toml's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use e3_core::document::Mesh;
use e3_core::key::{PublicKey, SecretKey};
use e3_core::mesh::{Backend, LetIn, NotJoined, Roster};
use serde_json::{Value, json};

use super::authority::Authority;
use super::grants;
use crate::commands::fleet::publish::{LIFETIME, publish};
use crate::commands::fleet::{Enrolled, OpenFleet, Standing};
use crate::error::Error;
use crate::manifest::text::word;

/// What the parties of a fleet say of their keys on one mesh.
pub(crate) struct Known {
    backend: String,
    accepted: Vec<PublicKey>,
    shown: BTreeMap<PublicKey, String>,
}

impl Known {
    /// As they stand in their presences. Whoever has enrolled counts, accepted or not: a key that two show is nobody's.
    pub(crate) fn of(parties: &[Enrolled], backend: &str) -> Self {
        let shown = |party: &Enrolled| {
            let key = party.presence.as_ref()?.mesh_keys.get(backend)?;
            Some((party.member.key, key.clone()))
        };
        let accepted = parties.iter();
        let accepted = accepted.filter(|party| party.standing == Standing::Accepted);
        Self {
            backend: backend.to_owned(),
            accepted: accepted.map(|party| party.member.key).collect(),
            shown: parties.iter().filter_map(shown).collect(),
        }
    }

    /// Lets in those of fleet.toml who wait.
    pub(crate) fn let_in(&self, roster: &mut Roster) -> LetIn {
        let identity = |key: &str| Backend::identity(&self.backend, key);
        roster.let_in(&self.accepted, &self.shown, identity)
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Admitted {
    /// Who was let in, by name.
    pub(crate) names: BTreeSet<String>,
    /// Who was not, and why; each a sentence.
    pub(crate) refused: BTreeSet<String>,
    /// Whose certificates wait for more signatures.
    pub(crate) waits: Option<Waits>,
}

/// Certificates that need more signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waits {
    /// Where they are.
    pub(crate) file: PathBuf,
    /// For whom.
    pub(crate) names: BTreeSet<String>,
    /// How many keys have signed the one that fewest have signed.
    pub(crate) signed: usize,
    /// How many must.
    pub(crate) threshold: usize,
}

impl Waits {
    /// For people: what to do.
    pub(crate) fn text(&self) -> String {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let file = word(&self.file);
        let Self {
            signed, threshold, ..
        } = self;
        format!(
            "not in yet: {}; {signed} of {threshold} head keys have signed. The certificates wait in {file}\n\
             Hand it to the other signers; each runs `e3 mesh sign {file}`.\n",
            names.join(", ")
        )
    }

    /// For scripts.
    pub(crate) fn json(&self) -> Value {
        json!({"file": self.file, "names": self.names, "valid": self.signed, "threshold": self.threshold})
    }
}

impl Admitted {
    /// Takes over what came of something else.
    pub(crate) fn add(&mut self, other: Self) {
        self.names.extend(other.names);
        self.refused.extend(other.refused);
        self.waits = other.waits;
    }

    /// For people: a line for each.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for name in &self.names {
            let _ = writeln!(text, "let in    {name}");
        }
        for why in &self.refused {
            let _ = writeln!(text, "not let in: {why}");
        }
        if let Some(waits) = &self.waits {
            text += &waits.text();
        }
        text
    }

    /// For scripts.
    pub(crate) fn json(&self) -> Value {
        let mut json = json!({"signed": self.names, "refused": self.refused});
        if let Some(waits) = &self.waits {
            json["waiting"] = waits.json();
        }
        json
    }
}

/// Lets in everybody of fleet.toml who waits, and puts out those of `gone`: with one head for all meshes that have their own
/// list of members, and with certificates that are good for so many seconds where a mesh wants them.
pub(crate) async fn everybody(
    fleet: &mut OpenFleet,
    key: &SecretKey,
    parties: &[Enrolled],
    gone: &[PublicKey],
    seconds: Option<u64>,
) -> Result<Admitted, Error> {
    // No head is published for nothing.
    let (is_needed, mut admitted) = outlook(fleet, parties, gone)?;
    if is_needed {
        publish(fleet, key, LIFETIME, |head| {
            admitted = Admitted::default();
            Ok(change(&mut head.meshes, parties, gone, &mut admitted))
        })
        .await?;
    }
    let Some(seconds) = seconds else {
        return Ok(admitted);
    };
    for plan in fleet.head()?.meshes.clone() {
        if let Backend::Nebula(nebula) = &plan.backend {
            admitted.add(grants::sign(fleet, key, nebula, parties, seconds).await?);
        }
    }
    Ok(admitted)
}

/// What would come of it, and whether the head would change.
pub(crate) fn outlook(
    fleet: &OpenFleet,
    parties: &[Enrolled],
    gone: &[PublicKey],
) -> Result<(bool, Admitted), Error> {
    let mut admitted = Admitted::default();
    let mut plans = fleet.head()?.meshes.clone();
    let is_new = change(&mut plans, parties, gone, &mut admitted);
    Ok((is_new, admitted))
}

/// Whether the fleet meets in a mesh with certificates, whose authority's key is here.
pub(crate) fn signs_certificates(fleet: &OpenFleet) -> Result<bool, Error> {
    let mut plans = fleet.head()?.meshes.iter();
    let wants = plans.any(|plan| matches!(plan.backend, Backend::Nebula(_)));
    Ok(wants && Authority::of(&fleet.file).is_here())
}

/// Changes the lists of all meshes; returns whether there was anything to change.
fn change(
    plans: &mut [e3_core::mesh::Plan],
    parties: &[Enrolled],
    gone: &[PublicKey],
    admitted: &mut Admitted,
) -> bool {
    let mut is_new = false;
    for plan in plans {
        let name = plan.backend.name();
        let Some(roster) = plan.backend.roster_mut() else {
            continue;
        };
        let before = roster.members.len();
        for party in gone {
            roster.forget(party);
        }
        is_new |= roster.members.len() != before;
        let done = Known::of(parties, name).let_in(roster);
        is_new |= !done.new.is_empty();
        let names = done.new.iter().map(|party| name_of(parties, party));
        admitted.names.extend(names);
        admitted.refused.extend(disputes(&done, parties, name));
    }
    is_new
}

/// Who shows whose key.
fn disputes(done: &LetIn, parties: &[Enrolled], mesh: &str) -> Vec<String> {
    let sentence = |dispute: &e3_core::mesh::Dispute| {
        let [party, other] = [&dispute.party, &dispute.other].map(|key| name_of(parties, key));
        format!(
            "{party} shows the same key for {mesh} as {other}, so one of them has copied it; find out which, and let it go: `e3 fleet deny NAME`, or `e3 fleet revoke NAME` if it is a party"
        )
    };
    done.disputed.iter().map(sentence).collect()
}

/// What somebody should know of how the parties of fleet.toml stand with the meshes, and do about it.
pub(crate) fn warnings(fleet: &OpenFleet, parties: &[Enrolled]) -> Result<Vec<String>, Error> {
    let head = fleet.head()?;
    let mut warnings = Vec::new();
    for plan in &head.meshes {
        let name = plan.backend.name();
        if let Some(roster) = plan.backend.roster() {
            let done = Known::of(parties, name).let_in(&mut roster.clone());
            let waiting = done.new.iter().map(|party| name_of(parties, party));
            let waiting: Vec<String> = waiting.collect();
            if !waiting.is_empty() {
                warnings.push(format!(
                    "not let in where the fleet meets ({name}): {}; run `e3 mesh sign`",
                    waiting.join(", ")
                ));
            }
            warnings.extend(disputes(&done, parties, name));
        }
        let silent = parties
            .iter()
            .filter(|party| knows_nothing_of(party, head.counter, name));
        for party in silent {
            warnings.push(format!(
                "{} names no key for where the fleet meets ({name}): its agent is too old for that; others reach it as they did before",
                party.member.name
            ));
        }
    }
    Ok(warnings)
}

/// Whether an agent has the newest head, and does not say how it stands with this mesh of it.
fn knows_nothing_of(party: &Enrolled, head: u64, mesh: &str) -> bool {
    let Some(presence) = &party.presence else {
        return false;
    };
    party.standing == Standing::Accepted
        && presence.head >= head
        && !presence.meshes.contains_key(mesh)
        && !presence.mesh_keys.contains_key(mesh)
}

/// Whether a party may still say which key it has: it has just come.
pub(crate) fn is_expected(party: &Enrolled, mesh: &str) -> bool {
    party.presence.as_ref().is_none_or(|presence| {
        let is_unable = matches!(
            presence.meshes.get(mesh),
            Some(Mesh::NotJoined {
                reason: NotJoined::Unable { .. }
            })
        );
        !presence.mesh_keys.contains_key(mesh) && !is_unable && presence.head == 0
    })
}

fn name_of(parties: &[Enrolled], key: &PublicKey) -> String {
    let known = parties.iter().find(|party| party.member.key == *key);
    known.map_or_else(|| key.short(), |party| party.member.name.to_string())
}
