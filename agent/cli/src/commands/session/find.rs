//! Which session a person means: by its name, its manifest's digest, or its bundle.

use std::path::Path;

use e3_core::digest::Digest;
use e3_core::document::{Session, SessionRef};
use e3_core::envelope::Verified;

use crate::commands::fleet::OpenFleet;
use crate::error::Error;
use crate::manifest::bundle::Bundle;

/// Finds and opens the session, and verifies that the fleet has signed it.
///
/// Of several sessions of one name it is the newest. Only names and digests need a head; a bundle is
/// enough by itself, also for a session that the head has forgotten.
pub async fn find(fleet: &OpenFleet, word: &str) -> Result<Verified<Session>, Error> {
    if is_bundle(word) {
        return open_bundle(fleet, &Bundle::open(Path::new(word))?);
    }
    let head = fleet.head()?;
    let digest = word.parse::<Digest>().ok();
    let named = |session: &&SessionRef| match digest {
        Some(digest) => session.manifest == digest || session.envelope.digest == digest,
        None => session.name.as_str() == word,
    };
    let newest = head
        .sessions
        .iter()
        .filter(named)
        .max_by_key(|session| session.counter);
    let Some(session) = newest else {
        let mut names: Vec<String> = head
            .sessions
            .iter()
            .map(|session| session.name.to_string())
            .collect();
        names.sort();
        names.dedup();
        return Err(Error::NoSuchSession(word.to_owned(), names));
    };
    fleet.session(session).await
}

/// Opens a bundle's session as the fleet sees it: enough of its session keys must have signed.
pub fn open_bundle(fleet: &OpenFleet, bundle: &Bundle) -> Result<Verified<Session>, Error> {
    fleet.open_session(bundle.session.name.as_str(), &bundle.envelope.to_bytes())
}

/// Names have no slashes and no dots, so a word with one, or something that is there, is a path.
pub fn is_bundle(word: &str) -> bool {
    let is_digest = word.starts_with("sha256:");
    !is_digest && (word.contains(['/', '.']) || Path::new(word).is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart() {
        assert!(is_bundle("./x") && is_bundle("salary.session"));
        assert!(!is_bundle("salary-2026") && !is_bundle(&Digest::of(b"x").to_string()));
    }
}
