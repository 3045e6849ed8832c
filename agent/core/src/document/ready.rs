//! `Ready`: what a party is about to run, signed, so that all can compare before anything starts.
//!
//! The comparison itself is in [`crate::session::barrier`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Document, DocumentError, ensure};
use crate::digest::Digest;
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
        ensure(self.endpoint.len() <= 300, "endpoint", "is longer than 300 bytes")?;
        ensure(self.certificate.iter().all(|c| c.len() <= 8192), "certificate", "is longer than 8 KiB")?;
        ensure(self.machine.modules.len() <= 64, "machine.modules", "has more than 64 entries")
    }
}
