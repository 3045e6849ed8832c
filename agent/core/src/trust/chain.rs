//! Rule 4: the root chain, walked one version at a time.
//!
//! Follows the client workflow of the TUF specification, section 5.3: root N+1 needs the thresholds
//! of N and of N+1, and its version is exactly N+1.

use super::TrustError;
use crate::digest::Digest;
use crate::document::Root;
use crate::envelope::{Envelope, Verified};
use crate::limits;

/// Opens the first root: self-signed to its own threshold, and pinned by the join file.
pub fn first(bytes: &[u8], pinned: &Digest) -> Result<Verified<Root>, TrustError> {
    let envelope = parse(bytes)?;
    let found = envelope.digest();
    if found != *pinned {
        return Err(TrustError::RootPin {
            pinned: *pinned,
            found,
        });
    }
    self_signed(&envelope)
}

/// Takes the step from `current` to the root in `bytes`.
pub fn next(current: &Root, bytes: &[u8]) -> Result<Verified<Root>, TrustError> {
    let envelope = parse(bytes)?;
    // Signed by the old root's keys ...
    envelope
        .verify::<Root>(&current.root.keys, current.root.threshold)
        .map_err(refused)?;
    // ... and by its own: a new root that its own keys cannot sign would end the chain.
    let new = self_signed(&envelope)?;
    let root = &new.document;
    if root.fleet != current.fleet {
        let (expected, found) = (current.fleet.clone(), root.fleet.clone());
        return Err(TrustError::OtherFleet {
            document: "root",
            expected,
            found,
        });
    }
    if Some(root.version) != current.version.checked_add(1) {
        return Err(TrustError::RootVersion {
            current: current.version,
            found: root.version,
        });
    }
    if root.epoch != current.epoch && Some(root.epoch) != current.epoch.checked_add(1) {
        return Err(TrustError::RootEpoch {
            current: current.epoch,
            found: root.epoch,
        });
    }
    Ok(new)
}

fn parse(bytes: &[u8]) -> Result<Envelope, TrustError> {
    Envelope::parse(bytes, limits::ENVELOPE).map_err(refused)
}

fn self_signed(envelope: &Envelope) -> Result<Verified<Root>, TrustError> {
    let claimed: Root = envelope.unverified().map_err(refused)?;
    envelope
        .verify(&claimed.root.keys, claimed.root.threshold)
        .map_err(refused)
}

fn refused(source: crate::envelope::EnvelopeError) -> TrustError {
    TrustError::Envelope {
        document: "root",
        source,
    }
}
