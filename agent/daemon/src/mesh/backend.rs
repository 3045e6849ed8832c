//! What differs from backend to backend: one function for each question, and a folder for each backend with its answers.

use std::net::IpAddr;

use e3_core::key::PublicKey;
use e3_core::mesh::{Anchor, Backend, MeshGrant, NotJoined, Plan, Prefix, Roster};

use super::files::Files;
use super::{nebula, tailscale, wireguard};
use crate::shared::Shared;

/// The daemons of all backends: what a machine may have to leave.
pub(super) const ALL: [&str; 3] = ["nebula", "tailscale", "wireguard"];

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
        Backend::Headscale(_) | Backend::Tailscale(_) => tailscale::prepare(shared, plan),
    }
}

/// The anchors of which one must answer, since whoever reaches one of them can reach everybody.
fn anchors(plan: &Plan) -> &[Anchor] {
    match &plan.backend {
        // The others carry nothing.
        Backend::Wireguard(_) => plan.anchors.get(..1).unwrap_or_default(),
        _ => &plan.anchors,
    }
}

/// This machine's own address, once its daemon runs.
pub(super) async fn address(shared: &Shared, plan: &Plan) -> Result<IpAddr, NotJoined> {
    if plan.backend.is_controlled() {
        return tailscale::address(shared, plan).await;
    }
    Ok(address_of(shared, plan, &shared.me()))
}

/// Who may answer for the mesh, and where: its anchors; where there are none, whoever else is in it.
pub(super) async fn witnesses(shared: &Shared, plan: &Plan) -> Vec<(PublicKey, IpAddr)> {
    if plan.backend.is_controlled() {
        return tailscale::witnesses(shared, plan).await;
    }
    let anchors = anchors(plan).iter().map(|anchor| anchor.party);
    anchors
        .map(|party| (party, address_of(shared, plan, &party)))
        .collect()
}

/// What it means that none of `asked` witnesses answers.
pub(super) async fn silence(plan: &Plan, asked: usize) -> NotJoined {
    if plan.backend.is_controlled() && asked > 0 && tailscale::lacks_relay().await {
        NotJoined::NoRelay
    } else {
        NotJoined::NobodyAnswers { asked }
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
