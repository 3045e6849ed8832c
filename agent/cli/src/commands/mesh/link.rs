//! `e3 mesh link`: the built-in mesh, with the relay of the fleet's hub if nobody names another one.

use e3_client::files;
use e3_core::key::PublicKey;
use e3_core::mesh::link::{Link, Relay};
use e3_core::mesh::{Backend, Roster};

use super::admit::Known;
use super::set::{SIGN, anchors, chosen, put};
use crate::args::{Global, MeshLink};
use crate::commands::fleet::{OpenFleet, Stale, enrolled};
use crate::commands::hub::serve::RELAY_CA;
use crate::error::Error;
use crate::fleet_file::Fleet;
use crate::output::Answer;

/// The backend's name.
const LINK: &str = "link";
/// What to do next where nobody waits.
const ALL_IN: &str = "All parties are let in; `e3 fleet accept` lets in whoever comes.";
/// A file of authorities; a head takes less of them.
const LIMIT: usize = 64 * 1024;

pub(super) async fn run(args: &MeshLink, global: &Global) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    fleet.sync(Stale::Allow).await?;
    let relays = relays(args, &fleet)?;
    let authorities = authorities(args, &fleet.file)?;
    // Machines have their keys for it before it is chosen.
    let (parties, _) = enrolled(&fleet).await?;
    let known = Known::of(&parties, LINK);
    let backend = |old: Option<Backend>| {
        let mut roster = match old {
            Some(Backend::Link(link)) => link.roster,
            _ => Roster::default(),
        };
        known.let_in(&mut roster);
        Backend::Link(Link {
            relays: relays.clone(),
            authorities: authorities.clone(),
            roster,
        })
    };
    let anchors = anchors(&fleet, &args.anchors)?;
    let (key, direct) = (args.key.as_deref(), args.direct);
    put(&mut fleet, key, direct, anchors, backend).await?;
    let is_in = |party: &PublicKey| {
        let plans = &fleet.trust.head.as_ref()?.meshes;
        plans.first()?.backend.roster()?.key(party)
    };
    let all_in = fleet
        .file
        .parties
        .iter()
        .all(|member| is_in(&member.key).is_some());
    chosen(&fleet, if all_in { ALL_IN } else { SIGN })
}

fn relays(args: &MeshLink, fleet: &OpenFleet) -> Result<Vec<Relay>, Error> {
    if args.relays.is_empty() && args.anchors.is_empty() {
        let there = fleet
            .head()?
            .meshes
            .iter()
            .find_map(|plan| match &plan.backend {
                Backend::Link(link) => Some(&link.relays),
                _ => None,
            });
        if let Some(there) = there.filter(|there| !there.is_empty()) {
            return Ok(there.clone());
        }
    }
    let mut urls = args.relays.clone();
    if urls.is_empty() && args.anchors.is_empty() {
        let hub: Option<reqwest::Url> = fleet.file.hub.parse().ok();
        let host = hub.as_ref().and_then(|hub| hub.host_str());
        let host = host.ok_or_else(|| Error::Usage {
            message: "nobody says where the relay is".to_owned(),
            remedy: "Name it: `e3 mesh link --relay https://HOST[:PORT]`.",
        })?;
        urls.push(format!("https://{host}"));
    }
    let discovery_port = args.discovery;
    let relays: Vec<Relay> = urls
        .into_iter()
        .map(|url| Relay {
            url,
            discovery_port,
        })
        .collect();
    match relays.iter().find(|relay| relay.check().is_err()) {
        None => Ok(relays),
        Some(wrong) => Err(Error::Usage {
            message: format!(
                "{} is no relay",
                e3_core::text::clean(&e3_core::text::without_credentials(&wrong.url), 120)
            ),
            remedy: "Write https:// and a name or an address, and nothing else but a port.",
        }),
    }
}

/// The authorities that somebody named, or those of the hub's own relay.
fn authorities(args: &MeshLink, fleet: &Fleet) -> Result<Option<String>, Error> {
    let own = fleet.folder.join(RELAY_CA);
    let path = match &args.relay_ca {
        Some(path) => path,
        None if own.exists() => &own,
        None => return Ok(None),
    };
    let pem = files::read_bounded(path, LIMIT)?;
    Ok(Some(String::from_utf8_lossy(&pem).into_owned()))
}
