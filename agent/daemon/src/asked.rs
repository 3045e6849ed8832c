//! Answers its owner from afar: who it is, what is wrong with it, what it has logged.
//!
//! A request comes by way of the hub; whether it is answered is decided by `e3_core::trust::asked` and the owner's settings
//! (`answers` in agent.toml). The answer is made here, signed by this machine, and sealed to whoever has asked, so that the hub
//! reads none of it. Nothing that a request can ask for changes what this machine does for its fleet, and nothing that a program
//! reads or prints is in an answer: the log is the agent's own, kept in memory, and what the redactor of the support bundle knows
//! to be secret, outputs and inputs among it, is taken out of all that leaves.

mod identify;

use std::path::PathBuf;
use std::time::Duration;

use e3_client::seal::seal;
use e3_core::checkup::Check;
use e3_core::digest::Digest;
use e3_core::document::{Ask, PartyAnswer, PartyRequest, Report};
use e3_core::envelope::{Envelope, Verified};
use e3_core::key::PublicKey;
use e3_core::limits;
use e3_core::trust::asked::Pace;
use e3_core::trust::{Answers, Asked};

use self::identify::Identify;
use crate::ledger;
use crate::shared::Shared;
use crate::support::redact::Redactor;
use crate::text::chain;
use crate::{doctor, logging};

/// For an answer to be made: doctor's looks have deadlines of their own.
const PATIENCE: Duration = Duration::from_secs(30);
/// Attempts to leave an answer at the hub, and the pause between them.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// Answers for ever, one after the other.
pub async fn run(shared: Shared, config: PathBuf) {
    if shared.settings.answers == Answers::Nobody {
        return;
    }
    let mut desk = Desk::open(shared, config);
    loop {
        desk.shared.asked.notified().await;
        desk.look().await;
    }
}

/// Who has been answered.
struct Desk {
    shared: Shared,
    config: PathBuf,
    asked: Asked,
    pace: Pace,
    /// The request that was looked at last: the hub shows it until there is another one.
    seen: Option<Digest>,
    identify: Identify,
}

impl Desk {
    fn open(shared: Shared, config: PathBuf) -> Self {
        let asked = ledger::load(&shared.ledger.asked());
        let asked = asked.unwrap_or_else(|error| {
            // Requests of the last minutes could be answered twice, and by this machine's log somebody knows.
            tracing::warn!(error = %chain(&error), "it is not known who has asked this machine before");
            None
        });
        let identify = Identify::new(shared.board.clone());
        Self {
            shared,
            config,
            asked: asked.unwrap_or_default(),
            pace: Pace::default(),
            seen: None,
            identify,
        }
    }

    /// Looks what the hub has for this machine, and answers it.
    async fn look(&mut self) {
        let bytes = match self.shared.hub.request(&self.shared.me()).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return,
            Err(error) => {
                return tracing::debug!(error = %chain(&error), "the hub tells no requests");
            }
        };
        let digest = Digest::of(&bytes);
        if self.seen.replace(digest) == Some(digest) {
            return;
        }
        let Some((request, report)) = self.judge(&bytes).await else {
            return;
        };
        if let Err(problem) = self.answer(&request, report).await {
            tracing::warn!(%problem, "an answer does not get to the hub");
        }
    }

    /// What is to be answered, if anything.
    async fn judge(&mut self, bytes: &[u8]) -> Option<(Verified<PartyRequest>, Report)> {
        let (root, now) = {
            let keeper = self.shared.keeper();
            (keeper.trust().root.clone(), keeper.now())
        };
        let (allowed, me) = (self.allowed(), self.shared.me());
        let mut asked = self.asked.clone();
        let judged = asked.judge(bytes, &root, &me, &allowed, now, &mut self.pace);
        let (request, refusal) = match judged {
            Ok(judged) => judged,
            Err(error) => {
                let noted = self
                    .shared
                    .keeper()
                    .refused("request", bytes, &error.to_string());
                tracing::info!(%error, "a request is not answered");
                return note(noted).and(None);
            }
        };
        let document = &request.document;
        let detail = format!("{} by {}", document.ask.as_str(), document.by);
        if let Some(reason) = refusal {
            tracing::warn!(ask = document.ask.as_str(), by = %document.by, %reason, "a request is refused");
            let told = format!("{detail}: {reason}");
            note(self.shared.keeper().refused("request", bytes, &told))?;
            return Some((request, Report::Refused { reason, now }));
        }
        // As rule 5 has it of the floor: on the disk first, so that nobody is answered twice.
        if let Err(error) = ledger::save(&self.shared.ledger.asked(), &asked) {
            tracing::warn!(error = %chain(&error), "a request is not answered, since it cannot be remembered");
            return None;
        }
        self.asked = asked;
        tracing::info!(ask = document.ask.as_str(), by = %document.by, "a request is answered");
        let noted = self
            .shared
            .keeper()
            .note("request", "accepted", Some(request.digest), &detail);
        note(noted)?;
        let report = self.report(document.ask).await;
        Some((request, report))
    }

    /// Whom the machine's owner lets ask.
    fn allowed(&self) -> Vec<PublicKey> {
        let mut allowed = vec![self.shared.join.owner];
        if self.shared.settings.answers == Answers::Signers
            && let Ok(policy) = self.shared.policy()
        {
            allowed.extend(policy.signers);
        }
        allowed
    }

    async fn report(&mut self, ask: Ask) -> Report {
        match ask {
            Ask::Identify => self.identify.begin(),
            Ask::Doctor => {
                let look = Box::pin(doctor::look(&self.shared.settings, &[]));
                let checks = tokio::time::timeout(PATIENCE, look).await;
                let checks = checks.unwrap_or_default();
                let texts = checks
                    .iter()
                    .flat_map(|check| [Some(&check.found), check.remedy.as_ref()]);
                let texts: Vec<String> = texts
                    .map(|text| text.cloned().unwrap_or_default())
                    .collect();
                let mut cleaned = self.cleaned(texts).await.into_iter();
                let clean = |check: Check| {
                    let (found, remedy) = (cleaned.next()?, cleaned.next()?);
                    let remedy = check.remedy.map(|_| remedy);
                    Some(Check {
                        found,
                        remedy,
                        ..check
                    })
                };
                let agent = env!("CARGO_PKG_VERSION").to_owned();
                let checks = checks.into_iter().map_while(clean).collect();
                Report::Doctor { agent, checks }
            }
            Ask::Logs { lines } => {
                let lines = self.cleaned(logging::last(usize::from(lines))).await;
                Report::Logs { lines }
            }
        }
    }

    /// The texts without what this machine knows to be secret.
    async fn cleaned(&self, texts: Vec<String>) -> Vec<String> {
        let (settings, config) = (self.shared.settings.clone(), self.config.clone());
        // It reads what programs have printed, which may be much.
        let work = move || {
            let redactor = Redactor::of(&settings, &config);
            let clean = |text: String| redactor.clean(&text).trim_end().to_owned();
            texts.into_iter().map(clean).collect()
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_default()
    }

    /// Seals, signs and leaves it at the hub.
    async fn answer(&self, request: &Verified<PartyRequest>, report: Report) -> Result<(), String> {
        let text = fitting(report);
        let about = PartyRequest::about(&request.digest);
        let sealed =
            seal(&text, &request.document.seal, &about).map_err(|error| error.to_string())?;
        let answer = PartyAnswer {
            fleet: request.document.fleet.clone(),
            party: self.shared.me(),
            request: request.digest,
            sealed,
        };
        let envelope = Envelope::sign(&answer, &[&self.shared.key]);
        let bytes = envelope.map_err(|error| error.to_string())?.to_bytes();
        let mut attempt = 1;
        loop {
            match self
                .shared
                .hub
                .put_answer(&self.shared.me(), bytes.clone())
                .await
            {
                Ok(()) => return Ok(()),
                Err(error) if error.is_passing() && attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(chain(&error)),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// A journal that cannot be written is told; nothing is done without it (rule 13).
fn note(noted: Result<(), crate::keeper::KeeperError>) -> Option<()> {
    noted
        .inspect_err(
            |error| tracing::error!(error = %chain(error), "a request cannot be journalled"),
        )
        .ok()
}

/// The report as text, no longer than one may be: of a log, the oldest lines go.
fn fitting(mut report: Report) -> String {
    loop {
        let text = serde_json::to_string(&report).unwrap_or_default();
        if text.len() <= limits::REPORT {
            return text;
        }
        match &mut report {
            Report::Logs { lines } if lines.len() > 1 => {
                drop(lines.drain(..lines.len().div_ceil(4)));
            }
            Report::Logs { lines } => lines.clear(),
            Report::Doctor { checks, .. } => drop(checks.pop()),
            Report::Identified { .. } | Report::Refused { .. } => return text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_too_long_loses_its_oldest_lines() {
        let line = |n: usize| format!("{n:05} {}", "\u{1}".repeat(100));
        let lines: Vec<String> = (0..2000).map(line).collect();
        let text = fitting(Report::Logs {
            lines: lines.clone(),
        });
        assert!(text.len() <= limits::REPORT && text.len() > limits::REPORT / 2);
        let Report::Logs { lines: left } = serde_json::from_str(&text).unwrap() else {
            panic!("{text}");
        };
        assert_eq!(left, lines[lines.len() - left.len()..]);
        let endless = vec!["x".repeat(2 * limits::REPORT)];
        assert_eq!(
            fitting(Report::Logs { lines: endless }),
            r#"{"kind":"logs","lines":[]}"#
        );
    }
}
