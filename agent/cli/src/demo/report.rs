//! What the demo shows in the end: the result, who signed for it, and what to do next.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use e3_core::document::{Outcome, Session};
use e3_core::envelope::Verified;
use e3_core::session::Failure;
use e3_core::text::clean_lines;
use serde_json::{Value, json};

use super::fault;
use super::plan::Plan;
use crate::args::Fault;
use crate::commands::session::verdict::Conclusion;
use crate::error::Exit;
use crate::output::Answer;

/// Everything there is to say.
pub struct Report<'a> {
    /// What was asked for.
    pub plan: &'a Plan,
    /// The session.
    pub session: &'a Verified<Session>,
    /// What the receipts say.
    pub conclusion: &'a Conclusion,
    /// What each party's program printed.
    pub results: Vec<Option<String>>,
    /// From the push to the last receipt.
    pub push_to_receipts: Duration,
    /// The same program without E3.
    pub bare: Option<Duration>,
    /// The whole demo.
    pub total: Duration,
    /// What was broken on purpose.
    pub fault: Option<Fault>,
    /// The folder, if it is kept.
    pub kept: Option<PathBuf>,
}

impl Report<'_> {
    /// The answer of the command.
    pub fn answer(&self) -> Answer {
        let as_wanted = match self.fault {
            None => self.conclusion.verdict.good,
            Some(fault) => self.is_named(fault),
        };
        let exit = if as_wanted { Exit::Ok } else { Exit::Failed };
        Answer::new(self.text(), self.json()).exit(exit)
    }

    /// Whether every receipt names the last party and the reason that was made.
    fn is_named(&self, fault: Fault) -> bool {
        let failures = self.failures();
        let named = |failure: &&Failure| {
            failure.party == self.plan.count - 1 && failure.reason.kind() == fault::expected(fault)
        };
        // A party that is offline signs nothing.
        let signing = if fault == Fault::Offline {
            self.plan.count - 1
        } else {
            self.plan.count
        };
        failures.len() == signing && failures.iter().all(named)
    }

    fn failures(&self) -> Vec<&Failure> {
        let receipts = self.conclusion.receipts.iter().flatten();
        receipts
            .filter_map(|receipt| match &receipt.outcome {
                Outcome::Failed { failure } => Some(failure),
                Outcome::Done => None,
            })
            .collect()
    }

    /// One result if all parties printed the same, else one per party.
    fn result(&self) -> Value {
        let printed: Vec<Option<&str>> = self
            .results
            .iter()
            .map(|text| text.as_deref().map(str::trim_end))
            .collect();
        match printed.first() {
            Some(first) if printed.iter().all(|other| other == first) => json!(first),
            _ => json!(printed),
        }
    }

    fn json(&self) -> Value {
        let seconds = |duration: Duration| (duration.as_secs_f64() * 1000.0).round() / 1000.0;
        let timings: Vec<_> = self
            .conclusion
            .receipts
            .iter()
            .flatten()
            .map(|receipt| receipt.timings)
            .collect();
        if let Some(failure) = &self.conclusion.culprit {
            return json!({
                "outcome": "failed", "party": failure.party, "reason": failure.reason.kind(),
                "message": failure.reason.to_string(), "details": failure.reason,
                "named_by": self.failures().iter().filter(|other| **other == failure).count(),
                "parties": self.plan.count, "manifest": self.session.digest,
                "seconds": {"push_to_receipts": seconds(self.push_to_receipts), "total": seconds(self.total)},
            });
        }
        let good = self.conclusion.verdict.good;
        json!({
            "outcome": if good { "done" } else { "failed" },
            "parties": self.plan.count,
            "receipts": if good { "verified" } else { "refused" },
            "result": self.result(),
            "manifest": self.session.digest,
            "problems": self.conclusion.verdict.problems,
            "seconds": {
                "push_to_receipts": seconds(self.push_to_receipts),
                "bare": self.bare.map(seconds),
                "total": seconds(self.total),
            },
            "timings_ms": timings,
        })
    }

    fn text(&self) -> String {
        let mut text = String::from("\n");
        match (&self.conclusion.culprit, self.conclusion.verdict.good) {
            (_, true) => self.good_news(&mut text),
            (Some(failure), false) => self.bad_news(&mut text, failure),
            (None, false) => {
                text.push_str("The session is not good:\n");
                for problem in &self.conclusion.verdict.problems {
                    let _ = writeln!(text, "  party {}: {}", problem.party, problem.problem);
                }
            }
        }
        if let Some(folder) = &self.kept {
            let _ = writeln!(text, "\nEverything is kept in {}", folder.display());
        }
        text
    }

    fn good_news(&self, text: &mut String) {
        match self.result() {
            Value::String(result) => {
                let _ = writeln!(text, "Result    {}", indented(&result));
            }
            _ => {
                for (party, printed) in self.session.document.parties.iter().zip(&self.results) {
                    let printed = printed.as_deref().unwrap_or_default().trim_end();
                    let _ = writeln!(text, "{:<9} {}", party.name, indented(printed));
                }
            }
        }
        let count = self.plan.count;
        let _ = writeln!(
            text,
            "Receipts  {count} of {count} verified: same manifest, same program, same MPyC, all exited with 0"
        );
        let with = self.push_to_receipts.as_secs_f64();
        let _ = write!(text, "Time      {with:.2} s from push to the last receipt");
        match self.bare {
            Some(bare) => {
                let _ = writeln!(
                    text,
                    "; {:.2} s for the program alone, by hand",
                    bare.as_secs_f64()
                );
            }
            None => text.push('\n'),
        }
        text.push_str(
            "\nNobody but its owner has seen an input. Next:\n  \
             e3 demo --program FILE -- ARGS   # any MPyC program\n  \
             e3 demo --fault version          # see a failure being named\n  \
             e3 key new                       # begin a fleet of your own\n",
        );
    }

    fn bad_news(&self, text: &mut String, failure: &Failure) {
        let name = self
            .session
            .document
            .parties
            .get(failure.party)
            .map_or("?", |party| party.name.as_str());
        let _ = writeln!(
            text,
            "Failed    party {} ({name}): {}",
            failure.party, failure.reason
        );
        let said = self
            .failures()
            .iter()
            .filter(|other| **other == failure)
            .count();
        let signed = self.conclusion.receipts.iter().flatten().count();
        let _ = writeln!(
            text,
            "Receipts  {signed} signed, {said} of them name this party and this reason"
        );
        if self.fault.is_some() {
            text.push_str("\nThis was broken on purpose. With MPyC alone it is a silent hang, or a wrong result.\n");
        }
    }
}

/// What a program printed, under the words before it; nothing of it acts on the terminal.
fn indented(printed: &str) -> String {
    clean_lines(printed).replace('\n', "\n          ")
}
