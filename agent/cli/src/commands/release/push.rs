//! `e3 release push`: a signed release goes to the hub, and a new head names it.
//!
//! As with sessions everything is named by its hash and the head comes last: a push that was cut off
//! is finished by running it again.

use e3_client::hub::HubError;
use e3_core::digest::Blob;
use e3_core::document::{Head, Release};
use e3_core::key::SecretKey;
use e3_core::trust::{TrustError, open_release};
use serde_json::json;

use super::bundle::ReleaseBundle;
use crate::args::{Global, ReleasePush};
use crate::commands::fleet::publish::{LIFETIME, Published, publish};
use crate::commands::fleet::{OpenFleet, Stale};
use crate::commands::key;
use crate::error::Error;
use crate::output::progress::{Progress, Renderer};
use crate::output::{Answer, Output};

/// Uploads the release and its binaries, then publishes a head that names it. Nothing is published if
/// the head does so already.
pub async fn push(
    fleet: &mut OpenFleet,
    bundle: &ReleaseBundle,
    key: &SecretKey,
    tell: &mut dyn FnMut(Progress),
) -> Result<Option<Published>, Error> {
    let subject = format!("release {}", bundle.release.version);
    fleet.sync(Stale::Allow).await?;
    let envelope = bundle.envelope.to_bytes();
    let release = open_release(&fleet.trust.root, &envelope)?;
    if release.document.expires <= fleet.now() {
        return Err(TrustError::Expired {
            document: "release",
            expired: release.document.expires,
        }
        .into());
    }
    is_newer(fleet, &release.document).await?;
    let named = Blob::of(&envelope);
    tell(Progress::going(&subject, "uploading the release"));
    let stored = fleet.hub.put_release(envelope).await?;
    for binary in &release.document.binaries {
        let what = format!("uploading the agent for {}", binary.target);
        tell(Progress::going(&subject, &what));
        if !fleet.hub.has_blob(&binary.file).await? {
            let bytes = bundle.binary(binary)?;
            fleet.hub.put_binary(&stored, bytes).await?;
        }
    }
    tell(Progress::going(&subject, "publishing the head"));
    let published = publish(fleet, key, LIFETIME, |head: &mut Head| {
        let is_news = head.release != Some(named);
        head.release = Some(named);
        Ok(is_news)
    })
    .await?;
    tell(Progress::ended(&subject, "published"));
    Ok(published)
}

/// Rule 5: the machines would refuse an older release, each by itself; here it is one clear error.
async fn is_newer(fleet: &OpenFleet, release: &Release) -> Result<(), Error> {
    let Some(named) = fleet.head()?.release else {
        return Ok(());
    };
    let bytes = match fleet.hub.blob(&named).await {
        Ok(bytes) => bytes,
        // A release that is gone holds nobody back.
        Err(HubError::NotFound { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    match open_release(&fleet.trust.root, &bytes) {
        Ok(current) if current.document == *release => Ok(()),
        Ok(current) if current.document.counter >= release.counter => Err(TrustError::Rollback {
            document: "release",
            floor: current.document.counter,
            found: release.counter,
        }
        .into()),
        // One that does not count any more holds nobody back, either.
        _ => Ok(()),
    }
}

pub(super) async fn run(
    args: &ReleasePush,
    global: &Global,
    output: &Output,
) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    let key = key::read(args.key.as_deref())?;
    let bundle = ReleaseBundle::open(&args.release)?;
    let mut renderer = Renderer::new(output);
    let published = push(&mut fleet, &bundle, &key, &mut |event| {
        renderer.show(&event);
    })
    .await?;
    let (version, counter) = (&bundle.release.version, bundle.release.counter);
    let head = fleet.head()?.counter;
    let text = if published.is_some() {
        format!(
            "Release {version} is published: head {head} names it.\nEach machine installs it when it \
             runs no session, and takes it back if it does not work.\n\nNext:\n  e3 fleet status\n"
        )
    } else {
        format!("Release {version} was published before: head {head} names it.\n")
    };
    let json = json!({
        "version": version, "counter": counter, "release": bundle.envelope.digest(),
        "head": head, "published": published.is_some(),
    });
    Ok(Answer::new(text, json))
}
