//! What keeps an agent from running at all. Everything else is a typed reason of a session, or a
//! degraded state.

use std::path::PathBuf;

use crate::config::ConfigError;
use crate::enrol::EnrolError;
use crate::join::JoinError;
use crate::journal::JournalFileError;
use crate::keeper::KeeperError;
use crate::ledger::LedgerError;
use crate::peer::tls::TlsError;
use crate::store::StoreError;

/// Why the agent cannot run.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the texts and the sources say it all")]
pub enum AgentError {
    #[error("the configuration cannot be used")]
    Config(#[from] ConfigError),
    #[error("the join file or policy cannot be used")]
    Join(#[from] JoinError),
    #[error("the state folder cannot be used")]
    Ledger(#[from] LedgerError),
    #[error("a file cannot be used")]
    File(#[from] e3_client::files::FileError),
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
    #[error("the trust state cannot be used")]
    Keeper(#[from] KeeperError),
    #[error("the journal does not verify")]
    Journal(#[from] JournalFileError),
    #[error("the hub cannot be used")]
    Hub(#[from] e3_client::hub::HubError),
    #[error("this machine cannot join its fleet")]
    Enrol(#[from] EnrolError),
    #[error("the identity cannot be used")]
    Tls(#[from] TlsError),
    #[error("cannot listen on {address}; is another agent running, or the port taken?")]
    Listen {
        address: String,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot listen on the socket {path}")]
    Socket {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("another agent is running on the state folder {path}")]
    Running { path: PathBuf },
    #[error("programs cannot be started here")]
    Launch(#[from] crate::party::LaunchError),
    #[error("no agent answers on {path}; start it with `e3-agent run`")]
    NoAgent {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the self-check failed: {0}")]
    SelfCheck(String),
    #[error("there is no session {0} here; `e3-agent status` lists them")]
    NoSession(String),
}
