//! The session manifest: one run of one MPC program among an ordered list of parties.
//!
//! This is the signed form. What a person writes is TOML and is turned into this by the owner's
//! command; whether it may run on a machine is decided by that machine's [`crate::trust::policy`].

mod check;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Blob;
use crate::key::PublicKey;
use crate::name::Name;
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
    /// The mesh by which the parties reach each other, where the fleet has two and it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<String>,
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
