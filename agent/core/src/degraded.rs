//! Why a party takes no new session, as a type (rule 11): what happened, and what its owner can do.
//!
//! [`crate::session::Reason`] is why one session failed; this is about the machine. The daemon stays
//! up in all of these, and recovers by itself when the cause goes away.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::DocumentError;
use crate::name::Name;
use crate::reasons;
use crate::text::{self, clean};

/// Why a party takes no new session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Degraded {
    /// Trust state that the machine has had is gone (rule 12).
    TrustStateMissing,
    /// A file of its state is there and cannot be understood.
    StateDamaged {
        /// Which file.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A file of its state was written by a newer agent.
    StateNewer {
        /// Which file.
        path: String,
        /// Which agent, and what this one does not know of it.
        detail: String,
    },
    /// The machine has been a party, and its identity key is gone.
    IdentityMissing,
    /// The identity key is there and cannot be used.
    IdentityUnusable {
        /// Why.
        detail: String,
    },
    /// The join file is of another fleet than the one this machine belongs to.
    OtherFleet {
        /// The fleet it belongs to.
        has: Name,
        /// The join file's.
        asked: Name,
    },
    /// The hub does not have the root that the join file pins.
    WrongRoot {
        /// What it has.
        detail: String,
    },
    /// The fleet does not take this machine.
    EnrolmentRefused {
        /// Why.
        detail: String,
    },
    /// It cannot listen for other parties.
    CannotListen {
        /// Where.
        address: String,
        /// Why not.
        detail: String,
    },
    /// Its disk cannot take what must be written, or give what must be read.
    Disk {
        /// The path and the error.
        detail: String,
    },
    /// Programs cannot be started on it.
    Supervisor {
        /// Who refuses what.
        detail: String,
    },
    /// The head has expired and no newer one can be had.
    HeadExpired,
    /// The newest head cannot be used by this machine's clock, which is far from the hub's.
    ClockWrong {
        /// How far the hub's clock is ahead; negative if it is behind.
        seconds: i64,
    },
    /// The hub shows something that contradicts what this party has verified before.
    HubContradicts {
        /// What.
        detail: String,
    },
    /// The agent's settings cannot be used.
    Settings {
        /// Which file, where in it, and why.
        detail: String,
    },
}

impl fmt::Display for Degraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Parts of it may be another machine's words.
        f.write_str(&clean(&self.words(), 4 * text::DETAIL))
    }
}

impl Degraded {
    fn words(&self) -> String {
        match self {
            Self::TrustStateMissing => {
                "the trust state of this machine is gone, and it has had one".to_owned()
            }
            Self::StateDamaged { path, detail } => format!("{path} is damaged ({detail})"),
            Self::StateNewer { path, detail } => {
                format!("{path} was written by a newer agent ({detail})")
            }
            Self::IdentityMissing => {
                "the identity key of this machine is gone, and it has had one".to_owned()
            }
            Self::IdentityUnusable { detail } => {
                format!("the identity key cannot be used: {detail}")
            }
            Self::OtherFleet { has, asked } => {
                format!("the join file is of fleet {asked}, and this machine belongs to {has}")
            }
            Self::WrongRoot { detail } => {
                format!("the hub does not have the root that the join file pins: {detail}")
            }
            Self::EnrolmentRefused { detail } => {
                format!("the fleet does not take this machine: {detail}")
            }
            Self::CannotListen { address, detail } => {
                format!("cannot listen on {address} for other parties: {detail}")
            }
            Self::Disk { detail } => format!("its disk failed: {detail}"),
            Self::Supervisor { detail } => format!("programs cannot be started: {detail}"),
            Self::HeadExpired => "the fleet's head has expired".to_owned(),
            Self::ClockWrong { seconds } => {
                let (days, side) = (
                    seconds.abs() / 86_400,
                    if *seconds > 0 { "behind" } else { "ahead of" },
                );
                format!("its clock is {days} days {side} the hub's")
            }
            Self::HubContradicts { detail } => format!("the hub contradicts itself: {detail}"),
            Self::Settings { detail } => format!("the settings cannot be used: {detail}"),
        }
    }

    /// What to do about it: one or two sentences for the machine's owner.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::StateDamaged { path, .. } if path.contains("/sessions/") => {
                "Put the file back from a copy. Otherwise that session stays as it is and is not begun again; all others go on."
            }
            Self::TrustStateMissing | Self::StateDamaged { .. } => {
                "Find out who or what did this: without that state old documents could be played back. Then put the file back from a copy, or run `e3-agent trust reset` on the machine, which says what it does before it does it."
            }
            Self::StateNewer { .. } => {
                "Install the agent again that has written it, or a newer one. Nothing is lost."
            }
            Self::IdentityMissing => {
                "Put identity.pem back from a copy. Without one this machine cannot be that party again: move its state folder away and give it a new join file."
            }
            Self::IdentityUnusable { .. } => {
                "Put identity.pem back from a copy, readable by the agent's user alone (mode 600)."
            }
            Self::OtherFleet { .. } => {
                "Put the old join file back; or, to make the machine a new party of the other fleet, move its state folder away."
            }
            Self::WrongRoot { .. } => {
                "Check `hub` and `root` in the join file, or write a new one with `e3 fleet invite`."
            }
            Self::EnrolmentRefused { .. } => {
                "Write a new join file with `e3 fleet invite` and put it in place of this one."
            }
            Self::CannotListen { .. } => {
                "Stop whoever holds the port, or set another `listen` in agent.toml and restart the agent."
            }
            Self::Disk { .. } => {
                "Make room on the disk, or make the state folder writable for the agent's user."
            }
            Self::Supervisor { .. } => {
                "Check that D-Bus runs, and that E3's units and polkit rule are installed as they were shipped."
            }
            Self::HeadExpired => {
                "Renew it with `e3 hub renew`, and check that the hub is reachable."
            }
            Self::ClockWrong { .. } => {
                "Set the clock, or turn on time sync; no session starts before. If this clock is right, ask who runs the hub."
            }
            Self::HubContradicts { .. } => {
                "Ask the fleet's owner: the hub shows an old or a second version of something, or somebody stands between."
            }
            Self::Settings { .. } => "Correct the file and restart the agent.",
        }
    }

    /// Whether asking again means asking the hub.
    pub const fn is_of_the_hub(&self) -> bool {
        matches!(self, Self::WrongRoot { .. } | Self::EnrolmentRefused { .. })
    }

    /// The word that scripts compare, for example `disk`: the `kind` of the JSON form.
    pub fn kind(&self) -> String {
        reasons::kind(self)
    }

    /// Whether it is short enough to travel.
    pub(crate) fn check(&self, field: &str) -> Result<(), DocumentError> {
        reasons::check(self, field)
    }

    /// The same with every text on one line, without control characters, and cut after 300
    /// characters: how it goes into documents and onto screens.
    #[must_use]
    pub fn cleaned(&self) -> Self {
        reasons::cleaned(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_strangers_are_cleaned_and_the_kind_is_that_of_the_json_form() {
        let bad = Degraded::Disk {
            detail: "a\x1b[2J".to_owned() + &"x".repeat(400),
        };
        assert!(!bad.to_string().contains('\x1b'));
        assert_eq!(bad.kind(), "disk");
        let cleaned = bad.cleaned();
        assert!(cleaned.to_string().len() < 330, "{cleaned}");
        let json = serde_json::to_string(&Degraded::TrustStateMissing).unwrap();
        assert_eq!(json, r#"{"kind":"trust-state-missing"}"#);
    }
}
