//! Why a session failed, as a type: each reason names what was pinned and what was found.
//!
//! [`Failure`] adds whose fault it is. Text for people is made here and nowhere else, so that the
//! agent, the hub and the owner's command say the same words.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
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
    /// MPyC did not connect all parties in time.
    NotConnected {
        /// The deadline.
        seconds: u64,
        /// MPyC's last error.
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
    /// The program did not end in time.
    TimedOut {
        /// The deadline.
        seconds: u64,
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
    /// Trust state that the machine has had is gone (rule 12).
    TrustStateMissing,
    /// The head has expired and no newer one can be had (rule 11).
    HeadExpired,
    /// The hub shows something that contradicts what this party has verified before.
    HubContradicts {
        /// What.
        detail: String,
    },
    /// The service manager refused.
    Supervisor {
        /// The unit or command, and the error.
        detail: String,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { refusal } => write!(f, "it refuses the session: {refusal}"),
            Self::ProgramMismatch { pinned, has } => {
                write!(f, "its copy of the program is not the signed one (has {}, signed {})", has.short(), pinned.short())
            }
            Self::MpycMismatch { pinned, has } => write!(f, "it has MPyC {has}, the manifest pins {pinned}"),
            Self::MpycFileMismatch { pinned, has } => {
                write!(f, "its copy of MPyC is not the pinned one (has {}, pinned {})", has.short(), pinned.short())
            }
            Self::Unavailable { what, detail } => write!(f, "{what} could not be fetched: {detail}"),
            Self::PythonMissing { detail } => write!(f, "no usable Python: {detail}"),
            Self::PythonTooOld { has } => write!(f, "it has Python {has}; MPyC needs 3.10 or newer"),
            Self::ModuleMissing { module } => write!(f, "the Python module {module} is not installed"),
            Self::ModuleMismatch { module, pinned, has } => {
                write!(f, "it has {module} {has}, the manifest pins {pinned}")
            }
            Self::WordSizeMismatch { expected, has } => {
                write!(f, "its Python has {has} bits, the others' {expected}; set `mixed_word_sizes = true` to allow it")
            }
            Self::ClockSkew { seconds } => write!(f, "its clock is {seconds} s off; set it or turn on time sync"),
            Self::BadReady { detail } => write!(f, "it sent a wrong proof of readiness: {detail}"),
            Self::Missing { seconds } => write!(f, "it was not there within {seconds} s; is it running and reachable?"),
            Self::Lost => write!(f, "it was lost: its agent died, its machine stopped, or the network parted"),
            Self::BarrierMismatch => write!(f, "it saw other proofs of readiness than the rest"),
            Self::PortInUse { port, holder: Some(holder) } => write!(f, "port {port} is held by {holder}"),
            Self::PortInUse { port, holder: None } => write!(f, "port {port} is held by another process"),
            Self::NotConnected { seconds, detail } if detail.is_empty() => {
                write!(f, "MPyC did not connect all parties within {seconds} s")
            }
            Self::NotConnected { seconds, detail } => {
                write!(f, "MPyC did not connect all parties within {seconds} s ({detail})")
            }
            Self::Exited { code, exception: Some(exception) } => {
                write!(f, "the program ended with exit code {code} ({exception})")
            }
            Self::Exited { code, exception: None } => write!(f, "the program ended with exit code {code}"),
            Self::Killed { signal } => write!(f, "the program was killed by signal {signal}"),
            Self::TimedOut { seconds } => write!(f, "the program did not end within {seconds} s"),
            Self::OutputTooLarge { limit } => write!(f, "the program printed more than {limit} bytes"),
            Self::OutputDiffers { output } => write!(f, "its {output} differs from the other parties'"),
            Self::AgentRestarted => write!(f, "its agent was restarted in the middle of the session"),
            Self::Stopped => write!(f, "the session was stopped"),
            Self::Disk { detail } => write!(f, "its disk failed: {detail}"),
            Self::TrustStateMissing => write!(f, "its trust state is gone; its owner must look into it"),
            Self::HeadExpired => write!(f, "the fleet's head has expired; renew it with `e3 hub renew`"),
            Self::HubContradicts { detail } => write!(f, "the hub contradicts itself: {detail}"),
            Self::Supervisor { detail } => write!(f, "the program could not be started: {detail}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "party {}: {}", self.party, self.reason)
    }
}

impl Failure {
    /// This failure of that party.
    pub const fn at(party: usize, reason: Reason) -> Self {
        Self { party, reason }
    }
}

impl Reason {
    /// The word that scripts compare, for example `mpyc-mismatch`: the `kind` of the JSON form.
    pub fn kind(&self) -> String {
        let json = serde_json::to_value(self).expect("reasons always serialise");
        json["kind"].as_str().expect("reasons are tagged").to_owned()
    }
}
