//! `e3 fleet revoke`: a machine leaves the fleet for good, or an invite is taken back before anybody
//! used it.
//!
//! In the order in which it matters if it is interrupted: the hub first, so that nobody enrols any more;
//! then the meshes, by the next head; then fleet.toml, so that what is left to do is still known by
//! name. Doing it again does what is missing. Sessions that name the party and run are not ended: `e3
//! session stop` does that.

use std::fmt::Write as _;

use e3_core::digest::Digest;
use e3_core::document::Withdrawal;
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;
use e3_core::name::Name;
use serde_json::json;

use super::publish::{LIFETIME, publish};
use super::{Enrolled, OpenFleet, Stale, enrolled, folder, invites};
use crate::args::{FleetRevoke, Global};
use crate::commands::key;
use crate::commands::mesh::{certificates, take_out};
use crate::error::Error;
use crate::output::Answer;

/// Takes an invite back, at the hub and here.
pub(super) async fn withdraw(
    fleet: &OpenFleet,
    invite: &Digest,
    key: &SecretKey,
) -> Result<(), Error> {
    let withdrawal = Withdrawal {
        fleet: fleet.file.name.clone(),
        invite: *invite,
        by: key.public(),
        signed: fleet.now(),
    };
    let envelope = Envelope::sign(&withdrawal, &[key]).map_err(|source| Error::Document {
        what: "withdrawal",
        source,
    })?;
    fleet.hub.withdraw(invite, envelope.to_bytes()).await?;
    invites::forget(&fleet.file.folder, invite);
    Ok(())
}

pub(super) async fn run(args: &FleetRevoke, global: &Global) -> Result<Answer, Error> {
    let key = key::read(args.key.as_deref())?;
    let _lock = folder(global.fleet.as_deref())?.lock()?;
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    fleet.sync(Stale::Allow).await?;
    let (parties, _) = enrolled(&fleet).await?;
    let open = invites::open(&fleet, &parties);
    let known = |name: &Name| {
        parties.iter().any(|party| party.member.name == *name)
            || open.iter().any(|invite| invite.document.name == *name)
    };
    let unknown = args.names.iter().find(|name| !known(name));
    if let Some(name) = unknown.filter(|_| !args.if_known) {
        let parties = parties.iter().map(|party| &party.member.name);
        let invited = open.iter().map(|invite| &invite.document.name);
        let names = parties.chain(invited).map(ToString::to_string).collect();
        return Err(Error::NoSuchParty(name.to_string(), names));
    }
    let named = |party: &&Enrolled| args.names.contains(&party.member.name);
    let gone: Vec<&Enrolled> = parties.iter().filter(named).collect();
    refuse_anchors(&fleet, &gone)?;
    let mut withdrawn = 0;
    let unused = open
        .iter()
        .filter(|invite| args.names.contains(&invite.document.name));
    let used = gone.iter();
    let used = used.filter_map(|party| party.enrolled.map(|(_, invite)| invite));
    for invite in unused.map(|invite| invite.digest).chain(used) {
        withdraw(&fleet, &invite, &key).await?;
        withdrawn += 1;
    }
    let head = leave_meshes(&mut fleet, &gone, &key).await?;
    let mut text = String::new();
    for name in args.names.iter().filter(|name| known(name)) {
        fleet.file.remove_party(name);
        let _ = writeln!(text, "{name} is out of the fleet.");
    }
    fleet.file.save()?;
    if let Some(head) = head {
        let _ = writeln!(
            text,
            "Head {head} is published: nobody in the mesh speaks to it any more."
        );
    }
    let keys: Vec<_> = gone.iter().map(|party| party.member.key).collect();
    Ok(Answer::new(
        text,
        json!({"revoked": args.names, "keys": keys, "invites": withdrawn, "head": head}),
    ))
}

/// An anchor carries the others' packets: somebody else must do that first.
fn refuse_anchors(fleet: &OpenFleet, gone: &[&Enrolled]) -> Result<(), Error> {
    let meshes = &fleet.head()?.meshes;
    let is_anchor = |party: &&&Enrolled| {
        meshes
            .iter()
            .any(|plan| plan.anchor(&party.member.key).is_some())
    };
    let Some(anchor) = gone.iter().find(is_anchor) else {
        return Ok(());
    };
    Err(Error::Usage {
        message: format!("{} is an anchor of the fleet's mesh", anchor.member.name),
        remedy: "Name other anchors first: `e3 mesh BACKEND --anchor NAME=HOST:PORT`.",
    })
}

/// Takes the parties out of every mesh; the head that says so, if one had to.
async fn leave_meshes(
    fleet: &mut OpenFleet,
    gone: &[&Enrolled],
    key: &SecretKey,
) -> Result<Option<u64>, Error> {
    if gone.is_empty() || fleet.head()?.meshes.is_empty() {
        return Ok(None);
    }
    let mut out = Vec::new();
    for Enrolled { member, .. } in gone {
        let certificates = certificates(fleet, &member.name, &member.key).await?;
        out.push((member.key, certificates));
    }
    let published = publish(fleet, key, LIFETIME, |head| {
        let mut changed = false;
        for (party, certificates) in &out {
            changed |= take_out(head, party, certificates);
        }
        Ok(changed)
    })
    .await?;
    Ok(published.map(|published| published.head.counter))
}
