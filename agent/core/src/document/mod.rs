//! The documents that E3 signs. Each one is JSON inside an [`Envelope`](crate::envelope::Envelope),
//! has a payload type of its own (rule 2), and knows by itself whether it makes sense.
//!
//! What a document means for a machine (does it count, is it current, may it run) is not decided
//! here but in [`crate::trust`] and [`crate::session`].
//!
//! # Newer and older ones
//!
//! A reader takes a document whole or not at all. A field, or a word in a place for one of several, that it does not know makes
//! it refuse all of it: whoever skipped what he does not know would carry out half of what was signed, and it may be the half that
//! forbids something. The `v1` in the payload type stands for what the fields that are there mean; were that to change, it would be
//! `v2`, which an older reader refuses by its type.
//!
//! So that this keeps nobody out without need, every field that was added later is optional, and is not written unless it is used. A
//! newer `e3` writes heads that older agents take, until its owner chooses something that they do not know, such as another mesh;
//! and a newer agent's presence is taken by an older hub, until it has something new to tell. What follows:
//!
//! - **First the hub and the owner's command, then the agents, and then what is new.** `e3 fleet status` says which agent each party
//!   runs. The order matters: it is the head that names the agents' release, so an agent that cannot read the head is not
//!   updated by it either.
//! - An agent that refuses a head stays with the last one that it has taken (rule 11): it is in its mesh, ends what runs, and may
//!   start what that head names until it expires. The refusal is in its journal, with the field that it does not know.
//! - It takes the next head that it can read, whose counter is higher as always. So whoever was too quick takes back what is new
//!   (`e3 mesh drop`), updates the agents, and chooses it again.
//! - A hub that refuses a presence goes on with the last one that it has taken; the machine's own log says so.

mod enrolment;
mod head;
mod images;
mod login;
mod presence;
mod ready;
mod receipt;
mod release;
mod request;
mod root;
mod session;
mod withdrawal;

use serde::{Serialize, de::DeserializeOwned};

pub use enrolment::{Enrolment, Invite, Token, TokenError};
pub use head::{Head, RootRef, SessionRef};
pub use images::{Images, PublishedImage};
pub use login::Login;
pub use presence::{MESH_ENDPOINTS, Mesh, Presence, Progress, SessionPresence};
pub use ready::{Machine, Ready};
pub use receipt::{Comparison, Exit, Outcome, OutputHash, Receipt, Timings};
pub use release::{Binary, Release};
pub use request::{Ask, AskRefusal, FRESH, LINES, PartyAnswer, PartyRequest, Report};
pub use root::{Role, RoleName, Root};
pub use session::{
    Consent, Deadlines, Limits, Module, Mpyc, OutputRule, Party, Program, Session,
    file_name_is_safe,
};
pub use withdrawal::Withdrawal;

/// A document that can be signed.
pub trait Document: Serialize + DeserializeOwned {
    /// The word in its payload type `application/vnd.e3.<KIND>.v1+json`.
    const KIND: &'static str;

    /// Whether its parts fit together; called before signing and after verifying.
    fn check(&self) -> Result<(), DocumentError>;

    /// The payload type.
    fn payload_type() -> String {
        format!("application/vnd.e3.{}.v1+json", Self::KIND)
    }
}

/// Why a document makes no sense, whoever signed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Not the JSON that its type asks for.
    #[error("the document is not what its type says: {0}")]
    Json(String),
    /// A field contradicts another one or a limit.
    #[error("`{field}`: {problem}")]
    Field {
        /// Which field, as a path.
        field: String,
        /// What is wrong with it and what would be right.
        problem: String,
    },
}

impl DocumentError {
    pub(crate) fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Field {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

/// Fails with `problem` at `field` unless `holds`.
pub(crate) fn ensure(holds: bool, field: &str, problem: &str) -> Result<(), DocumentError> {
    if holds {
        Ok(())
    } else {
        Err(DocumentError::field(field, problem))
    }
}
