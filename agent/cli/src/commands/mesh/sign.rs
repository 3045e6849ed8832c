//! `e3 mesh sign`: lets in each party of fleet.toml whose presence names a key that has no place in the mesh yet: by a
//! certificate, again before that ends, or by the head's own list of members.
//!
//! Which key is whose is not the hub's word: the party's identity has signed its presence. Who may come in is fleet.toml's.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use e3_core::document::Presence;
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;
use e3_core::mesh::{Backend, MeshGrant, Nebula};
use e3_core::time::Time;
use serde_json::json;

use super::authority::Authority;
use crate::args::{Global, MeshSign};
use crate::commands::fleet::publish::{LIFETIME, publish};
use crate::commands::fleet::{Enrolled, OpenFleet, Stale, Standing, enrolled};
use crate::commands::key;
use crate::error::Error;
use crate::output::{Answer, Output};

/// Between two looks of `--watch`.
const LOOK: Duration = Duration::from_secs(2);
/// A certificate is renewed when less than this share of its life is left; agents ask for a newer one from then on.
const SHARE: i64 = 3;

pub(super) async fn run(
    args: &MeshSign,
    global: &Global,
    output: &Output,
) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    let key = key::read(args.key.as_deref())?;
    let mut all = Vec::new();
    loop {
        match round(&mut fleet, &key, args.seconds).await {
            Ok(signed) => {
                for name in &signed {
                    say(output, &format!("{name} is let in"));
                }
                all.extend(signed);
            }
            Err(Error::Hub(error)) if args.watch && error.is_passing() => {
                say(output, &format!("the hub does not answer: {error}"));
            }
            Err(error) => return Err(error),
        }
        if !args.watch {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    let mut text = String::new();
    if all.is_empty() {
        text.push_str("Nobody waits to be let in.\n");
    }
    for name in &all {
        let _ = writeln!(text, "let in    {name}");
    }
    Ok(Answer::new(text, json!({"signed": all})))
}

/// A line of progress.
fn say(output: &Output, line: &str) {
    if !output.is_quiet() && !output.is_json() {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

/// Lets in everybody who waits now; returns their names.
async fn round(fleet: &mut OpenFleet, key: &SecretKey, seconds: u64) -> Result<Vec<String>, Error> {
    fleet.sync(Stale::Allow).await?;
    let plans = fleet.head()?.meshes.clone();
    if plans.is_empty() {
        return Err(Error::Usage {
            message: "the fleet has no mesh".to_owned(),
            remedy: "Choose one: `e3 mesh nebula --anchor NAME=HOST:PORT`.",
        });
    }
    let (mut parties, _) = enrolled(fleet).await?;
    parties.retain(|party| party.standing == Standing::Accepted);
    let mut signed = Vec::new();
    for plan in &plans {
        signed.extend(if let Backend::Nebula(nebula) = &plan.backend {
            grants(fleet, key, nebula, &parties, seconds).await?
        } else {
            members(fleet, key, &plan.backend, &parties).await?
        });
    }
    signed.sort_unstable();
    signed.dedup();
    Ok(signed)
}

/// Puts keys into the head's list of a mesh without certificates.
async fn members(
    fleet: &mut OpenFleet,
    key: &SecretKey,
    backend: &Backend,
    parties: &[Enrolled],
) -> Result<Vec<String>, Error> {
    let name = backend.name();
    let shown = |party: &Enrolled| Some(party.presence.as_ref()?.mesh_keys.get(name)?.clone());
    // What would come of it, so that no head is published for nothing.
    let comes_in = |backend: &mut Backend| -> Vec<String> {
        parties
            .iter()
            .filter_map(|party| Some((party, shown(party)?)))
            .filter(|(party, key)| {
                let accepted = backend.accepts(&party.member.key, key);
                let roster = backend.roster_mut().filter(|_| accepted);
                roster.is_some_and(|roster| roster.take_in(party.member.key, key))
            })
            .map(|(party, _)| party.member.name.to_string())
            .collect()
    };
    if comes_in(&mut backend.clone()).is_empty() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    publish(fleet, key, LIFETIME, |head| {
        let mut plans = head.meshes.iter_mut();
        let plan = plans.find(|plan| plan.backend.name() == name);
        names = plan.map_or_else(Vec::new, |plan| comes_in(&mut plan.backend));
        Ok(!names.is_empty())
    })
    .await?;
    Ok(names)
}

/// Signs certificates for whoever needs one.
async fn grants(
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
    for party in parties {
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
