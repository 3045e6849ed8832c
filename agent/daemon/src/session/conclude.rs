//! The end of a session: hashes of the outputs, and the receipt.

use std::collections::BTreeMap;
use std::time::Instant;

use e3_client::files;
use e3_core::digest::Digest;
use e3_core::document::{
    Comparison, Exit, Machine, Outcome, OutputHash, OutputRule, Receipt, Timings,
};
use e3_core::envelope::Envelope;
use e3_core::limits;
use e3_core::session::{Context, barrier};
use e3_core::time::Time;
use serde::{Deserialize, Serialize};

use super::folder::Folder;
use crate::ledger::{self, LedgerError};
use crate::shared::Shared;

/// The file that keeps the facts from the end of the program to the receipt.
const KEPT: &str = "facts.json";

/// What a driver gathers for the receipt while the session runs.
#[derive(Serialize, Deserialize)]
pub struct Facts {
    /// When this party learnt of the session.
    pub started: Time,
    /// The same for measuring.
    #[serde(skip, default = "Instant::now")]
    pub since: Instant,
    /// How long everything took.
    pub timings: Timings,
    /// What Python found.
    pub machine: Option<Machine>,
    /// The program at the gate.
    pub program: Option<Digest>,
    /// The MPyC file at the gate.
    pub mpyc: Option<Digest>,
    /// The opened barrier.
    pub barrier: Option<Digest>,
    /// Round trips to the others, in microseconds.
    #[serde(default)]
    pub rtt_us: BTreeMap<usize, u64>,
    /// How the program ended.
    pub exit: Option<Exit>,
    /// Hashes of what it printed.
    pub outputs: Vec<OutputHash>,
    /// What it printed, if that is to be published.
    pub published: Option<String>,
}

impl Facts {
    /// Nothing has happened yet.
    pub fn new(started: Time) -> Self {
        Self {
            started,
            since: Instant::now(),
            timings: Timings::default(),
            machine: None,
            program: None,
            mpyc: None,
            barrier: None,
            rtt_us: BTreeMap::new(),
            exit: None,
            outputs: Vec::new(),
            published: None,
        }
    }

    /// Keeps them for the case that the agent is killed before the receipt is signed: a session that
    /// ended well must not lose its proof.
    pub fn keep(&self, folder: &Folder) -> Result<(), LedgerError> {
        ledger::save(&folder.path(KEPT), self)
    }

    /// What was kept, or why it cannot be read.
    pub fn load(folder: &Folder) -> Result<Option<Self>, LedgerError> {
        ledger::load(&folder.path(KEPT))
    }

    /// What was kept.
    pub fn kept(folder: &Folder) -> Option<Self> {
        Self::load(folder).unwrap_or_else(|error| {
            tracing::warn!(error = %crate::text::chain(&error), "what is known of a session cannot be read");
            None
        })
    }

    /// Milliseconds since this party learnt of the session.
    pub fn elapsed(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Takes in what the program printed. `key` hashes outputs that are declared equal; any other is
    /// hashed with a key of this party, which stays in its folder for the owner.
    pub fn take_output(
        &mut self,
        context: &Context,
        folder: &Folder,
        stdout: &[u8],
        key: Option<[u8; 32]>,
    ) -> Result<(), files::FileError> {
        let equal = context.session.equal.iter().any(|name| name == "stdout");
        let (comparison, key) = if let Some(key) = key.filter(|_| equal) {
            (Comparison::Equal, key)
        } else {
            let key = e3_client::random::bytes32();
            files::write_private(&folder.path("output.key"), key.as_slice())?;
            (Comparison::Own, *key)
        };
        let hmac = barrier::output_hash(&key, stdout);
        self.outputs = vec![OutputHash {
            name: "stdout".to_owned(),
            comparison,
            hmac,
        }];
        // Judged by the policy before the session was accepted.
        if context.session.output == OutputRule::Publish && stdout.len() <= limits::PUBLISHED {
            self.published = Some(String::from_utf8_lossy(stdout).into_owned());
        }
        Ok(())
    }

    /// The outputs that other parties compare.
    pub fn equal(&self) -> Vec<OutputHash> {
        self.outputs
            .iter()
            .filter(|output| output.comparison == Comparison::Equal)
            .cloned()
            .collect()
    }

    /// Writes the signed receipt.
    pub fn write_receipt(
        &mut self,
        shared: &Shared,
        context: &Context,
        folder: &Folder,
        outcome: Outcome,
    ) -> Result<(), LedgerError> {
        // After a restart the clock has started anew; the program's end is still before this.
        self.timings.finished_ms = Some(self.elapsed()).max(self.timings.exited_ms);
        let good = outcome == Outcome::Done;
        let receipt = Receipt {
            fleet: context.session.fleet.clone(),
            session: context.session.name.clone(),
            manifest: context.manifest,
            party: context.me,
            key: shared.me(),
            outcome,
            exit: self.exit,
            outputs: self.outputs.clone(),
            program: self.program,
            mpyc: self.mpyc,
            machine: self.machine.clone(),
            barrier: self.barrier,
            rtt_us: self.rtt_us.clone(),
            started: self.started,
            finished: shared.keeper().now().max(self.started),
            timings: self.timings,
            // The output of a failed session is nobody's result.
            published: self.published.clone().filter(|_| good),
        };
        let envelope = Envelope::sign(&receipt, &[&shared.key])
            .expect("a receipt made here is a valid document");
        files::write_private(&folder.path("receipt.json"), &envelope.to_bytes())?;
        // The receipt says it all.
        let _ = std::fs::remove_file(folder.path(KEPT));
        Ok(())
    }
}
