//! What differs from backend to backend: one function for each question, and a folder for each backend with its answers.

use std::net::IpAddr;

use e3_core::key::PublicKey;
use e3_core::mesh::{Anchor, Backend, MeshGrant, NotJoined, Plan, Prefix, Roster};

use super::files::Files;
use super::{nebula, wireguard};
use crate::shared::Shared;

/// All backends that a machine may have to leave.
pub(super) const ALL: [&str; 2] = ["nebula", "wireguard"];

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
    }
}

/// The anchors of which one must answer, since whoever reaches one of them can reach everybody.
pub(super) fn witnesses(plan: &Plan) -> &[Anchor] {
    match &plan.backend {
        Backend::Nebula(_) => &plan.anchors,
        // The others carry nothing.
        Backend::Wireguard(_) => plan.anchors.get(..1).unwrap_or_default(),
    }
}

/// This machine's own address, once its daemon runs.
#[expect(
    clippy::unused_async,
    reason = "there are meshes whose daemons alone know it"
)]
pub(super) async fn address(shared: &Shared, plan: &Plan) -> Result<IpAddr, NotJoined> {
    Ok(address_of(shared, plan, &shared.me()))
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
