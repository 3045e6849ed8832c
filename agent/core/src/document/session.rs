//! The session manifest: one run of one MPC program among an ordered list of parties.
//!
//! This is the signed form. What a person writes is TOML and is turned into this by the owner's
//! command; whether it may run on a machine is decided by that machine's [`crate::trust::policy`].

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Document, DocumentError, ensure};
use crate::digest::Blob;
use crate::key::PublicKey;
use crate::limits;
use crate::name::Name;
use crate::text::{is_plain, is_version};
use crate::time::Time;

/// A session manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// The fleet.
    pub fleet: Name,
    /// The epoch of the root that it was signed under.
    pub epoch: u64,
    /// The session's name.
    pub name: Name,
    /// Rises with every session of this name (rule 8).
    pub counter: u64,
    /// No party starts it earlier.
    pub not_before: Time,
    /// No party starts it later.
    pub expires: Time,
    /// Whose signatures it needs besides each party's own policy (rule 7).
    pub consent: Consent,
    /// What becomes of the program's output.
    pub output: OutputRule,
    /// The parties, in MPyC's order.
    pub parties: Vec<Party>,
    /// What runs.
    pub program: Program,
    /// What it runs on.
    pub mpyc: Mpyc,
    /// Python modules that must be there besides MPyC; they are looked for, never installed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<Module>,
    /// Outputs that must be the same at every party: `stdout`, or nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub equal: Vec<String>,
    /// What the program may use, at most; a party's policy may allow less.
    pub limits: Limits,
    /// How long to wait.
    pub deadlines: Deadlines,
}

/// One party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// Its name in the fleet, for people.
    pub name: Name,
    /// Its identity.
    pub key: PublicKey,
    /// Its owner. A party refuses a manifest that names another owner than its own, so a false entry
    /// stops the session (rule 7).
    pub owner: PublicKey,
    /// The local inputs that the program reads there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Name>,
}

/// Whose signatures a manifest needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Consent {
    /// Each party's own trusted signers suffice.
    Signers,
    /// Every party's owner, too.
    All,
}

/// What becomes of standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OutputRule {
    /// It stays on each party's machine.
    Private,
    /// It is part of the receipt, where the party's policy agrees.
    Publish,
}

/// The program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Its files, packed as [`crate::pack`] does.
    pub pack: Blob,
    /// The file that Python starts, relative to the pack.
    pub entry: String,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
}

/// MPyC and its options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mpyc {
    /// The version it must report.
    pub version: String,
    /// The name of its wheel, for finding it in an index.
    pub file: String,
    /// The wheel itself.
    pub wheel: Blob,
    /// Parties that may collude without learning anything; fewer than half (MPyC's `-T`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<usize>,
    /// Pseudorandom secret sharing; off means MPyC's `--no-prss`.
    pub prss: bool,
    /// TLS between the programs, with certificates made for this session alone.
    pub tls: bool,
    /// Party i prefers port `base_port` + i; it takes another one if that is in use.
    pub base_port: u16,
    /// Default bit length of secure numbers (`-L`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bit_length: Option<u32>,
    /// Statistical security parameter (`-K`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sec_param: Option<u32>,
    /// Parties of 32 and of 64 bits may be mixed (`--mix32-64bit`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mixed_word_sizes: bool,
}

/// A Python module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Module {
    /// Its import name.
    pub name: String,
    /// The version it must have, if that matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Resource limits of one party.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: u64,
    /// Percent of one core; 200 is two cores.
    pub cpu: u32,
    /// Processes and threads.
    pub tasks: u32,
    /// Bytes of standard output.
    pub output: u64,
}

/// Deadlines in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deadlines {
    /// From learning of the session to the open barrier.
    pub preflight: u64,
    /// From the open barrier until MPyC has connected all parties.
    pub connect: u64,
    /// From the open barrier to the end.
    pub run: u64,
}

impl Session {
    /// The place of the party with that key.
    pub fn party_index(&self, key: &PublicKey) -> Option<usize> {
        self.parties.iter().position(|party| party.key == *key)
    }

    /// The owners of all parties, each once.
    pub fn owners(&self) -> BTreeSet<PublicKey> {
        self.parties.iter().map(|party| party.owner).collect()
    }

    /// The MPyC options on the command line, except for the parties' addresses.
    pub fn mpyc_flags(&self) -> Vec<String> {
        let mut flags = Vec::new();
        let mut option = |flag: &str, value: Option<String>| {
            flags.extend(
                value
                    .map(|value| [flag.to_owned(), value])
                    .into_iter()
                    .flatten(),
            );
        };
        option("-T", self.mpyc.threshold.map(|t| t.to_string()));
        option("-L", self.mpyc.bit_length.map(|l| l.to_string()));
        option("-K", self.mpyc.sec_param.map(|k| k.to_string()));
        let switches = [
            ("--no-prss", !self.mpyc.prss),
            ("--ssl", self.mpyc.tls && self.parties.len() > 1),
            ("--mix32-64bit", self.mpyc.mixed_word_sizes),
        ];
        flags.extend(switches.iter().filter(|s| s.1).map(|s| s.0.to_owned()));
        flags
    }
}

/// Whether `path` stays inside the folder it is relative to, on any system: parts of letters, digits
/// and `._-+@ `, no part that starts with a dot, no empty part.
pub fn file_name_is_safe(path: &str) -> bool {
    let part_is_safe = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.len() <= 100
            && part
                .chars()
                .all(|c| c.is_alphanumeric() || "._-+@ ()".contains(c))
    };
    path.len() <= 250 && path.split('/').all(part_is_safe)
}

fn module_name_is_safe(name: &str) -> bool {
    let identifier = |part: &str| {
        part.chars()
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    name.len() <= 100 && name.split('.').all(identifier)
}

impl Document for Session {
    const KIND: &'static str = "session";

    fn check(&self) -> Result<(), DocumentError> {
        let m = self.parties.len();
        ensure(self.counter >= 1, "counter", "starts at 1")?;
        ensure(
            self.not_before < self.expires,
            "expires",
            "must be later than `not_before`",
        )?;
        ensure(
            (1..=limits::PARTIES).contains(&m),
            "parties",
            "must be 1 to 64",
        )?;
        let keys: BTreeSet<_> = self.parties.iter().map(|p| p.key).collect();
        ensure(keys.len() == m, "parties", "names a party twice")?;
        let names: BTreeSet<_> = self.parties.iter().map(|p| &p.name).collect();
        ensure(names.len() == m, "parties", "uses a name twice")?;
        ensure(
            self.parties.iter().all(|p| p.inputs.len() <= 64),
            "parties.inputs",
            "has more than 64 inputs",
        )?;
        let pack = self.program.pack.size;
        ensure(
            pack <= limits::PROGRAM,
            "program.pack",
            "is larger than 64 MiB",
        )?;
        let entry = &self.program.entry;
        let is_python = std::path::Path::new(entry)
            .extension()
            .is_some_and(|e| e == "py");
        ensure(
            file_name_is_safe(entry) && is_python,
            "program.entry",
            "must be a .py file inside the program",
        )?;
        let args = &self.program.args;
        let args_fit =
            args.len() <= limits::ARGUMENTS && args.iter().all(|a| a.len() <= limits::ARGUMENT);
        ensure(
            args_fit,
            "program.args",
            "has too many or too long arguments",
        )?;
        // People read them on a terminal before they sign.
        let plain = args.iter().all(|a| is_plain(a, limits::ARGUMENT));
        ensure(
            plain,
            "program.args",
            "has control characters or characters that turn text round",
        )?;
        ensure(
            is_version(&self.mpyc.version),
            "mpyc.version",
            "must be 1 to 64 letters, digits and .+-_!~",
        )?;
        ensure(
            self.mpyc.wheel.size <= limits::MPYC,
            "mpyc.wheel",
            "is larger than 16 MiB",
        )?;
        let wheel = file_name_is_safe(&self.mpyc.file) && self.mpyc.file.ends_with("-none-any.whl");
        ensure(
            wheel && !self.mpyc.file.contains('/'),
            "mpyc.file",
            "must be a pure Python wheel, …-none-any.whl",
        )?;
        // MPyC asserts 2t < m; said here it is an error before anything is signed.
        ensure(
            self.mpyc.threshold.is_none_or(|t| 2 * t < m),
            "mpyc.threshold",
            "must be less than half the parties",
        )?;
        let last_port = usize::from(self.mpyc.base_port) + m;
        ensure(
            self.mpyc.base_port >= 1024 && last_port <= 65_536,
            "mpyc.base_port",
            "must leave a port from 1024 to 65535 for each party",
        )?;
        ensure(
            self.mpyc.bit_length.is_none_or(|l| (1..=4096).contains(&l)),
            "mpyc.bit_length",
            "must be 1 to 4096",
        )?;
        ensure(
            self.mpyc.sec_param.is_none_or(|k| (1..=256).contains(&k)),
            "mpyc.sec_param",
            "must be 1 to 256",
        )?;
        ensure(
            self.modules.len() <= 32,
            "modules",
            "has more than 32 modules",
        )?;
        ensure(
            self.modules.iter().all(|m| module_name_is_safe(&m.name)),
            "modules",
            "has something that is no module name",
        )?;
        let versions = self.modules.iter().filter_map(|m| m.version.as_ref());
        ensure(
            versions.into_iter().all(|v| is_version(v)),
            "modules",
            "has a version that is none",
        )?;
        ensure(
            self.equal.iter().all(|o| o == "stdout"),
            "equal",
            "can only name `stdout`",
        )?;
        ensure(self.equal.len() <= 1, "equal", "names an output twice")?;
        let Limits {
            memory,
            cpu,
            tasks,
            output,
        } = self.limits;
        ensure(
            memory >= 16 << 20,
            "limits.memory",
            "must be at least 16 MiB",
        )?;
        ensure(cpu >= 1, "limits.cpu", "must be at least 1 percent")?;
        ensure(tasks >= 1, "limits.tasks", "must be at least 1")?;
        ensure(
            (1..=limits::OUTPUT).contains(&output),
            "limits.output",
            "must be 1 byte to 16 MiB",
        )?;
        let Deadlines {
            preflight,
            connect,
            run,
        } = self.deadlines;
        let day = 86_400;
        ensure(
            (1..=day).contains(&preflight),
            "deadlines.preflight",
            "must be 1 second to 1 day",
        )?;
        ensure(
            (1..=day).contains(&connect),
            "deadlines.connect",
            "must be 1 second to 1 day",
        )?;
        ensure(
            (1..=30 * day).contains(&run),
            "deadlines.run",
            "must be 1 second to 30 days",
        )
    }
}
