//! Certificates for a mesh that wants them, signed by the authority in the fleet's folder: for whoever has none for the key
//! that its presence names, and again before one ends.

use e3_core::document::Presence;
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;
use e3_core::mesh::{MeshGrant, Nebula};
use e3_core::time::Time;

use super::authority::Authority;
use crate::commands::fleet::{Enrolled, OpenFleet, Standing};
use crate::error::Error;

/// A certificate is renewed when less than this share of its life is left; agents ask for a newer one from then on.
const SHARE: i64 = 3;

/// Signs certificates for whoever needs one.
pub(super) async fn sign(
    fleet: &OpenFleet,
    key: &SecretKey,
    nebula: &Nebula,
    parties: &[Enrolled],
    seconds: u64,
) -> Result<Vec<String>, Error> {
    let role = &fleet.trust.root.head;
    if !role.keys.contains(&key.public()) || role.threshold > 1 {
        return Err(Error::NotAllowed {
            key: key.public().to_string(),
            role: "certificates alone",
        });
    }
    // A certificate of another one than the head names would let nobody in.
    let authority = Nebula::authority(&Authority::of(&fleet.file).certificate()?);
    if !nebula.has(&authority) {
        return Err(Error::Usage {
            message: "the head names another certificate authority than the one in mesh/nebula of the fleet's folder".to_owned(),
            remedy: "Put the one back that the head names, or have it name this one: `e3 mesh nebula` with the anchors, once more.",
        });
    }
    let mut signed = Vec::new();
    let accepted = |party: &&Enrolled| party.standing == Standing::Accepted;
    for party in parties.iter().filter(accepted) {
        if grant(fleet, key, nebula, party, seconds).await? {
            signed.push(party.member.name.to_string());
        }
    }
    Ok(signed)
}

/// Signs for one party, if it needs it.
async fn grant(
    fleet: &OpenFleet,
    key: &SecretKey,
    nebula: &Nebula,
    party: &Enrolled,
    seconds: u64,
) -> Result<bool, Error> {
    let backend = "nebula";
    let named = |presence: &Presence| presence.mesh_keys.get(backend).cloned();
    let Some(public) = party.presence.as_ref().and_then(named) else {
        return Ok(false);
    };
    let (member, now) = (&party.member, fleet.now());
    let there = fleet.hub.grant(backend, &member.key).await?;
    let there = there
        .and_then(|bytes| MeshGrant::open(&bytes, &fleet.trust.root, &member.key, backend).ok())
        .filter(|grant| grant.key == public);
    let authority = Authority::of(&fleet.file);
    let its_name = Nebula::authority(&authority.certificate()?);
    // A revoked party comes back only with a new key. The authority may have been replaced meanwhile.
    let is_settled = |grant: &MeshGrant| {
        let life = grant.expires.since(grant.signed);
        let is_good = grant.authority == its_name && grant.expires.since(now) > life / SHARE;
        is_good || nebula.revoked.contains(&grant.fingerprint)
    };
    if there.as_ref().is_some_and(is_settled) {
        return Ok(false);
    }
    let certified = authority.sign(&member.name, &member.key, &public, seconds)?;
    let grant = MeshGrant {
        fleet: fleet.file.name.clone(),
        party: member.key,
        backend: backend.to_owned(),
        key: public,
        certificate: certified.certificate,
        authority: its_name,
        fingerprint: certified.fingerprint,
        signed: after(now, there.map(|grant| grant.signed)),
        // The certificate was made a moment ago.
        expires: now.plus(seconds),
    };
    let envelope = Envelope::sign(&grant, &[key]).map_err(|source| Error::Document {
        what: "certificate",
        source,
    })?;
    let sent = fleet
        .hub
        .put_grant(backend, &member.key, envelope.to_bytes());
    sent.await?;
    Ok(true)
}

/// Now, but later than the one before.
fn after(now: Time, before: Option<Time>) -> Time {
    before.map_or(now, |before| now.max(before.plus(1)))
}
