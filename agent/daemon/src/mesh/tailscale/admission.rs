//! The key that a machine is let in with, once: from its hub, or for Tailscale also from its owner.
//!
//! It is never on a disk or in an environment of ours: it goes from where it comes from to the daemon's socket.

use std::path::{Path, PathBuf};

use e3_client::files;
use e3_client::hub::HubError;
use e3_client::seal::Question;
use e3_core::envelope::Envelope;
use e3_core::mesh::{Backend, MeshKeyRequest, NotJoined, Plan};
use zeroize::Zeroizing;

use crate::shared::Shared;

/// The credential of the agent's unit with Tailscale's key, and the file if there is none.
const CREDENTIAL: &str = "e3.tailscale";
const FILE: &str = "/etc/e3/tailscale.key";

/// One key.
pub(super) async fn key(shared: &Shared, plan: &Plan) -> Result<Zeroizing<String>, NotJoined> {
    if let Backend::Tailscale(_) = plan.backend
        && let Some(path) = file()
    {
        return of_the_owner(&path);
    }
    of_the_hub(shared, plan.backend.name()).await
}

async fn of_the_hub(shared: &Shared, backend: &str) -> Result<Zeroizing<String>, NotJoined> {
    let question = Question::new();
    let request = MeshKeyRequest {
        fleet: shared.join.fleet.clone(),
        party: shared.me(),
        backend: backend.to_owned(),
        seal: question.public(),
        signed: shared.keeper().now(),
    };
    let envelope = Envelope::sign(&request, &[&shared.key]).expect("a request made here is valid");
    let answer = shared.hub.mesh_key(backend, envelope.to_bytes()).await;
    let answer = answer.map_err(|error| NotJoined::Hub {
        detail: match error {
            HubError::Refused {
                message, remedy, ..
            } => format!("{message} {remedy}"),
            error => crate::text::chain(&error),
        },
    })?;
    let opened = question.open(&answer, envelope.digest().as_bytes());
    opened.map_err(|error| NotJoined::Hub {
        detail: error.to_string(),
    })
}

/// Where the machine's owner has put a key, if there is one.
fn file() -> Option<PathBuf> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let credential = folder.map(|folder| folder.join(CREDENTIAL));
    let mut places = credential.into_iter().chain([PathBuf::from(FILE)]);
    places.find(|path| path.exists())
}

fn of_the_owner(path: &Path) -> Result<Zeroizing<String>, NotJoined> {
    let text = files::read_secret(path).map_err(|error| NotJoined::Unable {
        detail: crate::text::chain(&error),
    })?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}
