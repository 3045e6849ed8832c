//! What lies on the disk for one session.
//!
//! ```text
//! sessions/<manifest>/
//!   session.json     how the head names it
//!   envelope.json    the signed manifest
//!   checkpoint.json  the state machine's checkpoint
//!   work/            the unpacked program, while it runs
//!   inputs/          the named inputs, while it runs
//!   tls/             this party's TLS certificate and key, while it runs
//!   stdout, stderr   the program's output: the owner's
//!   output.key       opens the hash of an output that is not declared equal: the owner's
//!   facts.json       what the receipt will say, between the session's good end and the receipt
//!   receipt.json     the signed receipt
//!   published        it is on the hub
//! ```

use std::path::{Path, PathBuf};

use e3_client::files;
use e3_core::digest::Digest;
use e3_core::document::{Outcome, Receipt, SessionRef};
use e3_core::envelope::Envelope;
use e3_core::limits;
use e3_core::session::Checkpoint;
use e3_core::time::Time;

use crate::ledger::{self, Ledger, LedgerError};

/// A session's folder.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder of that session, which need not exist.
    pub fn of(ledger: &Ledger, manifest: &Digest) -> Self {
        Self(ledger.session(manifest))
    }

    /// Makes the folder of a session that was just fetched. The checkpoint comes last: without one
    /// there is no session. Returns false if there is one: whatever is fetched twice runs once.
    pub fn create(&self, named: &SessionRef, envelope: &[u8]) -> Result<bool, LedgerError> {
        if self.checkpoint()?.is_some() {
            return Ok(false);
        }
        files::private_folder(&self.0)?;
        files::write_private(&self.path("envelope.json"), envelope)?;
        ledger::save(&self.path("session.json"), named)?;
        self.save(&Checkpoint::Fetched)?;
        Ok(true)
    }

    /// How the head named the session.
    pub fn named(&self) -> Result<Option<SessionRef>, LedgerError> {
        ledger::load(&self.path("session.json"))
    }

    /// The signed manifest.
    pub fn envelope(&self) -> Result<Vec<u8>, LedgerError> {
        Ok(files::read_bounded(
            &self.path("envelope.json"),
            limits::ENVELOPE,
        )?)
    }

    /// The state to resume from.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>, LedgerError> {
        ledger::load(&self.path("checkpoint.json"))
    }

    /// Writes the state.
    pub fn save(&self, checkpoint: &Checkpoint) -> Result<(), LedgerError> {
        ledger::save(&self.path("checkpoint.json"), checkpoint)
    }

    /// Something in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The folder itself.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// Removes what only the run needed: program, inputs, TLS keys.
    pub fn clear_run(&self) {
        for part in ["work", "inputs", "tls"] {
            let path = self.path(part);
            if let Err(error) = std::fs::remove_dir_all(&path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "cannot remove what a run has left");
            }
        }
    }

    /// Whether the session's end is signed.
    pub fn has_receipt(&self) -> bool {
        self.path("receipt.json").is_file()
    }

    /// When the session ended, if the receipt says that it ended well.
    pub fn done_at(&self) -> Option<Time> {
        let bytes = files::read_bounded(&self.path("receipt.json"), limits::ENVELOPE).ok()?;
        let envelope = Envelope::parse(&bytes, limits::ENVELOPE).ok()?;
        // This party's own, from its own disk.
        let receipt: Receipt = envelope.unverified().ok()?;
        (receipt.outcome == Outcome::Done).then_some(receipt.finished)
    }

    /// Whether the receipt still has to reach the hub.
    pub fn is_unpublished(&self) -> bool {
        self.has_receipt() && !self.path("published").exists()
    }
}

#[cfg(test)]
mod tests {
    use e3_core::digest::Blob;

    use super::*;

    #[test]
    fn what_is_fetched_twice_does_not_begin_again() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder(root.path().join("session"));
        let named = SessionRef {
            name: "salaries".parse().unwrap(),
            counter: 1,
            manifest: Digest::of(b"manifest"),
            envelope: Blob::of(b"{}"),
        };
        assert!(folder.create(&named, b"{}").unwrap());
        let done = Checkpoint::Committed;
        folder.save(&done).unwrap();
        assert!(!folder.create(&named, b"other").unwrap());
        assert_eq!(folder.checkpoint().unwrap(), Some(done));
        assert_eq!(folder.envelope().unwrap(), b"{}");
    }
}
