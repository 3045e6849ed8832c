//! What a head that comes in leads to: roots, revocations, releases, sessions to be fetched.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use e3_core::degraded::Degraded;
use e3_core::digest::Digest;
use e3_core::document::SessionRef;
use e3_core::trust::TrustError;

use super::{Agent, Input};
use crate::board::Source;
use crate::boot::MEET_RETRY;
use crate::error::AgentError;
use crate::keeper::KeeperError;
use crate::session::driver::Command;
use crate::sync;

/// For walking the root chain; the rest of it is walked with the next head.
const ROOTS: Duration = Duration::from_secs(30);
/// Sessions remembered as somebody else's, so that they are not fetched again.
const IGNORED: usize = 4096;

impl Agent {
    pub(super) async fn take_head(&mut self, bytes: &[u8]) {
        // Bounded, or a slow hub would hold up everything else.
        match tokio::time::timeout(ROOTS, self.walk_roots(bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %crate::text::chain(&error), "the root chain cannot be walked");
            }
            Err(_) => tracing::warn!("the hub is too slow with the root chain"),
        }
        let accepted = self.shared.keeper().accept_head(bytes);
        match accepted {
            Ok(_) => {
                self.shared.board.trusts(self.shared.keeper().trust());
                self.shared.board.degraded(Source::Head, None);
                self.shared.board.degraded(Source::Disk, None);
            }
            Err(error) => {
                let detail = crate::text::chain(&error);
                tracing::warn!(error = %detail, "a head is refused");
                // Rule 11: the last good state stays; what is running goes on.
                let (source, reason) = match error {
                    KeeperError::Trust(TrustError::Expired { .. }) => (
                        Source::Head,
                        sync::unusable(&self.shared, Degraded::HeadExpired),
                    ),
                    KeeperError::Trust(TrustError::FromTheFuture { .. }) => (
                        Source::Head,
                        sync::unusable(&self.shared, Degraded::HubContradicts { detail }),
                    ),
                    KeeperError::Trust(_) => (Source::Head, Degraded::HubContradicts { detail }),
                    _ => (Source::Disk, Degraded::Disk { detail }),
                };
                return self.shared.board.degraded(source, Some(reason));
            }
        }
        let Some(head) = self.shared.keeper().head().cloned() else {
            return;
        };
        self.updater.head(head.release);
        self.shared.plans.send_if_modified(|plans| {
            let is_new = *plans != head.meshes;
            plans.clone_from(&head.meshes);
            is_new
        });
        for manifest in &head.revoked {
            if let Some(session) = self.running.get(manifest) {
                let _ = session.try_send(Command::Stop);
            }
        }
        for named in head.sessions {
            if !head.revoked.contains(&named.manifest) && self.seen.insert(named.manifest) {
                self.fetch(named);
            }
        }
        if self.seen.len() > IGNORED {
            let known: HashSet<Digest> = self.shared.ledger.sessions().into_iter().collect();
            self.seen.retain(|manifest| known.contains(manifest));
        }
    }

    /// Rule 4: one root at a time, as far as the head says there are any.
    async fn walk_roots(&self, head: &[u8]) -> Result<(), AgentError> {
        let missing = self
            .shared
            .keeper()
            .trust()
            .missing_roots(head)
            .map_err(KeeperError::from)?;
        for version in missing {
            let Some(root) = self.shared.hub.root(version).await? else {
                break;
            };
            self.shared.keeper().accept_root(&root)?;
        }
        Ok(())
    }

    fn fetch(&self, named: SessionRef) {
        let (shared, inputs) = (self.shared.clone(), self.inputs.clone());
        let fetching = Arc::clone(&self.fetching);
        tokio::spawn(async move {
            let fetching = fetching;
            let mut pause = Duration::from_millis(200);
            loop {
                match shared.hub.blob(&named.envelope).await {
                    Ok(bytes) => {
                        return drop(inputs.send(Input::Fetched(Box::new(named), bytes)).await);
                    }
                    Err(error) => {
                        tracing::warn!(session = %named.name, error = %crate::text::chain(&error), "a session cannot be fetched");
                    }
                }
                // The head may have moved on meanwhile.
                let current = |head: &e3_core::document::Head| head.sessions.contains(&named);
                if !shared.keeper().head().is_some_and(current) {
                    drop(fetching);
                    return drop(inputs.send(Input::Ended(named.manifest)).await);
                }
                tokio::time::sleep(sync::jitter(pause)).await;
                pause = (pause * 2).min(MEET_RETRY);
            }
        });
    }
}
