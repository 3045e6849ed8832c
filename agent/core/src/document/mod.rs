//! The documents that E3 signs. Each one is JSON inside an [`Envelope`](crate::envelope::Envelope),
//! has a payload type of its own (rule 2), and knows by itself whether it makes sense.
//!
//! What a document means for a machine (does it count, is it current, may it run) is not decided
//! here but in [`crate::trust`] and [`crate::session`].

mod enrolment;
mod head;
mod presence;
mod ready;
mod receipt;
mod release;
mod root;
mod session;
mod withdrawal;

use serde::{Serialize, de::DeserializeOwned};

pub use enrolment::{Enrolment, Invite, Token, TokenError};
pub use head::{Head, RootRef, SessionRef};
pub use presence::{MESH_ENDPOINTS, Mesh, Presence, Progress, SessionPresence};
pub use ready::{Machine, Ready};
pub use receipt::{Comparison, Exit, Outcome, OutputHash, Receipt, Timings};
pub use release::{Binary, Release};
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
