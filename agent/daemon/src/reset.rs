//! `e3-agent trust reset`: the owner's word that trust state which is gone or damaged may be replaced
//! (rule 12 forbids the agent to do so by itself).
//!
//! The word is a file beside the state. The agent takes it when, and only when, it has no trust state
//! that it can read: it keeps the damaged file under another name, fetches the root that the join
//! file pins, and raises the floor as far as its journal and its session folders remember.

use e3_client::files;
use e3_core::trust::{Trust, TrustError, floor::Mark};
use serde_json::json;

use crate::commands::Answer;
use crate::error::AgentError;
use crate::journal;
use crate::keeper::{Keeper, KeeperError};
use crate::ledger::{Ledger, LedgerError};
use crate::session::folder::Folder;

/// How the journal tells a head's counter: [`Keeper`] writes it, [`recall`] reads it.
pub const COUNTER: &str = "counter ";

/// What the owner must have read before the word is given.
const WARNING: &str = "This machine has lost what it knew to be the newest documents of its fleet. After a reset it begins \
again at the root that its join file pins, and takes from its journal and its sessions what they still \
remember. Older documents that are still valid could be played back to it until it has seen newer ones. \
Identity, journal, receipts and results stay. No session runs a second time.";

/// Gives the word, if the trust state is really gone or damaged and `confirm` names this machine.
pub fn ask(ledger: &Ledger, confirm: Option<&str>) -> Result<Answer, AgentError> {
    match Keeper::load(ledger) {
        Ok(_) => return Err(AgentError::NothingToReset),
        Err(error) if can_help(&error) => {}
        Err(error) => return Err(error.into()),
    }
    let key = files::read_key(&ledger.identity()).map_err(AgentError::Identity)?;
    let party = key.public().to_string();
    if confirm != Some(party.as_str()) {
        return Err(AgentError::Unconfirmed {
            warning: WARNING,
            party,
        });
    }
    files::write_private(&ledger.reset(), b"")?;
    Ok(Answer {
        is_bad: false,
        json: json!({ "reset": "asked", "party": party }),
        text: "The agent takes this up within seconds if it runs, or when it starts; see `e3-agent status`.\n".to_owned(),
    })
}

/// Whether the word was given.
pub fn is_asked(ledger: &Ledger) -> bool {
    ledger.reset().exists()
}

/// Whether a reset is an answer to `error`. To a full disk or a newer format it is not.
pub const fn can_help(error: &KeeperError) -> bool {
    matches!(
        error,
        KeeperError::Trust(TrustError::StateMissing)
            | KeeperError::Ledger(LedgerError::Damaged { .. })
    )
}

/// A word that was not needed does not lie about until it does harm.
pub fn forget(ledger: &Ledger) {
    let _ = std::fs::remove_file(ledger.reset());
}

/// Puts the damaged file aside, and raises a first contact's floor to what is remembered.
pub fn recall(ledger: &Ledger, trust: &mut Trust) -> Result<(), LedgerError> {
    let path = ledger.trust();
    if path.exists() {
        let aside = path.with_extension("damaged");
        std::fs::rename(&path, &aside).map_err(|source| files::FileError::Io {
            action: "cannot rename",
            path,
            source,
        })?;
    }
    let mut head = None;
    // As far as it can be read; what comes after a broken line counts for nothing.
    let _ = journal::read(&ledger.journal(), |entry| {
        let counter = entry.detail.strip_prefix(COUNTER);
        let counter = counter.and_then(|text| text.parse::<u64>().ok());
        if let (Some(counter), Some(digest)) = (counter, entry.digest)
            && (entry.subject.as_str(), entry.verdict.as_str()) == ("head", "accepted")
        {
            head = Some(Mark { counter, digest });
        }
    });
    let sessions = ledger.sessions().into_iter().filter_map(|manifest| {
        let named = Folder::of(ledger, &manifest).named().ok()??;
        let counter = named.counter;
        let digest = manifest;
        Some((named.name, Mark { counter, digest }))
    });
    trust.floor.recall(head, sessions);
    Ok(())
}

/// Writes down that the owner's word was taken, and that it is used up.
pub fn conclude(ledger: &Ledger, keeper: &mut Keeper) -> Result<(), KeeperError> {
    if !is_asked(ledger) {
        return Ok(());
    }
    let root = keeper.trust().floor.root_digest;
    keeper.note("trust", "reset", Some(root), "by the owner's word")?;
    tracing::warn!("the trust state was replaced by the owner's word");
    forget(ledger);
    Ok(())
}
