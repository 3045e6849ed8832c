//! Meshes with a control server: Headscale and Tailscale. Nobody signs for the machines in them: the hub makes keys for parties
//! that have enrolled, and a tailnet's owner for whomever he likes.

use e3_client::files;
use e3_core::mesh::{Backend, Headscale, Tailscale};
use e3_core::name::Name;
use serde_json::{Value, json};

use super::set::choose;
use crate::args::{Global, MeshHeadscale, MeshTailscale};
use crate::commands::fleet::OpenFleet;
use crate::error::Error;
use crate::output::Answer;

/// Bytes of a file with certificate authorities.
const CA: usize = 16 * 1024;

/// `e3 mesh headscale`
pub(super) async fn headscale(args: &MeshHeadscale, global: &Global) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    let authorities = match &args.ca {
        Some(path) => String::from_utf8_lossy(&files::read_bounded(path, CA)?).into_owned(),
        None => String::new(),
    };
    let backend = |old: Option<Backend>| {
        let revoked = match old {
            Some(Backend::Headscale(headscale)) => headscale.revoked,
            _ => Vec::new(),
        };
        Backend::Headscale(Headscale {
            server: args.server.clone(),
            authorities: authorities.clone(),
            revoked,
        })
    };
    let policy = policy(&fleet.file.name);
    let next = format!(
        "The hub must run with --headscale and --headscale-key-file: it makes each machine's key.\n\
         The server's policy for this fleet lets its machines talk to each other, and to nobody else:\n{policy}"
    );
    let mut answer = choose(&mut fleet, args.key.as_deref(), Vec::new(), backend, &next).await?;
    answer.json["policy"] = policy;
    Ok(answer)
}

/// `e3 mesh tailscale`
pub(super) async fn tailscale(args: &MeshTailscale, global: &Global) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    let backend = |old| match old {
        Some(same @ Backend::Tailscale(_)) => same,
        _ => Backend::Tailscale(Tailscale::default()),
    };
    let policy = tailnet_policy(&fleet.file.name);
    let next = format!(
        "The hub must run with --tailscale-oauth-file: it makes each machine's key. Or each machine's owner puts one there, for one \
         use, as the credential e3.tailscale or in /etc/e3/tailscale.key.\n\
         In your tailnet's policy the fleet's tag must stand, and what its machines may do:\n{policy}"
    );
    let mut answer = choose(&mut fleet, args.key.as_deref(), Vec::new(), backend, &next).await?;
    answer.json["policy"] = policy;
    Ok(answer)
}

/// What a tailnet's policy is to have for a fleet, beside whatever else is in it.
fn tailnet_policy(fleet: &Name) -> Value {
    let tag = format!("tag:e3-{fleet}");
    json!({
        "tagOwners": {&tag: ["autogroup:admin"]},
        "grants": [{"src": [&tag], "dst": [&tag], "ip": ["*"]}],
    })
}

/// What a Headscale is told of a fleet: its machines bear its tag, which nobody can give himself.
fn policy(fleet: &Name) -> Value {
    let tag = format!("tag:e3-{fleet}");
    json!({
        "tagOwners": {&tag: []},
        "grants": [{"src": [&tag], "dst": [&tag], "ip": ["*"]}],
        // Nobody of Tailscale's is asked whether there is an Internet.
        "nodeAttrs": [{"target": [&tag], "attr": ["disable-captive-portal-detection"]}],
    })
}
