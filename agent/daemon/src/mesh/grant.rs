//! The certificate for this machine's key: kept on the disk, asked for when it is missing, and again before it expires.

use std::time::Duration;

use e3_client::files::{private_folder, read_bounded, write_atomic};
use e3_core::envelope::Envelope;
use e3_core::limits;
use e3_core::mesh::{MeshGrant, Nebula, NotJoined};
use e3_core::time::Time;

use super::key::folder;
use crate::shared::Shared;
use crate::sync::jitter;

/// Seconds before its end from which on a newer certificate is asked for: they are signed by hand now and then.
const RENEWAL: i64 = 30 * 24 * 3600;
/// At most so much of what it is good for.
const SHARE: i64 = 3;

/// Seconds that a clock may be behind the one of whoever has signed.
const SKEW: i64 = 5;

/// A certificate for `key` that is good now, of an authority that the head names, and not revoked.
pub(super) async fn have(
    shared: &Shared,
    backend: &'static str,
    key: &str,
    nebula: &Nebula,
) -> Result<MeshGrant, NotJoined> {
    let path = folder(shared, backend).join("grant.json");
    let kept = read_bounded(&path, limits::ENVELOPE);
    // It was verified when it came. Should the root drop who signed it, its authority in the head is what counts.
    let kept = kept
        .ok()
        .and_then(|bytes| Envelope::parse(&bytes, limits::ENVELOPE).ok())
        .and_then(|envelope| envelope.unverified::<MeshGrant>().ok())
        .filter(|grant| grant.key == key && nebula.has(&grant.authority));
    let revoked = &nebula.revoked;
    let now = shared.keeper().now();
    let is_good = |grant: &MeshGrant| now < grant.expires && !revoked.contains(&grant.fingerprint);
    let settled = kept
        .clone()
        .filter(|grant| is_good(grant) && !ends_soon(grant, now));
    if let Some(grant) = settled {
        return in_time(grant);
    }
    let asked = shared.hub.grant(backend, &shared.me()).await;
    let newest = match asked {
        Ok(Some(bytes)) => open(shared, backend, key, &bytes)
            .filter(|grant| nebula.has(&grant.authority))
            .map(|grant| (grant, bytes)),
        Ok(None) => None,
        Err(error) if kept.as_ref().is_some_and(is_good) => {
            tracing::debug!(error = %crate::text::chain(&error), "the hub cannot be asked for a newer certificate");
            None
        }
        Err(error) => {
            let detail = crate::text::chain(&error);
            return Err(NotJoined::Hub { detail });
        }
    };
    let newer = newest.filter(|(new, _)| kept.as_ref().is_none_or(|old| old.signed < new.signed));
    let best = match newer {
        Some((grant, bytes)) => {
            let keep =
                private_folder(&folder(shared, backend)).and_then(|()| write_atomic(&path, &bytes));
            if let Err(error) = keep {
                tracing::warn!(error = %crate::text::chain(&error), "a certificate cannot be kept");
            }
            Some(grant)
        }
        None => kept,
    };
    match best {
        None => Err(NotJoined::NeedsApproval),
        Some(grant) if revoked.contains(&grant.fingerprint) => Err(NotJoined::CertificateRevoked),
        Some(grant) if grant.expires <= now => Err(NotJoined::CertificateExpired {
            since: grant.expires,
        }),
        Some(grant) => in_time(grant),
    }
}

/// The mesh's daemon has the system's clock, whatever ours is lifted to, and refuses what is signed in its future.
fn in_time(grant: MeshGrant) -> Result<MeshGrant, NotJoined> {
    match grant.signed.since(e3_client::clock::now()) {
        seconds if seconds > SKEW => Err(NotJoined::ClockWrong { seconds }),
        _ => Ok(grant),
    }
}

/// Resolves when the certificate is to be looked at again: never where there is none.
pub(super) async fn due(shared: &Shared, grant: Option<&MeshGrant>) {
    let Some(grant) = grant else {
        return std::future::pending().await;
    };
    let now = shared.keeper().now();
    // In steps, since the clock may be set; and not past its end, which is to be told.
    let left = grant.expires.since(now).max(1);
    let left = Duration::from_secs(left.unsigned_abs());
    tokio::time::sleep(jitter(shared.settings.poll).min(left)).await;
}

/// Whether it is time for a newer one.
fn ends_soon(grant: &MeshGrant, now: Time) -> bool {
    let ahead = RENEWAL.min(grant.expires.since(grant.signed) / SHARE);
    grant.expires.since(now) < ahead
}

/// One that the fleet has signed for this machine's key.
fn open(shared: &Shared, backend: &str, key: &str, bytes: &[u8]) -> Option<MeshGrant> {
    let root = shared.keeper().trust().root.clone();
    let grant = MeshGrant::open(bytes, &root, &shared.me(), backend);
    let grant = grant.inspect_err(
        |error| tracing::warn!(error = %crate::text::chain(error), "a certificate is refused"),
    );
    grant.ok().filter(|grant| grant.key == key)
}
