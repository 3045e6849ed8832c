//! What the agent is doing, as a type: the first thing that every screen says.

use std::fmt;
use std::path::PathBuf;

use e3_core::degraded::Degraded;
use serde::{Deserialize, Serialize};

/// What the agent is doing. It answers for itself in all of them (rule 11).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Phase {
    /// It has just been started and looks at its disk.
    #[default]
    Starting,
    /// It does not know its fleet yet.
    WaitingForJoinFile {
        /// Where it looks, in order.
        places: Vec<PathBuf>,
        /// What is wrong with the file that is there, if one is.
        problem: Option<String>,
    },
    /// It fetches the first root from the hub.
    MeetingTheFleet {
        /// Why that has not worked yet.
        problem: Option<String>,
    },
    /// It uses its token.
    Enrolling {
        /// Why that has not worked yet.
        problem: Option<String>,
    },
    /// It takes sessions.
    Ready,
    /// It takes no new session; one that runs goes on.
    Degraded {
        /// Why.
        reason: Degraded,
    },
}

impl Phase {
    /// The word that scripts compare: the `name` of the JSON form.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::WaitingForJoinFile { .. } => "waiting-for-join-file",
            Self::MeetingTheFleet { .. } => "meeting-the-fleet",
            Self::Enrolling { .. } => "enrolling",
            Self::Ready => "ready",
            Self::Degraded { .. } => "degraded",
        }
    }

    /// All names, for whoever counts them.
    pub const NAMES: [&'static str; 6] = [
        "starting",
        "waiting-for-join-file",
        "meeting-the-fleet",
        "enrolling",
        "ready",
        "degraded",
    ];

    /// What it lacks or suffers from, in words; empty if it needs nothing.
    pub fn reason(&self) -> String {
        match self {
            Self::Starting | Self::Ready => String::new(),
            Self::WaitingForJoinFile { problem, .. }
            | Self::MeetingTheFleet { problem }
            | Self::Enrolling { problem } => problem.clone().unwrap_or_default(),
            Self::Degraded { reason } => reason.to_string(),
        }
    }

    /// What its owner can do; empty if it needs nothing but time.
    pub fn remedy(&self) -> String {
        match self {
            Self::WaitingForJoinFile {
                places,
                problem: None,
            } => {
                let places: Vec<_> = places.iter().map(|p| p.display().to_string()).collect();
                format!(
                    "Write one with `e3 fleet invite NAME` and put it at {}; it is picked up by itself.",
                    places.join(" or ")
                )
            }
            Self::WaitingForJoinFile { .. } => {
                "Correct the file, or write a new one with `e3 fleet invite NAME`; it is read again by itself.".to_owned()
            }
            Self::MeetingTheFleet { problem: Some(_) } | Self::Enrolling { problem: Some(_) } => {
                "It is tried again by itself.".to_owned()
            }
            Self::Degraded { reason } => reason.remedy().to_owned(),
            _ => String::new(),
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::Starting => "starting",
            Self::WaitingForJoinFile { .. } => "waiting for a join file",
            Self::MeetingTheFleet { .. } => "meeting the fleet",
            Self::Enrolling { .. } => "enrolling",
            Self::Ready => "ready",
            Self::Degraded { .. } => "degraded",
        };
        f.write_str(words)?;
        match self.reason() {
            reason if reason.is_empty() => Ok(()),
            reason => write!(f, ": {}", e3_core::text::clean(&reason, 600)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_json_form() {
        let all = [
            Phase::Starting,
            Phase::WaitingForJoinFile {
                places: Vec::new(),
                problem: None,
            },
            Phase::MeetingTheFleet { problem: None },
            Phase::Enrolling { problem: None },
            Phase::Ready,
            Phase::Degraded {
                reason: Degraded::HeadExpired,
            },
        ];
        assert_eq!(all.each_ref().map(Phase::name), Phase::NAMES);
        for phase in all {
            let json = serde_json::to_value(&phase).unwrap();
            assert_eq!(json["name"], phase.name());
        }
    }
}
