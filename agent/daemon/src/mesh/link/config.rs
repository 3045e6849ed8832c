//! What `e3-link` is told.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use e3_core::mesh::link::{AGENT_PORT, Config, HOLD, KeySource, Peer, Reach, Serve};
use e3_core::mesh::{Anchor, Backend, NotJoined, Plan, local};

use super::Carrier;
use crate::shared::Shared;

/// The configuration of this machine's daemon, with the ways of the sessions that run.
pub(super) fn render(shared: &Shared, plan: &Plan, carrier: Carrier) -> Result<Config, NotJoined> {
    let (me, name) = (shared.me(), carrier.name());
    let agent = agent(shared)?;
    let anchor = plan.anchor(&me);
    let mut taken = BTreeSet::from([local(&me, name)]);
    let members = plan.backend.roster();
    let members = members.map_or_else(Default::default, |roster| roster.members.iter());
    let peers = members.filter(|member| member.party != me).filter_map(|member| {
        let local = local(&member.party, name);
        if !taken.insert(local) {
            tracing::error!(party = %member.party, %local, "two parties have the same local address; this one is not reached by this mesh");
            return None;
        }
        let (id, client) = carrier.keys(&member.key)?;
        let ways = shared.ways.of(carrier, &member.party);
        let mut reach = BTreeSet::from([AGENT_PORT]);
        reach.extend(ways.iter().filter_map(|way| way.reach));
        // The gate listens at the address that stands for this machine.
        let own = IpAddr::from(self::local(&me, name));
        let ports: BTreeSet<u16> = ways.iter().filter_map(|way| way.serve).collect();
        let sessions = ports.into_iter().filter(|port| *port != AGENT_PORT);
        let sessions = sessions.map(|port| Serve { port, target: Some(SocketAddr::new(own, port)) });
        let serve = Serve { port: AGENT_PORT, target: Some(agent) };
        Some(Peer {
            id,
            client,
            name: None,
            addresses: plan.anchor(&member.party).map(addresses).unwrap_or_default(),
            local,
            reach: reach.into_iter().map(|port| Reach { port, listen: None }).collect(),
            serve: std::iter::once(serve).chain(sessions).collect(),
        })
    });
    let link = match &plan.backend {
        Backend::Link(link) => Some(link),
        _ => None,
    };
    Ok(Config {
        generation: 0,
        key: KeySource::Credential(carrier.credential().to_owned()),
        control: carrier.socket().into(),
        bind: anchor
            .and_then(Anchor::port)
            .map(everywhere)
            .unwrap_or_default(),
        external: anchor.map(addresses).unwrap_or_default(),
        relays: link.map_or_else(Vec::new, |link| link.relays.clone()),
        authorities: link.and_then(|link| link.authorities.clone()),
        clock_floor: Some(shared.keeper().trust().floor.time),
        hold_seconds: HOLD,
        peers: peers.collect(),
    })
}

/// Where this machine's agent takes connections that were carried here.
fn agent(shared: &Shared) -> Result<SocketAddr, NotJoined> {
    let listen: Option<SocketAddr> = shared.settings.listen.parse().ok();
    let listen = listen.filter(|at| at.ip().is_unspecified() || at.ip().is_loopback());
    let Some(at) = listen else {
        let detail = format!(
            "its agent listens at {} alone (`listen` in agent.toml), where this mesh does not deliver",
            shared.settings.listen
        );
        return Err(NotJoined::Unable { detail });
    };
    Ok(if at.ip().is_unspecified() {
        SocketAddr::from((Ipv4Addr::LOCALHOST, at.port()))
    } else {
        at
    })
}

/// An anchor's endpoints, as far as they are addresses: names are not looked up.
fn addresses(anchor: &Anchor) -> Vec<SocketAddr> {
    let endpoints = anchor.endpoints.iter();
    endpoints.filter_map(|text| text.parse().ok()).collect()
}

fn everywhere(port: u16) -> Vec<SocketAddr> {
    vec![
        (Ipv4Addr::UNSPECIFIED, port).into(),
        (Ipv6Addr::UNSPECIFIED, port).into(),
    ]
}
