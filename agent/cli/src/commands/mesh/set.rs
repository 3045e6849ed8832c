//! What the next head says of the meshes: which there are, who has no place in them any more, or none.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use e3_core::document::{Head, Mesh};
use e3_core::key::PublicKey;
use e3_core::mesh::{
    Anchor, Backend, Headscale, MESHES, MeshGrant, Nebula, Plan, Roster, Tailscale,
};
use e3_core::name::Name;
use serde_json::json;

use super::authority::Authority;
use super::issued::Issued;
use crate::args::{AnchorAt, Global, MeshAnchored, MeshDrop, MeshOff, MeshRevoke, MeshTor};
use crate::commands::fleet::publish::{LIFETIME, publish};
use crate::commands::fleet::{OpenFleet, Stale, Standing, enrolled};
use crate::commands::key;
use crate::error::Error;
use crate::fleet_file::Member;
use crate::output::Answer;

/// What to do next where machines are let in one by one.
pub(super) const SIGN: &str = "Run `e3 mesh sign --watch` here: each machine waits to be let in.";

/// What whoever chooses Tor should know. A round in a Tor network of its own on one computer, where no packet has any way to go,
/// was measured by `ci/lab meshes --backend tor` (modules/mesh/README.md).
const SLOW: &str = "It is slow: a message goes by six relays. A round takes about 50 ms where all of them are on one computer, and on\n\
     the public network some hundred milliseconds up to a second: a program with 1000 rounds takes minutes.\n\
     Choose programs with few rounds, and give sessions time to meet and to connect:\n\
     `preflight = \"2m\"` and `connect = \"2m\"` under [deadlines] in the session's file.";

/// `e3 mesh nebula`
pub(super) async fn nebula(args: &MeshAnchored, global: &Global) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    let authority = Authority::of(&fleet.file);
    authority.make(&fleet.file.name)?;
    let authorities = authority.certificate()?;
    let backend = |old: Option<Backend>| {
        let revoked = match old {
            Some(Backend::Nebula(nebula)) => nebula.revoked,
            _ => Vec::new(),
        };
        let authorities = authorities.clone();
        Backend::Nebula(Nebula {
            authorities,
            revoked,
        })
    };
    let anchors = anchors(&fleet, &args.anchors)?;
    choose(&mut fleet, args.key.as_deref(), anchors, backend, SIGN).await
}

/// `e3 mesh wireguard`, and the others whose members the head lists.
pub(super) async fn listed(
    args: &MeshAnchored,
    global: &Global,
    backend: fn(Roster) -> Backend,
) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    let anchors = anchors(&fleet, &args.anchors)?;
    let keep = |old| keep(old, backend);
    choose(&mut fleet, args.key.as_deref(), anchors, keep, SIGN).await
}

/// The backend with the members that it has already.
fn keep(old: Option<Backend>, backend: fn(Roster) -> Backend) -> Backend {
    let roster = old.and_then(|mut old| old.roster_mut().map(std::mem::take));
    backend(roster.unwrap_or_default())
}

/// `e3 mesh tor`
pub(super) async fn tor(args: &MeshTor, global: &Global) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    let keep = |old| keep(old, Backend::Tor);
    let next = format!("{SIGN}\n{SLOW}");
    choose(&mut fleet, args.key.as_deref(), Vec::new(), keep, &next).await
}

/// Has the fleet meet in a mesh and nowhere else; see [`put`]. `next` is what to do then.
pub(super) async fn choose(
    fleet: &mut OpenFleet,
    key: Option<&Path>,
    anchors: Vec<Anchor>,
    backend: impl Fn(Option<Backend>) -> Backend,
    next: &str,
) -> Result<Answer, Error> {
    put(fleet, key, false, anchors, backend).await?;
    chosen(fleet, next)
}

/// Puts a mesh before the one that the fleet has, or in its place if it is the same backend; `backend` makes it of what is
/// there of the same backend.
pub(super) async fn put(
    fleet: &mut OpenFleet,
    key: Option<&Path>,
    direct: bool,
    anchors: Vec<Anchor>,
    backend: impl Fn(Option<Backend>) -> Backend,
) -> Result<(), Error> {
    let key = key::read(key)?;
    let (name, daemon) = (backend(None).name(), backend(None).daemon());
    let edit = |head: &mut Head| {
        let place = head
            .meshes
            .iter()
            .position(|plan| plan.backend.name() == name);
        let old = place.map(|place| head.meshes.remove(place).backend);
        let mut others = head.meshes.iter().map(|plan| &plan.backend);
        if let Some(other) = others.find(|other| other.daemon() == daemon) {
            return Err(Error::Usage {
                message: format!("{name} and {} need the same daemon", other.name()),
                remedy: "A machine runs one of it: move by another mesh, or `e3 mesh off` first.",
            });
        }
        if head.meshes.len() >= MESHES {
            let [first, second] = [0, 1].map(|place| head.meshes[place].backend.name());
            return Err(Error::Usage {
                message: format!("the fleet has two meshes already: {first} and {second}"),
                remedy: "Let go of one: `e3 mesh drop NAME`.",
            });
        }
        let plan = Plan {
            anchors: anchors.clone(),
            direct,
            backend: backend(old),
        };
        head.meshes.insert(0, plan);
        Ok(true)
    };
    publish(fleet, &key, LIFETIME, edit).await?;
    Ok(())
}

/// What was chosen, and what to do next.
pub(super) fn chosen(fleet: &OpenFleet, next: &str) -> Result<Answer, Error> {
    let head = fleet.head()?;
    let name = head.meshes.first().map_or("", |plan| plan.backend.name());
    let mut text = format!(
        "Head {} is published: every party joins the {name} mesh.\n{next}\n",
        head.counter
    );
    if let Some(old) = head.meshes.get(1) {
        let old = old.backend.name();
        let _ = writeln!(
            text,
            "Machines stay in {old}, too. When `e3 fleet status` shows nobody who is not in {name}: `e3 mesh drop {old}`."
        );
    }
    Ok(Answer::new(
        text,
        json!({"head": head.counter, "backend": name}),
    ))
}

/// `e3 mesh drop`
pub(super) async fn drop(args: &MeshDrop, global: &Global) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    let key = key::read(args.key.as_deref())?;
    fleet.sync(Stale::Allow).await?;
    let name = args.backend.as_str();
    let kept: Vec<&str> = backends(fleet.head()?)
        .filter(|other| *other != name)
        .collect();
    if kept.len() == fleet.head()?.meshes.len() {
        return Err(Error::Usage {
            message: format!("the fleet has no mesh {name}"),
            remedy: "`e3 mesh off` drops all there are.",
        });
    }
    if let (false, [kept]) = (args.force, kept.as_slice()) {
        let missing = missing(&fleet, kept).await?;
        if !missing.is_empty() {
            return Err(Error::Usage {
                message: format!(
                    "without {name} nobody would reach {}: not in {kept}",
                    missing.join(", ")
                ),
                remedy: "Wait for them (`e3 fleet status` says what keeps them out), or leave them behind with --force.",
            });
        }
    }
    publish(&mut fleet, &key, LIFETIME, |head| {
        let before = head.meshes.len();
        head.meshes.retain(|plan| plan.backend.name() != name);
        Ok(head.meshes.len() != before)
    })
    .await?;
    let head = fleet.head()?;
    let left: Vec<&str> = backends(head).collect();
    let text = format!(
        "Head {} is published: every party leaves the {name} mesh.\n",
        head.counter
    );
    Ok(Answer::new(
        text,
        json!({"head": head.counter, "meshes": left}),
    ))
}

/// `e3 mesh off`
pub(super) async fn off(args: &MeshOff, global: &Global) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    let key = key::read(args.key.as_deref())?;
    publish(&mut fleet, &key, LIFETIME, |head| {
        let had = !head.meshes.is_empty();
        head.meshes.clear();
        Ok(had)
    })
    .await?;
    let head = fleet.head()?.counter;
    let text = format!(
        "Head {head} asks for no mesh: parties reach each other by their machines' addresses.\n"
    );
    Ok(Answer::new(text, json!({"head": head, "meshes": []})))
}

/// `e3 mesh revoke`: out of every mesh that the fleet has.
pub(super) async fn revoke(args: &MeshRevoke, global: &Global) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    let key = key::read(args.key.as_deref())?;
    fleet.sync(Stale::Allow).await?;
    let member = member(&fleet, &args.name).ok_or_else(|| no_such(&fleet, &args.name))?;
    let party = member.key;
    let certificates = certificates(&fleet, &args.name, &party).await?;
    let published = publish(&mut fleet, &key, LIFETIME, |head| {
        Ok(take_out(head, &party, &certificates))
    })
    .await?;
    let head = fleet.head()?.counter;
    if published.is_none() && certificates.is_empty() {
        return Err(Error::NoCertificate {
            name: args.name.to_string(),
        });
    }
    let text = format!(
        "Head {head} is published: nobody in the mesh speaks to the key of {} any more.\n",
        args.name
    );
    Ok(Answer::new(text, json!({"head": head, "party": party})))
}

/// Takes a party out of every mesh; `certificates` are the fingerprints of those that it has. Whether that was news.
pub(in crate::commands) fn take_out(
    head: &mut Head,
    party: &PublicKey,
    certificates: &BTreeSet<String>,
) -> bool {
    let mut is_new = false;
    for plan in &mut head.meshes {
        is_new |= match &mut plan.backend {
            Backend::Nebula(Nebula { revoked, .. }) => {
                let before = revoked.len();
                let news = certificates.iter().filter(|it| !revoked.contains(it));
                let news: Vec<String> = news.cloned().collect();
                revoked.extend(news);
                before < revoked.len()
            }
            Backend::Headscale(Headscale { revoked, .. })
            | Backend::Tailscale(Tailscale { revoked }) => {
                let is_new = !revoked.contains(party);
                if is_new {
                    revoked.push(*party);
                }
                is_new
            }
            listed => {
                let roster = listed.roster_mut();
                roster.and_then(|roster| roster.revoke(party)).is_some()
            }
        };
    }
    is_new
}

/// What names the certificates that a party has in a mesh with certificates: its newest and those before it, as the hub shows
/// them, and where the authority is, whatever it has made. A hub may show an older one than it has.
pub(in crate::commands) async fn certificates(
    fleet: &OpenFleet,
    name: &Name,
    party: &PublicKey,
) -> Result<BTreeSet<String>, Error> {
    let with = |plan: &&Plan| matches!(plan.backend, Backend::Nebula(_));
    let Some(plan) = fleet.head()?.meshes.iter().find(with) else {
        return Ok(BTreeSet::new());
    };
    let mut prints = BTreeSet::from_iter(Issued::of(&fleet.file)?.of_party(party));
    let backend = plan.backend.name();
    let Some(bytes) = fleet.hub.grant(backend, party).await? else {
        return Ok(prints);
    };
    // Machines that were let in before heads needed more signatures are in still: that one has vouched for it is enough here.
    let mut root = fleet.trust.root.clone();
    root.head.threshold = 1;
    match MeshGrant::open(&bytes, &root, party, backend) {
        Ok(grant) => {
            prints.insert(grant.fingerprint);
            prints.extend(grant.earlier);
        }
        Err(source) if prints.is_empty() => {
            let what = format!("the certificate of {name}");
            return Err(Error::Envelope { what, source });
        }
        // The authority's own list is the longer one.
        Err(_) => {}
    }
    Ok(prints)
}

/// The accepted parties that have been heard of, and not from inside this mesh.
async fn missing(fleet: &OpenFleet, backend: &str) -> Result<Vec<String>, Error> {
    let (parties, _) = enrolled(fleet).await?;
    let is_out = |presence: &e3_core::document::Presence| {
        !presence.meshes.get(backend).is_some_and(Mesh::is_joined)
    };
    Ok(parties
        .iter()
        .filter(|party| party.standing == Standing::Accepted)
        .filter(|party| party.presence.as_ref().is_some_and(is_out))
        .map(|party| party.member.name.to_string())
        .collect())
}

/// The backends that a head asks for.
fn backends(head: &Head) -> impl Iterator<Item = &'static str> {
    head.meshes.iter().map(|plan| plan.backend.name())
}

/// The anchors by their keys, with all endpoints of each.
pub(super) fn anchors(fleet: &OpenFleet, named: &[AnchorAt]) -> Result<Vec<Anchor>, Error> {
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
