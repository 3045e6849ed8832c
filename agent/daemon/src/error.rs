//! What goes wrong with the agent itself. An agent that runs goes on in nearly all of it: see
//! [`crate::boot`], which makes typed reasons of these errors.

use std::path::PathBuf;

use e3_core::name::Name;

use crate::config::ConfigError;
use crate::enrol::EnrolError;
use crate::journal::JournalFileError;
use crate::keeper::KeeperError;
use crate::ledger::LedgerError;
use crate::peer::tls::TlsError;
use crate::store::StoreError;
use e3_client::join::JoinError;

/// Why the agent, or one of its commands, cannot do what it should.
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
    #[error("the identity key cannot be used")]
    Identity(#[source] e3_client::files::FileError),
    #[error("{path} is gone, and this machine has been a party before")]
    IdentityMissing { path: PathBuf },
    #[error("the join file is of fleet {asked}, and this machine belongs to {has}")]
    OtherFleet { has: Name, asked: Name },
    #[error("the join file has changed")]
    JoinFileChanged,
    #[error("the trust state is there and whole; there is nothing to reset")]
    NothingToReset,
    #[error("{warning}\nTo do it, run: e3-agent trust reset --confirm {party}")]
    Unconfirmed {
        warning: &'static str,
        party: String,
    },
    #[error("cannot listen on {address}; is another agent running, or the port taken?")]
    Listen {
        address: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the agent cannot begin")]
    Runtime(#[source] std::io::Error),
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
    #[error("cannot write the bundle {path}")]
    Bundle {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the self-check failed: {0}")]
    SelfCheck(String),
    #[error("there is no session {0} here; `e3-agent status` lists them")]
    NoSession(String),
    #[error(
        "the session {0} has printed nothing here: it failed before, or has not begun; `e3-agent status` says which"
    )]
    NoOutput(String),
}
