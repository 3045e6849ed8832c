//! By which address the parties of a session reach this one.
//!
//! While a fleet moves from one mesh to another its machines are in both, or still in the old one alone. A session meets in
//! the preferred one in which all its parties are; each party may find that by itself, since all of them can be reached in both
//! then. Where the fleet lets parties meet directly, the addresses of their machines are the last one of these.

use std::time::Duration;

use e3_core::document::{Mesh, Presence, Session};
use e3_core::key::PublicKey;
use e3_core::mesh::{Backend, NotJoined, Plan};
use e3_core::session::Reason;
use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use crate::peer::link::{self, Pace};
use crate::shared::Shared;

/// How long a machine that has just been started is given to join.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same where parties can also meet directly: joining takes a second.
const SHORT_PATIENCE: Duration = Duration::from_secs(4);
/// Between two looks at others that are joining.
const LOOK: Duration = Duration::from_millis(250);

/// The host part of this party's endpoint.
pub async fn host(shared: &Shared, session: &Session) -> Result<String, Reason> {
    let plans = shared.plans.borrow().clone();
    let wanted: Vec<&Plan> = plans
        .iter()
        .filter(|plan| {
            let mesh = session.mesh.as_deref();
            mesh.is_none_or(|mesh| mesh == plan.backend.name())
        })
        .collect();
    if let (Some(mesh), []) = (&session.mesh, wanted.as_slice()) {
        return Err(Reason::NotInMesh {
            mesh: mesh.clone(),
            detail: "the fleet's head asks for no such mesh".to_owned(),
        });
    }
    if wanted.is_empty() || session.parties.len() == 1 {
        return Ok(of_machine(shared));
    }
    // Whoever names a mesh wants that one.
    let direct = session.mesh.is_none() && plans.iter().any(|plan| plan.direct);
    let own = joined(shared, &wanted, direct).await?;
    let last = match own.last() {
        Some((_, address)) if !direct => address.clone(),
        _ => of_machine(shared),
    };
    let is_choice = own.len() + usize::from(direct) > 1 && !own.is_empty();
    let common = if is_choice {
        common(shared, session, &wanted, &own, direct).await
    } else {
        None
    };
    Ok(common.unwrap_or(last))
}

/// How long the parties of a session are silent before they are given up: as long as that may take in the most patient mesh in which
/// they may meet.
pub fn pace(plans: &[Plan], session: &Session) -> Pace {
    let mesh = session.mesh.as_deref();
    let names = |plan: &&Plan| mesh.is_none_or(|mesh| mesh == plan.backend.name());
    let paces = plans.iter().filter(names).map(|plan| match plan.backend {
        Backend::Tor(_) => link::BY_TOR,
        Backend::Tailscale(_) | Backend::Headscale(_) => link::BY_TAILSCALE,
        _ => link::SESSION,
    });
    let longest = paces.max_by_key(|pace| pace.silence);
    longest.unwrap_or(link::SESSION)
}

/// This party's address in the first of its own meshes in which all others are, too. Where they can also meet directly, those
/// who are about to join are waited for a moment.
async fn common(
    shared: &Shared,
    session: &Session,
    wanted: &[&Plan],
    own: &[(String, String)],
    direct: bool,
) -> Option<String> {
    let end = Instant::now() + SHORT_PATIENCE;
    loop {
        let peers = session.parties.iter().map(|party| party.key);
        let peers = peers.filter(|key| *key != shared.me());
        let presences = join_all(peers.map(async |key| {
            let bytes = shared.hub.presence(&key).await.ok()??;
            Presence::open(&bytes, &key, &shared.join.fleet)
        }))
        .await;
        let is_in = |presence: &Option<Presence>, mesh: &str| {
            let meshes = presence.as_ref().map(|presence| &presence.meshes);
            meshes.is_some_and(|meshes| meshes.get(mesh).is_some_and(Mesh::is_joined))
        };
        for (mesh, address) in own {
            if presences.iter().all(|presence| is_in(presence, mesh)) {
                return Some(address.clone());
            }
        }
        let may_come = |presence: &Presence| {
            let mut plans = wanted.iter();
            plans.any(|plan| {
                is_coming(
                    plan,
                    &presence.party,
                    presence.meshes.get(plan.backend.name()),
                )
            })
        };
        let waits = direct && presences.iter().flatten().any(may_come);
        if !waits || Instant::now() > end {
            return None;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The meshes of these that this machine is in, with its address in each; it is waited for one. Where parties can also meet
/// directly, only for as long as nothing but time is missing, and then there may be none.
async fn joined(
    shared: &Shared,
    wanted: &[&Plan],
    direct: bool,
) -> Result<Vec<(String, String)>, Reason> {
    let mut changes = shared.board.subscribe();
    let now = || {
        let mut meshes = shared.board.known().meshes;
        let own = wanted.iter().filter_map(|plan| {
            let name = plan.backend.name();
            match meshes.remove(name)? {
                Mesh::Joined { addresses, .. } => {
                    Some((name.to_owned(), addresses.first()?.clone()))
                }
                Mesh::NotJoined { .. } => None,
            }
        });
        own.collect::<Vec<_>>()
    };
    let may_come = || {
        let meshes = shared.board.known().meshes;
        let mut plans = wanted.iter();
        plans.any(|plan| is_coming(plan, &shared.me(), meshes.get(plan.backend.name())))
    };
    let wait = async {
        loop {
            changes.borrow_and_update();
            let own = now();
            // The board lives as long as the agent.
            if !own.is_empty() || direct && !may_come() || changes.changed().await.is_err() {
                return own;
            }
        }
    };
    let patience = if direct { SHORT_PATIENCE } else { PATIENCE };
    let own = timeout(patience, wait).await.unwrap_or_default();
    if !own.is_empty() || direct {
        return Ok(own);
    }
    let mut meshes = shared.board.known().meshes;
    let why = |name: &str| match meshes.remove(name) {
        Some(Mesh::NotJoined { reason }) => Some(reason.to_string()),
        _ => None,
    };
    let names: Vec<&str> = wanted.iter().map(|plan| plan.backend.name()).collect();
    Err(Reason::NotInMesh {
        mesh: names.join(", "),
        detail: names.first().copied().and_then(why).unwrap_or_default(),
    })
}

/// Whether a party has a place in this mesh and only has to take it: by what it says, or it has not heard of it yet.
fn is_coming(plan: &Plan, party: &PublicKey, standing: Option<&Mesh>) -> bool {
    match standing {
        Some(Mesh::NotJoined { reason }) => match reason {
            NotJoined::Joining => true,
            NotJoined::NeedsApproval => {
                let roster = plan.backend.roster();
                roster.is_some_and(|roster| roster.key(party).is_some())
            }
            _ => false,
        },
        Some(Mesh::Joined { .. }) | None => false,
    }
}

/// The first address of the machine itself.
fn of_machine(shared: &Shared) -> String {
    let address = shared.addresses().into_iter().next();
    let address = address.as_deref().unwrap_or("127.0.0.1");
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_matches(['[', ']']).to_owned()
}

#[cfg(test)]
mod tests {
    use e3_core::key::SecretKey;
    use e3_core::mesh::link::{Id, Link};
    use e3_core::mesh::{Headscale, Roster};
    use e3_testkit::sim::manifest;

    use super::*;

    #[test]
    fn a_session_is_as_patient_as_the_most_patient_mesh_in_which_it_may_meet() {
        let plan = |backend| Plan {
            anchors: Vec::new(),
            direct: false,
            backend,
        };
        let tor = plan(Backend::Tor(Roster::default()));
        let tinc = plan(Backend::Tinc(Roster::default()));
        let mut session = manifest(3);
        let silence = |plans: &[Plan], session: &Session| pace(plans, session).silence;
        for plans in [&[][..], std::slice::from_ref(&tinc)] {
            assert_eq!(silence(plans, &session), link::SESSION.silence);
        }
        let both = [tinc, tor];
        assert_eq!(silence(&both, &session), link::BY_TOR.silence);
        session.mesh = Some("tinc".to_owned());
        assert_eq!(silence(&both, &session), link::SESSION.silence);
        session.mesh = Some("tor".to_owned());
        assert_eq!(silence(&both, &session), link::BY_TOR.silence);
        let controlled = [plan(Backend::Headscale(Headscale::default()))];
        session.mesh = None;
        assert_eq!(silence(&controlled, &session), link::BY_TAILSCALE.silence);
    }

    #[test]
    fn only_who_has_a_place_and_is_on_its_way_is_waited_for() {
        let [member, other] = [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]).public());
        let mut roster = Roster::default();
        roster.take_in(member, &Id::from(member).to_string());
        let link = Link {
            roster,
            ..Link::default()
        };
        let plan = Plan {
            anchors: Vec::new(),
            direct: true,
            backend: Backend::Link(link),
        };
        let waits = |party, reason| is_coming(&plan, &party, Some(&Mesh::NotJoined { reason }));
        let unable = NotJoined::Unable {
            detail: "no e3-link".to_owned(),
        };
        let no_relay = NotJoined::NoRelay {
            detail: "timed out".to_owned(),
        };
        assert!(waits(member, NotJoined::Joining));
        // The head that lets it in has come to this machine first.
        assert!(waits(member, NotJoined::NeedsApproval));
        assert!(!waits(other, NotJoined::NeedsApproval));
        assert!(!waits(member, unable) && !waits(member, no_relay));
        let joined = Mesh::Joined {
            addresses: Vec::new(),
            took_ms: None,
        };
        assert!(!is_coming(&plan, &member, Some(&joined)));
        assert!(!is_coming(&plan, &member, None));
    }
}
