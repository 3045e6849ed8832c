//! Whom the relay serves: a list in a file, read again when it changes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use e3_client::files;
use e3_core::mesh::link::{Id, RELAYED};
use iroh::EndpointId;
use iroh_relay::server::{Access, AccessControl, ClientRequest};

use super::certificate::Stamp;
use crate::error::chain;

/// Bytes of one entry: 64 digits, quotes, a comma and blanks.
const ENTRY: usize = 80;

/// Whom the relay serves.
#[derive(Debug)]
pub(super) struct Allowed {
    path: PathBuf,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    stamp: Stamp,
    ids: BTreeSet<[u8; 32]>,
}

impl Allowed {
    pub(super) fn new(path: &Path) -> Self {
        let allowed = Self {
            path: path.to_owned(),
            known: RwLock::default(),
        };
        allowed.look();
        allowed
    }

    /// Reads the list again if it has changed. Those who are no longer on it.
    pub(super) fn look(&self) -> Vec<EndpointId> {
        let stamp = Stamp::of(&[&self.path]);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if stamp == known.stamp {
            return Vec::new();
        }
        known.stamp = stamp;
        let ids = match read(&self.path) {
            Ok(ids) => ids,
            Err(why) => {
                tracing::error!(
                    why,
                    "the list of parties cannot be read; those of the last one are served"
                );
                return Vec::new();
            }
        };
        tracing::info!(parties = ids.len(), "the list of parties was read");
        let gone = known.ids.difference(&ids);
        let gone = gone
            .filter_map(|id| EndpointId::from_bytes(id).ok())
            .collect();
        known.ids = ids;
        gone
    }

    fn serves(&self, id: EndpointId) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.ids.contains(id.as_bytes())
    }
}

fn read(path: &Path) -> Result<BTreeSet<[u8; 32]>, String> {
    let bytes = files::read_bounded(path, RELAYED * ENTRY).map_err(|error| chain(&error))?;
    let ids: Vec<Id> = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    if ids.len() > RELAYED {
        return Err(format!(
            "it has {} entries; {RELAYED} is the most",
            ids.len()
        ));
    }
    Ok(ids.iter().map(|id| *id.as_bytes()).collect())
}

impl AccessControl for Allowed {
    async fn on_connect(&self, request: &ClientRequest) -> Access {
        let id = request.endpoint_id();
        if self.serves(id) {
            return Access::Allow;
        }
        // It may have been put on the list a moment ago. Who is taken off is cut off by the main loop.
        let stamp = Stamp::of(&[&self.path]);
        let is_new = stamp
            != self
                .known
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .stamp;
        if is_new && read(&self.path).is_ok_and(|ids| ids.contains(id.as_bytes())) {
            return Access::Allow;
        }
        tracing::debug!(key = %id.fmt_short(), "a stranger was turned away");
        Access::Deny {
            reason: Some("this key is not on the list".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_again_when_it_changes_and_kept_when_it_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("allow.json");
        let id = |seed| Id::from(e3_core::key::SecretKey::from_seed(&[seed; 32]).public());
        let endpoint = |seed| EndpointId::from_bytes(id(seed).as_bytes()).unwrap();
        let write = |ids: &[Id]| {
            files::write_atomic(&path, &serde_json::to_vec(ids).unwrap()).unwrap();
        };
        let allowed = Allowed::new(&path);
        assert!(!allowed.serves(endpoint(1)), "no list, nobody");
        write(&[id(1), id(2)]);
        assert!(allowed.look().is_empty());
        assert!(allowed.serves(endpoint(1)) && allowed.serves(endpoint(2)));
        write(&[id(2)]);
        assert_eq!(allowed.look(), [endpoint(1)]);
        assert!(!allowed.serves(endpoint(1)));
        files::write_atomic(&path, b"nonsense").unwrap();
        assert!(allowed.look().is_empty());
        assert!(allowed.serves(endpoint(2)), "the last good list counts");
    }
}
