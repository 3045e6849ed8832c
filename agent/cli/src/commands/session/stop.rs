//! `e3 session stop`: a new head revokes the session (rule 8).

use e3_core::digest::Digest;
use e3_core::document::Session;
use e3_core::envelope::Verified;
use e3_core::key::SecretKey;
use serde_json::json;

use super::find::find;
use crate::args::{Global, SessionStop};
use crate::commands::fleet::publish::{LIFETIME, Published, publish};
use crate::commands::fleet::{OpenFleet, Stale};
use crate::commands::key;
use crate::error::Error;
use crate::output::Answer;

/// Revokes a session; nothing if it is revoked already.
///
/// The head goes on naming it until it has expired, so that its revocation is kept as long as anybody
/// could start it.
pub async fn stop(
    fleet: &mut OpenFleet,
    manifest: &Digest,
    key: &SecretKey,
) -> Result<Option<Published>, Error> {
    publish(fleet, key, LIFETIME, |head| {
        if head.revoked.contains(manifest) {
            return Ok(false);
        }
        head.revoked.push(*manifest);
        Ok(true)
    })
    .await
}

pub(super) async fn run(args: &SessionStop, global: &Global) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    let key = key::read(args.key.as_deref())?;
    fleet.sync(Stale::Allow).await?;
    let session: Verified<Session> = find(&fleet, &args.session).await?;
    let stopped = stop(&mut fleet, &session.digest, &key).await?;
    let (name, head) = (&session.document.name, fleet.head()?.counter);
    let text = if stopped.is_some() {
        format!(
            "{name} is revoked by head {head}: it starts nowhere any more, and stops where it runs.\n"
        )
    } else {
        format!("{name} was revoked before.\n")
    };
    let json = json!({"session": name, "manifest": session.digest, "head": head, "revoked": true, "published": stopped.is_some()});
    Ok(Answer::new(text, json))
}
