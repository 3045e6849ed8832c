//! Certificates for a mesh that wants them, made by the authority in the fleet's folder: for whoever has none for the key
//! that its presence names, and again before one ends.
//!
//! Agents and hub believe one that as many keys have signed as must sign a head. Where that is one, whoever has the authority signs
//! and publishes. Where it is more, certificates wait in a file ([`super::waiting`]) until the last signer publishes them.

use std::collections::BTreeSet;

use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;
use e3_core::mesh::{Backend, MeshGrant, Nebula};
use e3_core::time::Time;

use super::admit::{Admitted, Waits};
use super::authority::Authority;
use super::issued::Issued;
use super::waiting::Waiting;
use crate::commands::fleet::{Enrolled, OpenFleet, Standing};
use crate::error::Error;

const BACKEND: &str = "nebula";
/// A certificate is renewed when less than this share of its life is left; agents ask for a newer one from then on.
const SHARE: i64 = 3;

/// Makes certificates for whoever needs one, signs them, and publishes those that enough keys have signed.
pub(super) async fn sign(
    fleet: &OpenFleet,
    key: &SecretKey,
    nebula: &Nebula,
    parties: &[Enrolled],
    seconds: u64,
) -> Result<Admitted, Error> {
    may_sign(fleet, key)?;
    // A certificate of another one than the head names would let nobody in.
    let authority = Authority::of(&fleet.file);
    let its_name = Nebula::authority(&authority.certificate()?);
    if !nebula.has(&its_name) {
        return Err(Error::Usage {
            message: "the head names another certificate authority than the one in mesh/nebula of the fleet's folder".to_owned(),
            remedy: "Put the one back that the head names, or have it name this one: `e3 mesh nebula` with the anchors, once more.",
        });
    }
    let mut issued = Issued::of(&fleet.file)?;
    let mut waiting = Waiting::of(&fleet.file)?;
    let waited = waiting.take();
    let mut admitted = Admitted::default();
    for party in accepted(parties) {
        let Some(public) = names_key(party) else {
            continue;
        };
        let there = published(fleet, party, public).await?;
        let now = fleet.now();
        // A revoked party comes back only with a new key. The authority may have been replaced meanwhile.
        let is_settled = |grant: &MeshGrant| {
            let life = grant.expires.since(grant.signed);
            let is_good = grant.authority == its_name && grant.expires.since(now) > life / SHARE;
            is_good || nebula.revoked.contains(&grant.fingerprint)
        };
        if there.as_ref().is_some_and(is_settled) {
            continue;
        }
        let before = there.map(|grant| grant.signed);
        let fits = |grant: &MeshGrant| {
            (grant.party, &grant.key) == (party.member.key, public)
                && is_settled(grant)
                && before.is_none_or(|before| before < grant.signed)
        };
        let mut waited = waited.iter();
        let waits = waited.find(|envelope| envelope.unverified().is_ok_and(|it| fits(&it)));
        let envelope = if let Some(envelope) = waits {
            envelope.clone()
        } else {
            let (name, member) = (&party.member.name, &party.member.key);
            if !issued.has_room(member, now) {
                admitted.refused.insert(format!(
                    "{name}: it has lost its key too often, and all its certificates are good still; `e3 mesh revoke {name}` ends them"
                ));
                continue;
            }
            let certified = authority.sign(name, member, public, seconds)?;
            let earlier = issued.of_party(member);
            // Before anybody can have it.
            let (print, expires) = (certified.fingerprint.clone(), now.plus(seconds));
            issued.add(*member, print, expires)?;
            let grant = MeshGrant {
                fleet: fleet.file.name.clone(),
                party: *member,
                backend: BACKEND.to_owned(),
                key: public.to_owned(),
                certificate: certified.certificate,
                authority: its_name,
                fingerprint: certified.fingerprint,
                earlier,
                signed: after(now, before),
                // The certificate was made a moment ago.
                expires,
            };
            let unsigned = Envelope::sign(&grant, &[]);
            unsigned.map_err(|source| Error::Document {
                what: "certificate",
                source,
            })?
        };
        one_more(fleet, key, party, envelope, &mut waiting, &mut admitted).await?;
    }
    waiting.save()?;
    Ok(admitted)
}

/// One more signature on the certificates in these files, which another signer has made; those that have enough are published.
pub(super) async fn join(
    fleet: &OpenFleet,
    key: &SecretKey,
    parties: &[Enrolled],
    mut waiting: Waiting,
) -> Result<Admitted, Error> {
    may_sign(fleet, key)?;
    let mut plans = fleet.head()?.meshes.iter();
    let nebula = plans.find_map(|plan| match &plan.backend {
        Backend::Nebula(nebula) => Some(nebula),
        _ => None,
    });
    let nebula = nebula.ok_or_else(|| Error::Usage {
        message: "the fleet has no mesh with certificates".to_owned(),
        remedy: "Choose it: `e3 mesh nebula`.",
    })?;
    let mut admitted = Admitted::default();
    for envelope in waiting.take() {
        let grant = envelope.unverified::<MeshGrant>();
        let grant = grant.map_err(|source| Error::Envelope {
            what: waiting.path.display().to_string(),
            source,
        })?;
        match wanted(fleet, nebula, parties, &grant).await? {
            Ok(Some(party)) => {
                one_more(fleet, key, party, envelope, &mut waiting, &mut admitted).await?;
            }
            // Another signer was quicker.
            Ok(None) => {}
            Err(why) => {
                admitted.refused.insert(why);
                // Others may see it otherwise.
                waiting.put(envelope);
            }
        }
    }
    waiting.save()?;
    Ok(admitted)
}

/// For whom it is, if whoever signs it knows that party and its key; nobody if it has this one already; or why not.
async fn wanted<'a>(
    fleet: &OpenFleet,
    nebula: &Nebula,
    parties: &'a [Enrolled],
    grant: &MeshGrant,
) -> Result<Result<Option<&'a Enrolled>, String>, Error> {
    let known = accepted(parties).find(|party| party.member.key == grant.party);
    let Some(party) = known else {
        let short = grant.party.short();
        return Ok(Err(format!(
            "{short} is no party of fleet.toml here; `e3 fleet accept` it first, or do not let it in"
        )));
    };
    let there = published(fleet, party, &grant.key).await?;
    let why = if grant.fleet != fleet.file.name || grant.backend != BACKEND {
        "the certificate is of another fleet or mesh"
    } else if names_key(party) != Some(&grant.key) {
        "the certificate is for another key than the one that the machine names"
    } else if !nebula.has(&grant.authority) {
        "the certificate is of another authority than the head names"
    } else if nebula.revoked.contains(&grant.fingerprint) {
        "the certificate is revoked"
    } else if grant.expires <= fleet.now() {
        "the certificate has expired"
    } else {
        let has_it = there.is_some_and(|there| there.signed >= grant.signed);
        return Ok(Ok((!has_it).then_some(party)));
    };
    Ok(Err(format!("{}: {why}", party.member.name)))
}

/// Adds a signature, and publishes the certificate or leaves it for others.
async fn one_more(
    fleet: &OpenFleet,
    key: &SecretKey,
    party: &Enrolled,
    mut envelope: Envelope,
    waiting: &mut Waiting,
    admitted: &mut Admitted,
) -> Result<(), Error> {
    envelope.add_signature(key);
    let (member, root) = (&party.member, &fleet.trust.root);
    let bytes = envelope.to_bytes();
    let name = member.name.to_string();
    // As the party itself will judge it.
    if MeshGrant::open(&bytes, root, &member.key, BACKEND).is_ok() {
        fleet.hub.put_grant(BACKEND, &member.key, bytes).await?;
        admitted.names.insert(name);
        return Ok(());
    }
    let waits = admitted.waits.get_or_insert_with(|| Waits {
        file: waiting.path.clone(),
        names: BTreeSet::new(),
        signed: usize::MAX,
        threshold: root.head.threshold,
    });
    waits.names.insert(name);
    waits.signed = waits.signed.min(envelope.signers(&root.head.keys).len());
    waiting.put(envelope);
    Ok(())
}

fn may_sign(fleet: &OpenFleet, key: &SecretKey) -> Result<(), Error> {
    if fleet.trust.root.head.keys.contains(&key.public()) {
        return Ok(());
    }
    Err(Error::NotAllowed {
        key: key.public().to_string(),
        role: "certificates",
    })
}

fn accepted(parties: &[Enrolled]) -> impl Iterator<Item = &Enrolled> {
    let parties = parties.iter();
    parties.filter(|party| party.standing == Standing::Accepted)
}

/// The key that a party has named.
fn names_key(party: &Enrolled) -> Option<&String> {
    party.presence.as_ref()?.mesh_keys.get(BACKEND)
}

/// The certificate for this key that is on the hub.
async fn published(
    fleet: &OpenFleet,
    party: &Enrolled,
    key: &str,
) -> Result<Option<MeshGrant>, Error> {
    let (root, party) = (&fleet.trust.root, &party.member.key);
    let there = fleet.hub.grant(BACKEND, party).await?;
    let there = there.and_then(|bytes| MeshGrant::open(&bytes, root, party, BACKEND).ok());
    Ok(there.filter(|grant| grant.key == key))
}

/// Now, but later than the one before.
fn after(now: Time, before: Option<Time>) -> Time {
    before.map_or(now, |before| now.max(before.plus(1)))
}
