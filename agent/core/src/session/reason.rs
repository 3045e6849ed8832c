//! Why a session failed, as a type: each reason names what was pinned and what was found.
//!
//! [`Failure`] adds whose fault it is. The text for people is in [`words`].

mod words;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::document::{DocumentError, ensure};
use crate::limits;
use crate::reasons;
use crate::trust::Refusal;

/// Whose fault, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The party's place in the manifest.
    pub party: usize,
    /// What happened there.
    pub reason: Reason,
}

/// What went wrong at one party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reason {
    /// Its owner's policy, or the trust rules, refuse the session.
    Refused {
        /// The rule that was broken.
        refusal: Refusal,
    },
    /// The program on its disk is not the one in the manifest.
    ProgramMismatch {
        /// What the manifest pins.
        pinned: Digest,
        /// What is there.
        has: Digest,
    },
    /// MPyC reports another version than the manifest pins.
    MpycMismatch {
        /// What the manifest pins.
        pinned: String,
        /// What is there.
        has: String,
    },
    /// MPyC's files are not the ones in the manifest.
    MpycFileMismatch {
        /// What the manifest pins.
        pinned: Digest,
        /// What is there.
        has: Digest,
    },
    /// Something that the session needs could not be fetched.
    Unavailable {
        /// What, for example `mpyc-0.11-py3-none-any.whl`.
        what: String,
        /// Where it was looked for and what was answered.
        detail: String,
    },
    /// There is no usable Python.
    PythonMissing {
        /// What was tried.
        detail: String,
    },
    /// Python is older than 3.10.
    PythonTooOld {
        /// Its version.
        has: String,
    },
    /// A module that the manifest asks for is not installed; it is never installed silently.
    ModuleMissing {
        /// Its name.
        module: String,
    },
    /// A module has another version than the manifest asks for.
    ModuleMismatch {
        /// Its name.
        module: String,
        /// What the manifest pins.
        pinned: String,
        /// What is there.
        has: String,
    },
    /// MPyC would run with other word sizes than the rest.
    WordSizeMismatch {
        /// Most parties' word size.
        expected: u32,
        /// This party's.
        has: u32,
    },
    /// Its clock is too far off.
    ClockSkew {
        /// Seconds ahead of the reporting party.
        seconds: i64,
    },
    /// It signed a `Ready` that contradicts the manifest or its own place.
    BadReady {
        /// What was wrong.
        detail: String,
    },
    /// It was not there before the preflight deadline.
    Missing {
        /// The deadline.
        seconds: u64,
    },
    /// It was there and is gone: its agent died, its machine stopped, or the network parted.
    Lost,
    /// It saw the others' proof of readiness differ from what they sent: somebody equivocates.
    BarrierMismatch,
    /// MPyC's port is taken on its machine.
    PortInUse {
        /// The port.
        port: u16,
        /// Who holds it, if that can be told.
        holder: Option<String>,
    },
    /// Somebody else showed up in its place at MPyC's port.
    Impostor,
    /// The program did not start MPyC in time, so no other party could connect to it.
    NotStarted {
        /// The deadline.
        seconds: u64,
        /// The places of the other parties of which the same is true.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        others: Vec<usize>,
    },
    /// MPyC did not connect all parties in time.
    NotConnected {
        /// The deadline.
        seconds: u64,
        /// Who dials whom in vain, by their places. Of several pairs the party is named that most
        /// have in common; of a single one nobody can tell whose fault it is, and the dialled one is.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pairs: Vec<(usize, usize)>,
        /// MPyC's last error where it dials in vain.
        detail: String,
    },
    /// The program ended with this code.
    Exited {
        /// The exit code.
        code: i32,
        /// The type of the Python exception, never its text: that may hold private values.
        exception: Option<String>,
    },
    /// The program was killed by this signal.
    Killed {
        /// The signal.
        signal: i32,
    },
    /// The program did not end in time. MPyC does not tell who kept whom waiting: of several parties
    /// the first is named, and nothing more is claimed than that its program had not ended.
    TimedOut {
        /// The deadline.
        seconds: u64,
        /// The places of the other parties whose programs had not ended either.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        others: Vec<usize>,
    },
    /// The program printed more than it may.
    OutputTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// An output that the manifest declares equal differs from the other parties'.
    OutputDiffers {
        /// Which one.
        output: String,
    },
    /// Its agent was stopped or killed when it could no longer be resumed, and has come back.
    AgentRestarted,
    /// Its owner, or the session's signers by way of the head, stopped the session.
    Stopped,
    /// Its disk cannot take what must be written.
    Disk {
        /// The path and the error.
        detail: String,
    },
    /// It is not in the mesh by which the parties of the session reach each other.
    NotInMesh {
        /// Which.
        mesh: String,
        /// What keeps it out.
        detail: String,
    },
    /// The head has expired and no newer one can be had (rule 11).
    HeadExpired,
    /// The service manager refused.
    Supervisor {
        /// The unit or command, and the error.
        detail: String,
    },
}

impl Failure {
    /// This failure of that party.
    pub const fn at(party: usize, reason: Reason) -> Self {
        Self { party, reason }
    }

    /// Whether it is short enough to travel, and names a place that can exist.
    pub(crate) fn check(&self, field: &str) -> Result<(), DocumentError> {
        ensure(
            self.party < limits::PARTIES,
            field,
            "names a party beyond the 64 that a session can have",
        )?;
        self.reason.check(field)
    }

    /// The same with every text cleaned and cut, as [`Reason::cleaned`] does.
    #[must_use]
    pub fn cleaned(&self) -> Self {
        Self {
            party: self.party,
            reason: self.reason.cleaned(),
        }
    }
}

impl Reason {
    /// The word that scripts compare, for example `mpyc-mismatch`: the `kind` of the JSON form.
    pub fn kind(&self) -> String {
        reasons::kind(self)
    }

    /// Whether it says that MPyC did not connect in time.
    pub(super) const fn is_of_connecting(&self) -> bool {
        matches!(self, Self::NotStarted { .. } | Self::NotConnected { .. })
    }

    /// Whether it is short enough to travel.
    pub(crate) fn check(&self, field: &str) -> Result<(), DocumentError> {
        reasons::check(self, field)
    }

    /// The same with every text on one line, without control characters, and cut after 300
    /// characters, and every list cut after 64 entries: an error of the operating system or another
    /// party's words go into documents and onto screens only like this.
    #[must_use]
    pub fn cleaned(&self) -> Self {
        reasons::cleaned(self)
    }
}
