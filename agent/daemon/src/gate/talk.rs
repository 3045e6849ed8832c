//! What agent and gate say to each other: one JSON object per line. `gate.py` has the other side.

use std::collections::BTreeMap;
use std::path::PathBuf;

use e3_core::document::Machine;
use e3_core::session::Reason;
use serde::{Deserialize, Serialize};

/// Characters of a text from the gate that go any further.
const TEXT: usize = 200;
/// Characters of the name of a Python type or module.
const NAME: usize = 100;

/// The first line to the gate: what to make ready.
#[derive(Debug, Clone, Serialize)]
pub struct Order {
    /// The folder that has `mpyc/`.
    pub mpyc_dir: String,
    /// The version that it must report.
    pub mpyc_version: String,
    /// Modules to import.
    pub modules: Vec<String>,
    /// MPyC's options, without the parties.
    pub flags: Vec<String>,
    /// The program's arguments.
    pub args: Vec<String>,
    /// The program, relative to the working directory.
    pub script: String,
    /// What the gate limits from inside.
    pub limits: Limits,
    /// Where this party's MPyC listens, if it does.
    pub listen: Option<Listen>,
    /// The folder of this party's TLS certificate and key; `None` if there are none, or they come as credentials.
    pub tls: Option<PathBuf>,
    /// For a gate in a file system of its own: what to lay out there.
    pub layout: Option<Layout>,
}

/// What the gate lays out in an empty working directory.
#[derive(Debug, Clone, Serialize)]
pub struct Layout {
    /// The folder of the program.
    pub program: &'static str,
    /// The folder of inputs that do not come as credentials.
    pub large: &'static str,
    /// The program's whole environment, in place of the unit's.
    pub environment: BTreeMap<String, String>,
}

/// Resource limits; `None` leaves it to the supervisor.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Limits {
    /// Bytes of address space.
    pub memory: Option<u64>,
    /// Seconds of processor time.
    pub cpu: Option<u64>,
    /// Processes and threads of this user, not only of this job.
    pub processes: Option<u64>,
}

/// An address to listen at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listen {
    /// A literal address or a name of this machine.
    pub host: String,
    /// The preferred port.
    pub port: u16,
    /// Whether no other port will do.
    pub required: bool,
}

/// The second line to the gate: the program runs.
#[derive(Debug, Clone, Serialize)]
pub struct Go {
    /// This party's place.
    pub index: usize,
    /// `host:port` of each party, in order; an IPv6 host has no brackets.
    pub parties: Vec<String>,
    /// TLS between the parties.
    pub ssl: bool,
    /// Everybody's certificates, in order: the gate pins party i to the i-th. With TLS only.
    pub authorities: Option<String>,
}

/// A line from the gate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum GateEvent {
    /// Everything is ready.
    Ready(Ready),
    /// It cannot be.
    Refused(Refused),
    /// MPyC is connected to all parties.
    Connected,
    /// MPyC could not reach a party yet.
    Connecting {
        /// Python's error.
        error: String,
    },
    /// The program has started MPyC, which has connected these parties and not yet all.
    Reached {
        /// Their places.
        parties: Vec<usize>,
    },
    /// A connection from an address that no party has was refused.
    Stranger {
        /// The address.
        address: String,
    },
    /// A party showed the certificate of another one.
    Impostor {
        /// The place it claimed.
        party: usize,
    },
    /// One of MPyC's tasks failed; the program may go on or hang.
    TaskError {
        /// The exception's type.
        r#type: String,
    },
    /// The program ended with an exception.
    Raised {
        /// The exception's type.
        r#type: String,
    },
}

/// What the gate found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Ready {
    port: Option<u16>,
    python: String,
    implementation: String,
    mpyc: String,
    modules: BTreeMap<String, String>,
    word_size: u32,
    /// Whether an address that nobody has allowed could not be reached, if that was tried.
    #[serde(default)]
    confined: Option<bool>,
}

/// Why the gate cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Refused {
    /// Below 3.10.
    PythonTooOld {
        /// Its version.
        has: String,
    },
    /// The runtime is another version.
    MpycVersion {
        /// The one it is.
        has: String,
        /// The one it should be.
        pinned: String,
    },
    /// Not installed.
    ModuleMissing {
        /// Its name.
        module: String,
    },
    /// Installed, but it cannot be imported.
    ImportFailed {
        /// Its name.
        module: String,
        /// The exception's type.
        r#type: String,
    },
    /// MPyC does not know an option.
    BadOption {
        /// The option.
        option: String,
    },
    /// The program does not compile.
    ProgramInvalid {
        /// The exception's type.
        r#type: String,
    },
    /// The required port is taken.
    PortInUse {
        /// The port.
        port: u16,
    },
    /// The host is no address of this machine.
    Address {
        /// Python's error.
        error: String,
    },
}

impl Ready {
    /// Whether the kernel keeps the program to the addresses that it is allowed.
    pub fn is_confined(&self) -> bool {
        self.confined == Some(true)
    }

    /// As it goes into the signed `Ready`, and the port that was bound.
    pub fn into_machine(self) -> (Machine, Option<u16>) {
        let python = match self.implementation.as_str() {
            "cpython" => text(&self.python),
            other => format!("{} ({})", text(&self.python), name(other)),
        };
        let modules = self
            .modules
            .into_iter()
            .take(64)
            .map(|(module, version)| (name(&module), text(&version)));
        let machine = Machine {
            python,
            mpyc: text(&self.mpyc),
            word_size: self.word_size,
            modules: modules.collect(),
        };
        (machine, self.port)
    }
}

impl Refused {
    /// The session's reason. `holder` looks for who holds a port.
    pub fn into_reason(self, holder: impl Fn(u16) -> Option<String>) -> Reason {
        let detail = |detail| Reason::Supervisor { detail };
        match self {
            Self::PythonTooOld { has } => Reason::PythonTooOld { has: text(&has) },
            Self::MpycVersion { has, pinned } => Reason::MpycMismatch {
                pinned: text(&pinned),
                has: text(&has),
            },
            Self::ModuleMissing { module } => Reason::ModuleMissing {
                module: name(&module),
            },
            Self::ImportFailed { module, r#type } => detail(format!(
                "importing {} failed with {}",
                name(&module),
                name(&r#type)
            )),
            Self::BadOption { option } => {
                detail(format!("MPyC does not know the option {}", text(&option)))
            }
            Self::ProgramInvalid { r#type } => {
                detail(format!("Python cannot read it: {}", name(&r#type)))
            }
            Self::PortInUse { port } => Reason::PortInUse {
                port,
                holder: holder(port),
            },
            Self::Address { error } => detail(format!(
                "cannot listen for the other parties: {}",
                text(&error)
            )),
        }
    }
}

/// A text from the gate as it may be shown: bounded, without control characters.
pub fn text(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(TEXT)
        .collect()
}

/// The name of a type or module; what cannot be one was made up.
pub fn name(name: &str) -> String {
    let is_name = !name.is_empty()
        && name.len() <= NAME
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || "_.".contains(c));
    if is_name {
        name.to_owned()
    } else {
        "Exception".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> serde_json::Result<GateEvent> {
        serde_json::from_str(line)
    }

    #[test]
    fn what_the_gate_says_is_understood() {
        let ready = r#"{"port": 7, "python": "3.11.7", "implementation": "cpython", "mpyc": "0.11", "modules": {"numpy": "2.1"}, "word_size": 64, "event": "ready"}"#;
        let Ok(GateEvent::Ready(ready)) = parse(ready) else {
            panic!("not ready")
        };
        let (machine, port) = ready.into_machine();
        assert_eq!(
            (machine.python.as_str(), machine.word_size, port),
            ("3.11.7", 64, Some(7))
        );
        assert_eq!(machine.modules["numpy"], "2.1");
        let raised = parse(r#"{"event": "raised", "type": "ValueError"}"#).unwrap();
        assert_eq!(
            raised,
            GateEvent::Raised {
                r#type: "ValueError".to_owned()
            }
        );
        assert_eq!(
            parse(r#"{"event": "connected"}"#).unwrap(),
            GateEvent::Connected
        );
        let parties = vec![0, 2];
        assert_eq!(
            parse(r#"{"event": "reached", "parties": [0, 2]}"#).unwrap(),
            GateEvent::Reached { parties }
        );
        assert!(parse(r#"{"event": "something else"}"#).is_err());
        assert!(parse(r#"{"event": "impostor", "party": -1}"#).is_err());
    }

    #[test]
    fn each_refusal_has_its_reason() {
        let cases = [
            (
                r#"{"reason": "python-too-old", "has": "3.9.1"}"#,
                "python-too-old",
            ),
            (
                r#"{"reason": "mpyc-version", "has": "0.10", "pinned": "0.11"}"#,
                "mpyc-mismatch",
            ),
            (
                r#"{"reason": "module-missing", "module": "numpy"}"#,
                "module-missing",
            ),
            (
                r#"{"reason": "import-failed", "module": "numpy", "type": "ImportError"}"#,
                "supervisor",
            ),
            (r#"{"reason": "bad-option", "option": "-x"}"#, "supervisor"),
            (
                r#"{"reason": "program-invalid", "type": "SyntaxError"}"#,
                "supervisor",
            ),
            (r#"{"reason": "port-in-use", "port": 7}"#, "port-in-use"),
            (
                r#"{"reason": "address", "error": "gaierror"}"#,
                "supervisor",
            ),
        ];
        for (json, kind) in cases {
            let line = json.replacen('{', r#"{"event": "refused", "#, 1);
            let Ok(GateEvent::Refused(refused)) = parse(&line) else {
                panic!("{line}")
            };
            assert_eq!(refused.into_reason(|_| None).kind(), kind);
        }
    }

    #[test]
    fn texts_of_a_hostile_program_are_cut_and_cleaned() {
        assert_eq!(name("ValueError"), "ValueError");
        assert_eq!(name("my secret is 42"), "Exception");
        assert_eq!(name(&"x".repeat(101)), "Exception");
        assert_eq!(text("a\x1b[31mb\n"), "a[31mb");
        assert_eq!(text(&"x".repeat(1000)).len(), TEXT);
    }
}
