//! Joins the mesh that the fleet's head asks for, and stays in it: `e3_core::mesh` carried out.
//!
//! - [`run`]: follows the plan; joins, watches, joins again, leaves.
//! - `nebula`: one folder for each backend: keys, what its daemon is told, and how.
//! - `files`: what a daemon reads, where systemd takes it from.
//! - `probe`: whether other agents answer through the mesh. Nothing else counts as having joined: daemons say that they are
//!   ready when they have a device.
//!
//! The daemon is a unit of its own, `e3-mesh-<backend>.service`, which ships with the image. It goes on when the agent is
//! started anew, so an update does not cut a mesh; and it is executed anew only when what it is told has changed.

mod files;
mod grant;
mod nebula;
mod probe;

use std::net::Ipv6Addr;
use std::time::Duration;

use e3_core::document::Mesh;
use e3_core::mesh::{Backend, MeshGrant, NotJoined, Plan, Prefix};

use tokio::time::Instant;

use self::files::Files;
use crate::config::{PORT, Supervisor};
use crate::shared::Shared;
use crate::supervisor::systemd::Service;
use crate::sync::jitter;

/// Between attempts, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Between two looks at a mesh that works.
const LOOK: Duration = Duration::from_secs(30);
/// Between two looks at a mesh on which nobody answers, at first and at most.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const SILENT_LOOK: Duration = Duration::from_secs(5);
/// For how long nobody may answer before the fleet is told so.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a daemon's configuration leads: everything that [`keep`] needs of a backend.
struct Prepared {
    files: Files,
    /// The certificate, where there is one.
    grant: Option<MeshGrant>,
}

/// Follows the plan of the fleet's head, for ever.
pub async fn run(shared: Shared) {
    let mut plans = shared.plan.subscribe();
    loop {
        let plan = plans.borrow_and_update().clone();
        let work = async {
            if let Some(plan) = &plan {
                return keep(&shared, plan).await;
            }
            leave(&shared).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = work => {}
            changed = plans.changed() => if changed.is_err() { return },
        }
    }
}

/// The address of this agent in the fleet's mesh.
pub fn own_address(shared: &Shared) -> Ipv6Addr {
    Prefix::of(&shared.join.root).party(&shared.me())
}

/// Joins, and stays joined, for as long as the plan is this one.
async fn keep(shared: &Shared, plan: &Plan) {
    let (mut pause, mut told) = (RETRY.0, None);
    if !matches!(shared.board.known().mesh, Mesh::Joined { .. }) {
        not_joined(shared, &NotJoined::Joining);
    }
    loop {
        let trouble = match join(shared, plan).await {
            Ok((service, prepared)) => {
                let begin = Instant::now();
                let trouble = watch_over(shared, plan, &service, &prepared).await;
                // Whoever dies as soon as it is started is not started more and more often.
                if begin.elapsed() > RETRY.1 {
                    (pause, told) = (RETRY.0, None);
                }
                trouble
            }
            Err(trouble) => trouble,
        };
        // Nothing is wrong with it: it is told something new.
        if trouble == NotJoined::Joining {
            continue;
        }
        if told.as_ref() != Some(&trouble) {
            tracing::warn!(reason = trouble.kind(), %trouble, remedy = trouble.remedy(), "not in the mesh");
        }
        not_joined(shared, &trouble);
        told = Some(trouble);
        tokio::time::sleep(jitter(pause)).await;
        pause = (pause * 2).min(RETRY.1);
    }
}

/// Has the daemon run with what the plan says; not more.
async fn join(shared: &Shared, plan: &Plan) -> Result<(Service, Prepared), NotJoined> {
    if shared.settings.supervisor != Supervisor::Systemd {
        let detail = "its agent was set up without systemd (`supervisor` in agent.toml)".to_owned();
        return Err(NotJoined::Unable { detail });
    }
    let prepared = match &plan.backend {
        Backend::Nebula(nebula) => nebula::prepare(shared, plan, nebula).await?,
    };
    let service = service(plan.backend.name());
    let unable = |error: &dyn std::error::Error| NotJoined::Unable {
        detail: crate::text::chain(error),
    };
    let is_new = prepared.files.write().map_err(|error| unable(&error))?;
    let runs = service.is_active().await.map_err(|error| unable(&error))?;
    if is_new || !runs {
        if runs {
            tracing::info!(
                backend = plan.backend.name(),
                "the mesh's daemon is told something new"
            );
        }
        service.stop().await.map_err(|error| unable(&error))?;
        service.start().await.map_err(|error| unable(&error))?;
    }
    Ok((service, prepared))
}

/// Looks whether others answer, for as long as the daemon runs with this configuration; returns why it has to be joined
/// again.
async fn watch_over(
    shared: &Shared,
    plan: &Plan,
    service: &Service,
    prepared: &Prepared,
) -> NotJoined {
    let looks = async {
        let (mut pause, mut silent_since) = (FIRST_LOOK, Some(Instant::now()));
        loop {
            let answers = probe::anchors(shared, plan).await;
            if answers.any {
                joined(shared);
                (pause, silent_since) = (LOOK, None);
            } else {
                // One answer may be lost.
                let since = *silent_since.get_or_insert_with(Instant::now);
                if since.elapsed() > PATIENCE {
                    let asked = answers.asked;
                    not_joined(shared, &NotJoined::NobodyAnswers { asked });
                }
                pause = if pause == LOOK {
                    FIRST_LOOK
                } else {
                    (pause * 2).min(SILENT_LOOK)
                };
            }
            tokio::time::sleep(jitter(pause)).await;
        }
    };
    let ends = grant::due(shared, prepared.grant.as_ref());
    tokio::select! {
        () = looks => NotJoined::Joining,
        () = ends => NotJoined::Joining,
        ended = service.ended() => match ended {
            Ok(how) => NotJoined::DaemonDied { detail: how },
            Err(error) => NotJoined::Unable { detail: crate::text::chain(&error) },
        },
    }
}

/// The fleet wants no mesh, or none any more.
async fn leave(shared: &Shared) {
    if shared.settings.supervisor == Supervisor::Systemd {
        for backend in nebula::ALL {
            let files = Files::of(backend);
            if files.remove() {
                if let Err(error) = service(backend).stop().await {
                    tracing::warn!(backend, error = %crate::text::chain(&error), "the mesh's daemon cannot be stopped");
                }
                tracing::info!(backend, "left the mesh");
            }
        }
    }
    shared.board.mesh(Mesh::None);
    shared.board.addresses(&shared.addresses);
}

fn joined(shared: &Shared) {
    let address = own_address(shared).to_string();
    let mesh = Mesh::Joined {
        addresses: vec![address.clone()],
    };
    if shared.board.known().mesh == mesh {
        return;
    }
    tracing::info!(%address, "in the mesh");
    shared.board.mesh(mesh);
    shared.board.addresses(&[at(own_address(shared), shared)]);
}

fn not_joined(shared: &Shared, reason: &NotJoined) {
    shared.board.mesh(Mesh::NotJoined {
        reason: reason.cleaned(),
    });
}

/// `host:port` of this agent at one of its addresses.
fn at(address: Ipv6Addr, shared: &Shared) -> String {
    let own = shared.addresses.first();
    let port = own.and_then(|own| own.rsplit_once(':')?.1.parse().ok());
    format!("[{address}]:{}", port.unwrap_or(PORT))
}

fn service(backend: &str) -> Service {
    Service::new(&format!("e3-mesh-{backend}.service"))
}
