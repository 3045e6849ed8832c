//! Publishing a head: the only thing on the hub that ever changes.
//!
//! Several owners may publish at the same time: each one signs the successor of the head it has read
//! and verified; the hub takes the first, the others read again and retry.

use std::time::Duration;

use e3_client::clock;
use e3_client::hub::HubError;
use e3_client::random;
use e3_core::digest::Digest;
use e3_core::document::{Head, Root, RootRef, Session};
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;
use e3_core::limits;
use e3_core::time::Time;
use e3_core::trust::Trust;

use super::{OpenFleet, Stale};
use crate::error::Error;

/// How long a head is good for if nobody says otherwise, in seconds: 14 days.
pub const LIFETIME: u64 = 14 * 86_400;
/// Somebody else came first this often: then it is no coincidence.
const ATTEMPTS: u32 = 8;

/// A head that is on the hub now.
#[derive(Debug, Clone)]
pub struct Published {
    /// What it says.
    pub head: Head,
    /// Sessions that were dropped because they are over, by manifest.
    pub dropped: Vec<Digest>,
}

/// Publishes the successor of the current head, as `edit` changes it, good for `lifetime` seconds
/// (never for less than the current one).
///
/// `edit` may be called several times, each time with the newest head; it returns false if there is
/// nothing to publish. Sessions that can run nowhere any more are dropped on the way.
pub async fn publish(
    fleet: &mut OpenFleet,
    key: &SecretKey,
    lifetime: u64,
    mut edit: impl FnMut(&mut Head) -> Result<bool, Error>,
) -> Result<Option<Published>, Error> {
    let mut attempt = 0;
    loop {
        let etag = fleet.sync(Stale::Allow).await?;
        let next = fleet.next_trust().await?;
        may_publish(&next.root, key)?;
        let mut head = fleet.head()?.clone();
        let dropped = drop_what_is_over(fleet, &mut head).await?;
        follow_root(&mut head, &next);
        if !edit(&mut head)? {
            return Ok(None);
        }
        let now = next.now(clock::now());
        head.counter = head.counter.saturating_add(1);
        head.signed = now;
        head.expires = head.expires.max(now.plus(lifetime));
        let bytes = sign(&mut head, key)?;
        if next.root.head.threshold > 1 {
            return Err(keep_for_others(fleet, &head, &bytes, &next.root)?);
        }
        match fleet.hub.put_head(bytes.clone(), Some(&etag)).await {
            Ok(()) => {
                fleet.take_head(&bytes, Stale::Refuse).await?;
                return Ok(Some(Published { head, dropped }));
            }
            // Also after an answer that was lost: the head is read again, and `edit` sees its own work.
            Err(HubError::Conflict) if attempt < ATTEMPTS => {
                attempt += 1;
                tokio::time::sleep(pause(attempt)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Longer and longer, and different for everybody, so that two owners do not meet again.
fn pause(attempt: u32) -> Duration {
    let random = u64::from(random::bytes32()[0]);
    Duration::from_millis((10 + random) << attempt.min(4) >> 2)
}

/// Whether the key may sign heads that stand on this root.
pub(super) fn may_publish(root: &Root, key: &SecretKey) -> Result<(), Error> {
    if root.head.keys.contains(&key.public()) {
        return Ok(());
    }
    Err(Error::NotAllowed {
        key: key.public().to_string(),
        role: "head",
    })
}

/// Puts the head on the newest root. In a new epoch everything starts afresh: counter, expiry, and what
/// was signed in the old one.
fn follow_root(head: &mut Head, trust: &Trust) {
    let Trust { root, floor, .. } = trust;
    head.root = RootRef {
        version: root.version,
        digest: floor.root_digest,
    };
    if head.epoch != root.epoch {
        head.epoch = root.epoch;
        head.counter = 0;
        head.expires = Time::MIN;
        head.sessions.clear();
        head.revoked.clear();
        head.release = None;
        head.meshes.clear();
    }
}

/// One signature is not enough: the head waits in a file for the others.
fn keep_for_others(
    fleet: &OpenFleet,
    head: &Head,
    bytes: &[u8],
    root: &Root,
) -> Result<Error, Error> {
    let digest = Digest::of(bytes).hex();
    let name = format!("head-{}-{}.json", head.counter, &digest[..8]);
    let path = fleet.file.folder.join(name);
    e3_client::files::write_atomic(&path, bytes)?;
    Ok(Error::MoreSignatures {
        counter: head.counter,
        threshold: root.head.threshold,
        path,
    })
}

/// Signs the head. If it has grown too large, older sessions of a name that has a newer one go first:
/// a party that has accepted the newer one refuses them anyway (rule 8).
fn sign(head: &mut Head, key: &SecretKey) -> Result<Vec<u8>, Error> {
    let signed = |head: &Head| {
        let envelope = Envelope::sign(head, &[key]);
        envelope
            .map(|e| e.to_bytes())
            .map_err(|source| Error::Document {
                what: "head",
                source,
            })
    };
    let fits = |bytes: &Result<Vec<u8>, Error>| {
        bytes
            .as_ref()
            .is_ok_and(|bytes| bytes.len() <= limits::HEAD)
    };
    let bytes = signed(head);
    if fits(&bytes) {
        return bytes;
    }
    let all = head.sessions.clone();
    head.sessions.retain(|old| {
        !all.iter()
            .any(|new| new.name == old.name && new.counter > old.counter)
    });
    let kept = &head.sessions;
    head.revoked
        .retain(|digest| kept.iter().any(|session| session.manifest == *digest));
    let bytes = signed(head);
    if fits(&bytes) {
        return bytes;
    }
    Err(Error::HeadFull {
        sessions: head.sessions.len(),
        size: bytes?.len(),
    })
}

/// When the last party must have ended a session: its head may forget it then, and not earlier, so that
/// it can still be watched and stopped.
pub fn over_at(session: &Session) -> Time {
    let deadlines = &session.deadlines;
    session.expires.plus(deadlines.preflight + deadlines.run)
}

/// Takes out what is over, and the revocations of it. What cannot be fetched or opened stays: only a
/// signed expiry is a reason to forget something.
async fn drop_what_is_over(fleet: &OpenFleet, head: &mut Head) -> Result<Vec<Digest>, Error> {
    let now = fleet.trust.now(clock::now());
    let mut over = Vec::new();
    for named in &head.sessions {
        match fleet.session(named).await {
            Ok(session) if over_at(&session.document) <= now => over.push(named.manifest),
            Err(Error::Hub(error)) if error.is_passing() => return Err(error.into()),
            _ => {}
        }
    }
    head.sessions
        .retain(|session| !over.contains(&session.manifest));
    head.revoked.retain(|digest| !over.contains(digest));
    Ok(over)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_short() {
        for attempt in 1..=ATTEMPTS {
            assert!(
                pause(attempt) >= Duration::from_millis(5)
                    && pause(attempt) < Duration::from_secs(2)
            );
        }
    }
}
