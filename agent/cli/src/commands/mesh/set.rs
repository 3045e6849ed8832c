//! What the next head says of the mesh: which one, who is revoked, or none.

use e3_core::document::Head;
use e3_core::envelope::EnvelopeError;
use e3_core::mesh::{Anchor, Backend, MeshGrant, Nebula, Plan};
use e3_core::name::Name;
use serde_json::json;

use super::authority::Authority;
use crate::args::{AnchorAt, Global, MeshNebula, MeshOff, MeshRevoke};
use crate::commands::fleet::publish::{LIFETIME, publish};
use crate::commands::fleet::{OpenFleet, Stale};
use crate::commands::key;
use crate::error::Error;
use crate::fleet_file::Member;
use crate::output::Answer;

pub(super) async fn nebula(args: &MeshNebula, global: &Global) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    let key = key::read(args.key.as_deref())?;
    let anchors = anchors(&fleet, &args.anchors)?;
    let authority = Authority::of(&fleet.file);
    authority.make(&fleet.file.name)?;
    let authorities = authority.certificate()?;
    let edit = |head: &mut Head| {
        let old = head.mesh.take();
        let revoked = old.map(|plan| match plan.backend {
            Backend::Nebula(nebula) => nebula.revoked,
        });
        head.mesh = Some(Plan {
            anchors: anchors.clone(),
            backend: Backend::Nebula(Nebula {
                authorities: authorities.clone(),
                revoked: revoked.unwrap_or_default(),
            }),
        });
        Ok(true)
    };
    publish(&mut fleet, &key, LIFETIME, edit).await?;
    let head = fleet.head()?.counter;
    let text = format!(
        "Head {head} is published: every party joins a Nebula network.\nRun `e3 mesh sign --watch` here: each machine waits for its certificate.\n"
    );
    Ok(Answer::new(
        text,
        json!({"head": head, "backend": "nebula"}),
    ))
}

pub(super) async fn off(args: &MeshOff, global: &Global) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    let key = key::read(args.key.as_deref())?;
    publish(&mut fleet, &key, LIFETIME, |head| {
        Ok(head.mesh.take().is_some())
    })
    .await?;
    let head = fleet.head()?.counter;
    let text = format!(
        "Head {head} asks for no mesh: parties reach each other by their machines' addresses.\n"
    );
    Ok(Answer::new(text, json!({"head": head, "backend": null})))
}

pub(super) async fn revoke(args: &MeshRevoke, global: &Global) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    let key = key::read(args.key.as_deref())?;
    fleet.sync(Stale::Allow).await?;
    let backend = fleet.head()?.mesh.as_ref().map(|plan| plan.backend.name());
    let (Some(backend), Some(member)) = (backend, member(&fleet, &args.name)) else {
        return Err(no_such(&fleet, &args.name));
    };
    let party = member.key;
    let Some(bytes) = fleet.hub.grant(backend, &party).await? else {
        return Err(Error::NoCertificate {
            name: args.name.to_string(),
        });
    };
    let grant = MeshGrant::open(&bytes, &fleet.trust.root, &party, backend);
    let grant = grant.map_err(|source: EnvelopeError| Error::Envelope {
        what: format!("the certificate of {}", args.name),
        source,
    })?;
    publish(&mut fleet, &key, LIFETIME, |head| {
        let Some(Plan {
            backend: Backend::Nebula(nebula),
            ..
        }) = &mut head.mesh
        else {
            return Ok(false);
        };
        let is_new = !nebula.revoked.contains(&grant.fingerprint);
        if is_new {
            nebula.revoked.push(grant.fingerprint.clone());
        }
        Ok(is_new)
    })
    .await?;
    let head = fleet.head()?.counter;
    let text = format!(
        "Head {head} is published: nobody takes the certificate of {} any more.\n",
        args.name
    );
    let json = json!({"head": head, "party": party, "fingerprint": grant.fingerprint});
    Ok(Answer::new(text, json))
}

/// The anchors by their keys, with all endpoints of each.
fn anchors(fleet: &OpenFleet, named: &[AnchorAt]) -> Result<Vec<Anchor>, Error> {
    let mut anchors: Vec<Anchor> = Vec::new();
    for AnchorAt { name, endpoint } in named {
        let member = member(fleet, name).ok_or_else(|| no_such(fleet, name))?;
        match anchors.iter_mut().find(|anchor| anchor.party == member.key) {
            Some(anchor) => anchor.endpoints.push(endpoint.clone()),
            None => anchors.push(Anchor {
                party: member.key,
                endpoints: vec![endpoint.clone()],
            }),
        }
    }
    Ok(anchors)
}

fn no_such(fleet: &OpenFleet, name: &Name) -> Error {
    let known = fleet.file.parties.iter();
    let known = known.map(|member| member.name.to_string()).collect();
    Error::NoSuchParty(name.to_string(), known)
}

fn member<'a>(fleet: &'a OpenFleet, name: &Name) -> Option<&'a Member> {
    fleet
        .file
        .parties
        .iter()
        .find(|member| member.name == *name)
}
