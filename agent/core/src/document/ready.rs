//! `Ready`: what a party is about to run, signed, so that all can compare before anything starts.
//!
//! The comparison itself is in [`crate::session::barrier`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Document, DocumentError, ensure};
use crate::digest::Digest;
use crate::limits;
use crate::text::{self, is_plain, is_version};
use crate::time::Time;

/// Everything that must be equal, or at least known, before the barrier opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    /// The manifest: parties, arguments, MPyC options, limits and deadlines are covered by it.
    pub manifest: Digest,
    /// Which party says so, by its place in the manifest.
    pub party: usize,
    /// The digest of the program as it lies unpacked on this machine, packed again.
    pub program: Digest,
    /// The digest of the MPyC file that was unpacked.
    pub mpyc: Digest,
    /// Where this party's MPyC will listen, `host:port`; an IPv6 host has no brackets.
    pub endpoint: String,
    /// The party's ephemeral TLS certificate (PEM), if the session uses TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// What Python found on this machine.
    pub machine: Machine,
    /// This machine's clock.
    pub clock: Time,
    /// Round trips to the parties it could measure, in microseconds, by place in the manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rtt_us: BTreeMap<usize, u64>,
}

/// What Python reports from inside the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Python's version.
    pub python: String,
    /// What MPyC says its version is.
    pub mpyc: String,
    /// 32 or 64; MPyC's program counters differ between the two.
    pub word_size: u32,
    /// Version of each module that the manifest declares, and of the optional ones MPyC uses.
    pub modules: BTreeMap<String, String>,
}

impl Document for Ready {
    const KIND: &'static str = "ready";

    fn check(&self) -> Result<(), DocumentError> {
        ensure(
            self.party < limits::PARTIES,
            "party",
            "is beyond the 64 that a session can have",
        )?;
        let endpoint = is_plain(&self.endpoint, 300);
        ensure(
            endpoint,
            "endpoint",
            "is longer than 300 bytes or has control characters",
        )?;
        let pem =
            |c: &String| c.len() <= 8192 && c.bytes().all(|b| matches!(b, b' '..=b'~' | b'\n'));
        ensure(
            self.certificate.iter().all(pem),
            "certificate",
            "is no PEM text of at most 8 KiB",
        )?;
        let places = self.rtt_us.len() <= limits::PARTIES
            && self.rtt_us.keys().all(|p| *p < limits::PARTIES);
        ensure(
            places,
            "rtt_us",
            "names places beyond the 64 that a session can have",
        )?;
        self.machine.check()
    }
}

impl Machine {
    /// Its texts are shown to every owner of the session, and come from one of the parties.
    pub(super) fn check(&self) -> Result<(), DocumentError> {
        let version = |text: &String| is_plain(text, text::VERSION);
        ensure(is_version(&self.python), "machine.python", "is no version")?;
        ensure(is_version(&self.mpyc), "machine.mpyc", "is no version")?;
        ensure(
            matches!(self.word_size, 32 | 64),
            "machine.word_size",
            "must be 32 or 64",
        )?;
        ensure(
            self.modules.len() <= 64,
            "machine.modules",
            "has more than 64 entries",
        )?;
        ensure(
            self.modules.keys().all(|name| is_plain(name, 100)),
            "machine.modules",
            "has a name that is none",
        )?;
        ensure(
            self.modules.values().all(version),
            "machine.modules",
            "has a version that is none",
        )
    }
}
