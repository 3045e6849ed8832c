//! `e3 mesh sign`: a certificate for each party of fleet.toml whose presence names a key that has none, or one that ends soon.
//!
//! Which key is whose is not the hub's word: the party's identity has signed its presence. Who may come in is fleet.toml's.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use e3_core::document::Presence;
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;
use e3_core::mesh::{Backend, MeshGrant, Plan};
use e3_core::time::Time;
use serde_json::json;

use super::authority::Authority;
use crate::args::{Global, MeshSign};
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
                    say(output, &format!("{name} has a certificate"));
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
        text.push_str("Nobody waits for a certificate.\n");
    }
    for name in &all {
        let _ = writeln!(text, "signed    {name}");
    }
    Ok(Answer::new(text, json!({"signed": all})))
}

/// A line of progress.
fn say(output: &Output, line: &str) {
    if !output.is_quiet() && !output.is_json() {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

/// Signs for everybody who needs it now; returns their names.
async fn round(fleet: &mut OpenFleet, key: &SecretKey, seconds: u64) -> Result<Vec<String>, Error> {
    fleet.sync(Stale::Allow).await?;
    let root = fleet.trust.root.clone();
    if !root.head.keys.contains(&key.public()) || root.head.threshold > 1 {
        return Err(Error::NotAllowed {
            key: key.public().to_string(),
            role: "certificates alone",
        });
    }
    let Some(plan) = fleet.head()?.mesh.clone() else {
        return Err(Error::Usage {
            message: "the fleet has no mesh".to_owned(),
            remedy: "Choose one: `e3 mesh nebula --anchor NAME=HOST:PORT`.",
        });
    };
    let (parties, _) = enrolled(fleet).await?;
    let mut signed = Vec::new();
    for party in parties
        .iter()
        .filter(|party| party.standing == Standing::Accepted)
    {
        if grant(fleet, key, &plan, party, seconds).await? {
            signed.push(party.member.name.to_string());
        }
    }
    Ok(signed)
}

/// Signs for one party, if it needs it.
async fn grant(
    fleet: &OpenFleet,
    key: &SecretKey,
    plan: &Plan,
    party: &Enrolled,
    seconds: u64,
) -> Result<bool, Error> {
    let Backend::Nebula(nebula) = &plan.backend;
    let backend = plan.backend.name();
    let named = |presence: &Presence| presence.mesh_keys.get(backend).cloned();
    let Some(public) = party.presence.as_ref().and_then(named) else {
        return Ok(false);
    };
    let (member, now) = (&party.member, fleet.now());
    let there = fleet.hub.grant(backend, &member.key).await?;
    let there = there
        .and_then(|bytes| MeshGrant::open(&bytes, &fleet.trust.root, &member.key, backend).ok())
        .filter(|grant| grant.key == public);
    // A revoked party comes back only with a new key.
    let is_settled = |grant: &MeshGrant| {
        let life = grant.expires.since(grant.signed);
        nebula.revoked.contains(&grant.fingerprint) || grant.expires.since(now) > life / SHARE
    };
    if there.as_ref().is_some_and(is_settled) {
        return Ok(false);
    }
    let certified = Authority::of(&fleet.file).sign(&member.name, &member.key, &public, seconds)?;
    let grant = MeshGrant {
        fleet: fleet.file.name.clone(),
        party: member.key,
        backend: backend.to_owned(),
        key: public,
        certificate: certified.certificate,
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
