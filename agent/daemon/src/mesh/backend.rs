//! What differs from backend to backend: one function for each question, and a folder for each backend with its answers.

use std::net::IpAddr;
use std::time::Duration;

use e3_core::key::PublicKey;
use e3_core::mesh::link::{AGENT_PORT, Link};
use e3_core::mesh::{Anchor, Backend, MeshGrant, NotJoined, Path, Plan, Prefix, Roster, local};

use super::files::Files;
use super::gauge::Other;
use super::link::Carrier;
pub(super) use super::tailscale::Known;
use super::{link, nebula, openvpn, tailscale, tinc, unable, wireguard};
use crate::config::PORT;
use crate::shared::Shared;
use crate::supervisor::systemd::Service;

/// The daemons of all backends: what a machine may have to leave.
pub(super) const ALL: [&str; 7] = [
    "link",
    "nebula",
    "openvpn",
    "tailscale",
    "tinc",
    "tor",
    "wireguard",
];

/// How long a mesh may take.
pub(super) struct Patience {
    /// One other agent's answer. The first packet of a tunnel starts its handshake, and is sent again after a second.
    pub(super) answer: Duration,
    /// Until it is told that nobody answers.
    pub(super) silence: Duration,
}

/// How long this one may take. Tor finds a descriptor, an introduction and a meeting point first, by circuits that are made for
/// it.
pub(super) const fn patience(plan: &Plan) -> Patience {
    let (answer, silence) = match plan.backend {
        Backend::Tor(_) => (30, 60),
        _ => (3, 10),
    };
    Patience {
        answer: Duration::from_secs(answer),
        silence: Duration::from_secs(silence),
    }
}

/// Where a daemon's configuration leads.
pub(super) struct Prepared {
    /// What the daemon reads.
    pub(super) files: Files,
    /// The certificate, where there is one.
    pub(super) grant: Option<MeshGrant>,
}

/// Everything that the daemon needs: a key that is born here, what lets it in, and its configuration.
pub(super) async fn prepare(shared: &Shared, plan: &Plan) -> Result<Prepared, NotJoined> {
    match &plan.backend {
        Backend::Nebula(nebula) => nebula::prepare(shared, plan, nebula).await,
        Backend::Wireguard(roster) => wireguard::prepare(shared, plan, roster),
        Backend::Openvpn(roster) => openvpn::prepare(shared, plan, roster),
        Backend::Tinc(roster) => tinc::prepare(shared, plan, roster).await,
        Backend::Link(_) => link::prepare(shared, plan, Carrier::Link),
        Backend::Tor(_) => link::prepare(shared, plan, Carrier::Tor),
        Backend::Headscale(_) | Backend::Tailscale(_) => tailscale::prepare(shared, plan),
    }
}

/// Whether the running daemon has taken what is new, although that stands where it reads it only at its start.
pub(super) async fn takes(shared: &Shared, plan: &Plan) -> bool {
    match Carrier::of(plan) {
        Some(carrier) => link::takes(shared, carrier).await,
        None => false,
    }
}

/// Has a daemon connect anew that would not notice soon that the machine has got another address. Its device stays, and what waits
/// on it. The others notice it by themselves, or, as anchors, wait for those who connect.
pub(super) async fn moved(
    shared: &Shared,
    plan: &Plan,
    files: &Files,
    service: &Service,
) -> Result<(), NotJoined> {
    if plan.anchor(&shared.me()).is_some() {
        return Ok(());
    }
    if matches!(plan.backend, Backend::Tor(_)) {
        link::moved(Carrier::Tor).await;
        return Ok(());
    }
    let told = match plan.backend {
        // Its only connection is by TCP.
        Backend::Openvpn(_) if plan.anchors.iter().all(openvpn::is_by_tcp) => {
            service.signal(openvpn::CONNECT_ANEW).await
        }
        // Its connections to the anchors are, and it gives up those to whom something new is known.
        Backend::Tinc(_) => {
            files.renew().map_err(|error| unable(&error))?;
            service.reload().await
        }
        _ => Ok(()),
    };
    told.map_err(|error| unable(&error))
}

/// The daemon runs with what was written for it, started anew or as it was.
pub(super) fn runs(shared: &Shared, plan: &Plan, is_anew: bool) {
    if matches!(plan.backend, Backend::Wireguard(_)) {
        shared.direct.runs(is_anew);
    }
}

/// Whether this machine is in, although there is nobody else to be asked.
pub(super) async fn is_in_alone(plan: &Plan) -> bool {
    match Carrier::of(plan) {
        Some(carrier) => link::is_at_a_relay(carrier).await,
        None => false,
    }
}

/// The port at which agents are there.
pub(super) const fn port(plan: &Plan) -> u16 {
    if plan.backend.carries_connections() {
        AGENT_PORT
    } else {
        PORT
    }
}

/// This machine's own address, once its daemon runs.
pub(super) async fn address(shared: &Shared, plan: &Plan) -> Result<IpAddr, NotJoined> {
    if plan.backend.is_controlled() {
        return tailscale::address(shared, plan).await;
    }
    Ok(address_of(shared, plan, &shared.me()))
}

/// For how long a daemon that has just been started is not yet believed: tinc's device is there before it has its port, and an anchor
/// that asks itself needs no more.
pub(super) fn settling(shared: &Shared, plan: &Plan) -> Duration {
    match plan.backend {
        Backend::Tinc(_) if plan.anchor(&shared.me()).is_some() => Duration::from_secs(1),
        _ => Duration::ZERO,
    }
}

/// Who may answer for the mesh, and where; one of them must. Where packets are carried, an anchor also asks itself: it may be the
/// only one, and then its own address tells that its daemon has a device.
pub(super) async fn witnesses(
    shared: &Shared,
    plan: &Plan,
    known: &Known,
) -> Vec<(PublicKey, IpAddr)> {
    let parties = |anchors: &[Anchor]| anchors.iter().map(|anchor| anchor.party).collect();
    let witnesses: Vec<PublicKey> = match &plan.backend {
        // Whoever reaches one of them can reach everybody.
        Backend::Nebula(_) | Backend::Wireguard(_) | Backend::Openvpn(_) | Backend::Tinc(_) => {
            parties(&plan.anchors)
        }
        // Whoever reaches somebody reaches them by a relay, or has punched a hole.
        Backend::Link(Link { roster, .. }) | Backend::Tor(roster) => {
            let members = roster.members.iter().map(|member| member.party);
            members.filter(|party| *party != shared.me()).collect()
        }
        Backend::Headscale(_) | Backend::Tailscale(_) => {
            return tailscale::witnesses(shared, plan, known).await;
        }
    };
    witnesses
        .into_iter()
        .map(|party| (party, address_of(shared, plan, &party)))
        .collect()
}

/// Where the agents of these parties are asked how long packets take; nothing where the daemon knows that itself.
pub(super) async fn places(shared: &Shared, plan: &Plan, others: &[Other]) -> Vec<Option<IpAddr>> {
    match &plan.backend {
        // A connection is to this machine's own end of the mesh.
        Backend::Link(_) | Backend::Tor(_) => vec![None; others.len()],
        Backend::Headscale(_) | Backend::Tailscale(_) => {
            tailscale::places(others.iter().map(|other| other.key.as_deref())).await
        }
        _ => { others.iter() }
            .map(|other| Some(address_of(shared, plan, &other.party)))
            .collect(),
    }
}

/// How packets get to these parties, as far as the daemon tells it, and the microseconds that they take by its own count.
pub(super) async fn paths(
    shared: &Shared,
    plan: &Plan,
    others: &[Other],
) -> Vec<(Path, Option<u64>)> {
    let is_anchor = plan.anchor(&shared.me()).is_some();
    let is_next_to = |other: &Other| is_anchor || plan.anchor(&other.party).is_some();
    let of = |path: fn(bool) -> Path| {
        let paths = others.iter().map(|other| (path(is_next_to(other)), None));
        paths.collect()
    };
    match &plan.backend {
        Backend::Link(_) => link::paths(Carrier::Link, others).await,
        Backend::Tor(_) => link::paths(Carrier::Tor, others).await,
        Backend::Headscale(_) | Backend::Tailscale(_) => {
            let paths = tailscale::paths(others.iter().map(|other| other.key.as_deref())).await;
            paths.into_iter().map(|path| (path, None)).collect()
        }
        Backend::Wireguard(_) => {
            let parties = others.iter().map(|other| &other.party);
            let paths = wireguard::paths(shared, plan, parties).into_iter();
            paths.map(|path| (path, None)).collect()
        }
        // All packets go by the anchor, and its own straight.
        Backend::Openvpn(_) => of(|is_next| if is_next { Path::Direct } else { Path::Relayed }),
        // Their daemons find ways by themselves, and tell nobody which.
        Backend::Nebula(_) | Backend::Tinc(_) => of(|_| Path::Unknown),
    }
}

/// Why nobody of so many answers.
pub(super) async fn why_nobody_answers(shared: &Shared, plan: &Plan, asked: usize) -> NotJoined {
    let known = match plan.backend {
        Backend::Link(_) => link::trouble(Carrier::Link).await,
        Backend::Tor(_) => link::trouble(Carrier::Tor).await,
        Backend::Headscale(_) | Backend::Tailscale(_) if asked > 0 => tailscale::trouble().await,
        _ if asked > 0 && needs_udp(plan) && shared.hub.is_udp_blocked().await => {
            Some(NotJoined::UdpBlocked)
        }
        _ => None,
    };
    known.unwrap_or(NotJoined::NobodyAnswers { asked })
}

/// Whether there is no way for its packets but UDP.
fn needs_udp(plan: &Plan) -> bool {
    match plan.backend {
        Backend::Nebula(_) | Backend::Wireguard(_) => true,
        Backend::Openvpn(_) => !plan.anchors.iter().any(openvpn::is_by_tcp),
        _ => false,
    }
}

/// Tells whoever must know that this machine leaves, while its daemon still runs.
pub(super) async fn say_goodbye(shared: &Shared, daemon: &str) {
    if daemon == "tailscale" {
        tailscale::leave(shared).await;
    }
}

/// The address of a party, where it follows from its identity.
pub(super) fn address_of(shared: &Shared, plan: &Plan, party: &PublicKey) -> IpAddr {
    if let Some(carrier) = Carrier::of(plan) {
        return local(party, carrier.name()).into();
    }
    let prefix = Prefix::of(&shared.join.root, plan.backend.name());
    prefix.party(party).into()
}

/// Whether the fleet has taken this machine's key into the mesh.
pub(super) fn belongs(shared: &Shared, roster: &Roster, key: &str) -> Result<(), NotJoined> {
    if roster.key(&shared.me()) == Some(key) {
        Ok(())
    } else if roster.has_revoked(key) {
        Err(NotJoined::CertificateRevoked)
    } else {
        Err(NotJoined::NeedsApproval)
    }
}
