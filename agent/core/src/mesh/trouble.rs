//! Why a machine is not in its mesh, as a type. The words for people are made here and nowhere else.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::document::DocumentError;
use crate::reasons;
use crate::text::{self, clean};
use crate::time::Time;

/// Why a machine is not in its mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum NotJoined {
    /// It is on its way: nothing is wrong yet.
    Joining,
    /// Nobody who may has let its key in: by a certificate, or by the head.
    NeedsApproval,
    /// Its certificate has expired, and there is no newer one.
    CertificateExpired {
        /// When.
        since: Time,
    },
    /// Its certificate or key is not accepted any more.
    CertificateRevoked,
    /// The mesh's control server does not accept its key any more.
    KeyExpired {
        /// When the key has expired, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Time>,
    },
    /// The mesh's control server cannot be used.
    ControlServer {
        /// What the daemon says of it.
        detail: String,
    },
    /// What the fleet wants cannot be carried out on this machine: a unit, a program, a device is missing.
    Unable {
        /// What.
        detail: String,
    },
    /// The mesh's daemon does not stay up.
    DaemonDied {
        /// How it ended.
        detail: String,
    },
    /// The daemon runs, and no other party answers through the mesh.
    NobodyAnswers {
        /// How many were asked.
        asked: usize,
    },
    /// Nobody answers, and this machine's network lets no UDP out, which the mesh needs: the hub does not answer by UDP either, and
    /// says that others reach it so.
    UdpBlocked,
    /// No relay of the mesh can be used, and nobody is reached without.
    NoRelay {
        /// Why.
        detail: String,
    },
    /// This machine's clock is behind the time from which on a certificate is good: its own, or a relay's.
    ClockWrong {
        /// How far.
        seconds: i64,
    },
    /// The hub does not take the key of this machine, or cannot be reached.
    Hub {
        /// Why.
        detail: String,
    },
}

impl fmt::Display for NotJoined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::Joining => "it is joining".to_owned(),
            Self::NeedsApproval => "it waits to be let in".to_owned(),
            Self::CertificateExpired { since } => format!("its certificate has expired at {since}"),
            Self::CertificateRevoked => "its place in the mesh was taken back".to_owned(),
            Self::KeyExpired { since: Some(since) } => format!("its key has expired at {since}"),
            Self::KeyExpired { since: None } => {
                "the mesh's control server does not accept its key any more".to_owned()
            }
            Self::ControlServer { detail } => {
                format!("the mesh's control server cannot be used: {detail}")
            }
            Self::Unable { detail } => format!("this machine cannot: {detail}"),
            Self::DaemonDied { detail } => format!("the mesh's daemon does not stay up: {detail}"),
            Self::NobodyAnswers { asked: 0 } => {
                "it is ready, and no other party is there yet".to_owned()
            }
            Self::NobodyAnswers { asked } => {
                format!("none of {asked} other parties answers through it")
            }
            Self::UdpBlocked => "its network lets no UDP out, which this mesh needs".to_owned(),
            Self::NoRelay { detail } => format!("no relay can be used: {detail}"),
            Self::ClockWrong { seconds } => {
                format!(
                    "its clock is at least {seconds} s behind: a certificate is of the future by it"
                )
            }
            Self::Hub { detail } => format!("the hub does not help: {detail}"),
        };
        // Parts of it may be another machine's words.
        f.write_str(&clean(&words, 4 * text::DETAIL))
    }
}

impl NotJoined {
    /// What to do about it: one or two sentences for the machine's owner.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Joining => "Wait a few seconds.",
            Self::NeedsApproval => {
                "Whoever keeps the fleet accepts it: `e3 fleet accept`, or `e3 mesh sign` if it is a party already; with certificates, where the authority's key is."
            }
            Self::CertificateExpired { .. } => {
                "Whoever keeps the fleet runs `e3 mesh sign`, where the authority's key is."
            }
            Self::CertificateRevoked => {
                "Ask the fleet's owner why. A machine that was reset can be let in with its new key."
            }
            Self::KeyExpired { .. } => {
                "Have it accepted again on the control server; it comes back by itself. If it was removed there, drop the mesh and choose it again."
            }
            Self::ControlServer { .. } => {
                "Check that it runs, that its address in the head is right, and that its certificate is good: `e3 mesh headscale`."
            }
            Self::Unable { .. } => {
                "Install what is missing: E3's images have it, with the unit e3-mesh-<backend>.service."
            }
            Self::DaemonDied { .. } => "Look into its journal: journalctl -u 'e3-mesh-*'.",
            Self::NobodyAnswers { .. } => {
                "Check that an anchor of the mesh runs and that its endpoint is reached from here: UDP may be blocked on the way."
            }
            Self::UdpBlocked => {
                "Let the network's firewall pass UDP out, or have the fleet choose a mesh that does without: `e3 mesh link`, `e3 mesh headscale`."
            }
            Self::NoRelay { .. } => {
                "Check that the relay is reached from here by HTTPS: that of `e3 hub serve`, the control server's (DERP), or those of the Tor network."
            }
            Self::ClockWrong { .. } => {
                "Set its clock, or let it reach a time server: the mesh's daemon has no other time."
            }
            Self::Hub { .. } => "Check `hub` in the join file, and that the hub is up.",
        }
    }

    /// The word that scripts compare, for example `needs-approval`: the `kind` of the JSON form.
    pub fn kind(&self) -> String {
        reasons::kind(self)
    }

    /// Whether it is short enough to travel.
    pub(crate) fn check(&self, field: &str) -> Result<(), DocumentError> {
        reasons::check(self, field)
    }

    /// The same with every text on one line, without control characters, and cut after 300 characters.
    #[must_use]
    pub fn cleaned(&self) -> Self {
        reasons::cleaned(self)
    }
}
