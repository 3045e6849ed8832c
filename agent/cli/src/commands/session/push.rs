//! `e3 session push`: a signed bundle goes to the hub, and a new head names it.
//!
//! Everything that is uploaded is named by its hash, and the head comes last: a push that was cut off
//! at any point is finished by running it again, and running it twice changes nothing.

use e3_core::digest::{Blob, Digest};
use e3_core::document::{Role, Session, SessionRef};
use e3_core::envelope::Verified;
use e3_core::key::SecretKey;
use serde_json::json;

use super::find::open_bundle;
use super::watch;
use crate::args::{Global, SessionPush};
use crate::commands::fleet::publish::{LIFETIME, Published, over_at, publish};
use crate::commands::fleet::{OpenFleet, Stale};
use crate::commands::key;
use crate::error::Error;
use crate::manifest::bundle::Bundle;
use crate::manifest::consent::Signed;
use crate::output::progress::{Progress, Renderer};
use crate::output::{Answer, Output};

/// A session that the hub's head names.
#[derive(Debug, Clone)]
pub struct Pushed {
    /// The session.
    pub session: Verified<Session>,
    /// How the head names it.
    pub named: SessionRef,
    /// The head that does; nothing if the head did so already.
    pub published: Option<Published>,
}

/// Uploads envelope, program and MPyC, then publishes a head that names the session.
pub async fn push(
    fleet: &mut OpenFleet,
    bundle: &Bundle,
    key: &SecretKey,
    tell: &mut dyn FnMut(Progress),
) -> Result<Pushed, Error> {
    let subject = bundle.session.name.to_string();
    fleet.sync(Stale::Allow).await?;
    let session = open_bundle(fleet, bundle)?;
    consent_is_complete(fleet, bundle)?;
    if over_at(&session.document) <= fleet.now() || session.document.expires <= fleet.now() {
        let source = e3_core::trust::Refusal::Expired {
            expired: session.document.expires,
        };
        return Err(Error::Session {
            name: subject,
            source,
        });
    }
    let named = SessionRef::of(&session.document, &bundle.envelope);
    tell(Progress::going(&subject, "uploading the manifest"));
    let envelope = bundle.envelope.to_bytes();
    let stored = fleet.hub.put_session(envelope).await?;
    tell(Progress::going(&subject, "uploading the program"));
    upload(fleet, &stored, &session.document.program.pack, || {
        Ok(bundle.pack()?)
    })
    .await?;
    tell(Progress::going(&subject, "uploading MPyC"));
    upload(fleet, &stored, &session.document.mpyc.wheel, || {
        Ok(bundle.wheel()?)
    })
    .await?;
    tell(Progress::going(&subject, "publishing the head"));
    let published = publish(fleet, key, LIFETIME, |head| {
        let (name, counter) = (&named.name, named.counter);
        if head.revoked.contains(&named.manifest) {
            let source = e3_core::trust::Refusal::Revoked;
            return Err(Error::Session {
                name: name.to_string(),
                source,
            });
        }
        let same = |other: &SessionRef| other.name == *name && other.manifest != named.manifest;
        // Rule 8: the parties would refuse it, each by itself; here it is one clear error.
        if let Some(newer) = head
            .sessions
            .iter()
            .find(|other| same(other) && other.counter >= counter)
        {
            let (floor, found, name) = (newer.counter, counter, name.clone());
            let source = e3_core::trust::Refusal::Replayed { name, floor, found };
            return Err(Error::Session {
                name: named.name.to_string(),
                source,
            });
        }
        match head
            .sessions
            .iter_mut()
            .find(|other| other.manifest == named.manifest)
        {
            Some(old) if *old == named => return Ok(false),
            // The same manifest with more signatures.
            Some(old) => *old = named.clone(),
            None => head.sessions.push(named.clone()),
        }
        Ok(true)
    })
    .await?;
    let word = if published.is_some() {
        "published"
    } else {
        "was published before"
    };
    tell(Progress::ended(&subject, word));
    Ok(Pushed {
        session,
        named,
        published,
    })
}

/// With `consent = "all"` every party would refuse it; told here before anything is uploaded.
fn consent_is_complete(fleet: &OpenFleet, bundle: &Bundle) -> Result<(), Error> {
    let role: &Role = &fleet.trust.root.session;
    let signed = Signed::of(&bundle.envelope, &bundle.session, role);
    match signed.missing.first() {
        None => Ok(()),
        Some((owner, parties)) => {
            let party = parties
                .first()
                .cloned()
                .unwrap_or_else(|| bundle.session.name.clone());
            let source = e3_core::trust::Refusal::ConsentMissing {
                owner: *owner,
                party,
            };
            Err(Error::Session {
                name: bundle.session.name.to_string(),
                source,
            })
        }
    }
}

/// Uploads what the session names, unless it is there.
async fn upload(
    fleet: &OpenFleet,
    session: &Digest,
    blob: &Blob,
    bytes: impl FnOnce() -> Result<Vec<u8>, Error>,
) -> Result<(), Error> {
    if !fleet.hub.has_blob(blob).await? {
        fleet.hub.put_blob(session, bytes()?).await?;
    }
    Ok(())
}

pub(super) async fn run(
    args: &SessionPush,
    global: &Global,
    output: &Output,
) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    let key = key::read(args.key.as_deref())?;
    let bundle = Bundle::open(&args.bundle)?;
    let mut renderer = Renderer::new(output);
    let pushed = push(&mut fleet, &bundle, &key, &mut |event| {
        renderer.show(&event);
    })
    .await?;
    if args.watch {
        return watch::follow(&mut fleet, &pushed.session, args.timeout, output).await;
    }
    let name = &pushed.named.name;
    let head = fleet.head()?;
    let text = if pushed.published.is_some() {
        format!(
            "{name} is published: head {} names {}\n\nNext:\n  e3 session watch {name}\n",
            head.counter, pushed.named.manifest
        )
    } else {
        format!(
            "{name} was published before: head {} names {}\n",
            head.counter, pushed.named.manifest
        )
    };
    let json = json!({
        "session": name, "counter": pushed.named.counter, "manifest": pushed.named.manifest,
        "envelope": pushed.named.envelope.digest, "head": head.counter, "expires": pushed.session.document.expires,
        "published": pushed.published.is_some(),
        "dropped": pushed.published.as_ref().map(|p| p.dropped.clone()).unwrap_or_default(),
    });
    Ok(Answer::new(text, json))
}
