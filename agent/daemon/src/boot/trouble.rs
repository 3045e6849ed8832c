//! From what keeps an agent from coming up to the typed reason that everybody is told.

use e3_core::degraded::Degraded;
use e3_core::trust::TrustError;

use crate::enrol::EnrolError;
use crate::error::AgentError;
use crate::journal::JournalFileError;
use crate::keeper::KeeperError;
use crate::ledger::LedgerError;
use crate::party::LaunchError;
use crate::text::chain;

/// The reason to tell.
pub(super) fn of(error: &AgentError) -> Degraded {
    let detail = chain(error);
    match error {
        AgentError::Ledger(error) => state(error),
        AgentError::Keeper(error) | AgentError::Enrol(EnrolError::Keeper(error)) => keeper(error),
        AgentError::Identity(error) => Degraded::IdentityUnusable {
            detail: chain(error),
        },
        AgentError::IdentityMissing { .. } => Degraded::IdentityMissing,
        AgentError::Tls(_) => Degraded::IdentityUnusable { detail },
        AgentError::OtherFleet { has, asked } => Degraded::OtherFleet {
            has: has.clone(),
            asked: asked.clone(),
        },
        AgentError::Enrol(error) => Degraded::EnrolmentRefused {
            detail: chain(error),
        },
        AgentError::Listen { address, source } => Degraded::CannotListen {
            address: address.clone(),
            detail: source.to_string(),
        },
        AgentError::Launch(LaunchError::Gate(_)) => Degraded::Disk { detail },
        AgentError::Launch(error) => Degraded::Supervisor {
            detail: chain(error),
        },
        AgentError::Config(error) => Degraded::Settings {
            detail: chain(error),
        },
        _ => Degraded::Disk { detail },
    }
}

fn keeper(error: &KeeperError) -> Degraded {
    match error {
        KeeperError::Trust(TrustError::StateMissing) => Degraded::TrustStateMissing,
        KeeperError::Trust(error) => Degraded::WrongRoot {
            detail: chain(error),
        },
        KeeperError::Ledger(error) | KeeperError::Journal(JournalFileError::Tail(error)) => {
            state(error)
        }
        KeeperError::Journal(error) => Degraded::Disk {
            detail: chain(error),
        },
    }
}

/// What is wrong with a file of the state.
pub(crate) fn state(error: &LedgerError) -> Degraded {
    match error {
        LedgerError::Damaged { path, source } => Degraded::StateDamaged {
            path: path.display().to_string(),
            detail: source.to_string(),
        },
        LedgerError::Gone { path } => Degraded::StateDamaged {
            path: path.display().to_string(),
            detail: "it is gone".to_owned(),
        },
        LedgerError::Newer { path, detail } => Degraded::StateNewer {
            path: path.display().to_string(),
            detail: detail.clone(),
        },
        LedgerError::File(error) => Degraded::Disk {
            detail: chain(error),
        },
    }
}
