//! What a session's receipts say together, in words and for scripts.

use std::fmt::Write as _;

use e3_core::document::{Outcome, Receipt, Session};
use e3_core::envelope::Verified;
use e3_core::session::verdict::{Verdict, judge};
use e3_core::session::{Failure, Reason};
use e3_core::text::clean_lines;
use serde_json::{Value, json};

use crate::error::Exit;
use crate::output::Answer;
use crate::output::table::table;

/// The outcome of a session.
#[derive(Debug, Clone)]
pub struct Conclusion {
    /// From the receipts alone.
    pub verdict: Verdict,
    /// Whose fault it was, if receipts say that it failed.
    pub culprit: Option<Failure>,
    /// The receipts, in the order of the parties.
    pub receipts: Vec<Option<Receipt>>,
}

/// Judges a session. The culprit is whom most receipts name; among equals the lowest place.
pub fn conclude(session: &Session, receipts: &[Option<Receipt>]) -> Conclusion {
    let failures: Vec<&Failure> = receipts
        .iter()
        .flatten()
        .filter_map(|receipt| match &receipt.outcome {
            Outcome::Failed { failure } => Some(failure),
            Outcome::Done => None,
        })
        .collect();
    let count = |failure: &Failure| failures.iter().filter(|other| ***other == *failure).count();
    let culprit = failures
        .iter()
        .max_by_key(|f| (count(f), usize::MAX - f.party))
        .map(|f| (*f).clone());
    Conclusion {
        verdict: judge(session, receipts),
        culprit,
        receipts: receipts.to_vec(),
    }
}

impl Conclusion {
    /// What is said of a session that is not good: the party's place, and why.
    pub fn blame(&self) -> Option<(usize, String)> {
        match &self.culprit {
            Some(Failure { party, reason }) => Some((*party, reason.to_string())),
            None => self
                .verdict
                .problems
                .first()
                .map(|p| (p.party, p.problem.clone())),
        }
    }

    /// The answer, with exit code 0 only for a good session.
    pub fn answer(&self, session: &Verified<Session>) -> Answer {
        let exit = if self.verdict.good {
            Exit::Ok
        } else {
            Exit::Failed
        };
        Answer::new(self.text(session), self.json(session)).exit(exit)
    }

    fn text(&self, session: &Verified<Session>) -> String {
        let Session { name, parties, .. } = &session.document;
        let (signed, all) = (self.receipts.iter().flatten().count(), parties.len());
        let mut text = String::new();
        let rows: Vec<[String; 4]> = parties
            .iter()
            .zip(&self.receipts)
            .map(|(party, receipt)| {
                let (state, time) = match receipt {
                    None => ("no receipt", "-".to_owned()),
                    Some(receipt) => {
                        let state = if receipt.outcome == Outcome::Done {
                            "done"
                        } else {
                            "failed"
                        };
                        (state, time(receipt))
                    }
                };
                let published = receipt
                    .as_ref()
                    .and_then(|receipt| receipt.published.as_deref());
                let output = published.map_or_else(String::new, first_line);
                [party.name.to_string(), state.to_owned(), time, output]
            })
            .collect();
        text.push_str(&table(["PARTY", "STATE", "TIME", "OUTPUT"], &rows));
        let digest = &session.digest;
        if self.verdict.good {
            let _ = writeln!(
                text,
                "\n{name} is good: all {all} parties signed that it ran as {digest} says, and ended well."
            );
            if !session.document.equal.is_empty() {
                text.push_str("Their outputs are equal.\n");
            }
            return text;
        }
        let _ = writeln!(
            text,
            "\n{name} failed: {signed} of {all} receipts of {digest}"
        );
        if let Some((party, reason)) = self.blame() {
            let _ = writeln!(
                text,
                "party {party} ({}): {reason}",
                name_of(&session.document, party)
            );
        }
        // Where all say the same it has been said.
        if self.culprit.is_none() {
            for problem in self.verdict.problems.iter().skip(1) {
                let _ = writeln!(
                    text,
                    "party {} ({}): {}",
                    problem.party,
                    name_of(&session.document, problem.party),
                    problem.problem
                );
            }
        }
        text
    }

    /// For scripts: `outcome`, and of a failed session `party`, `name` and `reason`.
    pub fn json(&self, session: &Verified<Session>) -> Value {
        let outcome = if self.verdict.good { "done" } else { "failed" };
        let mut json = json!({
            "session": session.document.name, "manifest": session.digest, "outcome": outcome,
            "verdict": self.verdict, "receipts": self.receipts.iter().flatten().count(),
            "parties": session.document.parties.iter().zip(&self.receipts).map(|(party, receipt)| json!({
                "name": party.name, "key": party.key, "receipt": receipt,
            })).collect::<Vec<_>>(),
        });
        if !self.verdict.good
            && let Some((party, text)) = self.blame()
        {
            json["party"] = json!(party);
            json["name"] = json!(name_of(&session.document, party));
            json["reason"] = self
                .culprit
                .as_ref()
                .map_or_else(|| json!({"text": text}), |f| reason(&f.reason));
        }
        json
    }
}

/// The typed reason, with its words.
fn reason(reason: &Reason) -> Value {
    let mut json = json!(reason);
    json["text"] = json!(reason.to_string());
    json
}

fn name_of(session: &Session, party: usize) -> String {
    session
        .parties
        .get(party)
        .map_or("unknown".to_owned(), |party| party.name.to_string())
}

fn time(receipt: &Receipt) -> String {
    let ms = receipt.timings.finished_ms;
    ms.map_or("-".to_owned(), |ms| {
        format!("{}.{:02} s", ms / 1000, ms % 1000 / 10)
    })
}

/// Published output comes from other people's programs: nothing of it acts on the terminal.
fn first_line(text: &str) -> String {
    let shown = clean_lines(text).replace('\t', " ");
    let line = shown
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    line.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_output_cannot_act_on_the_terminal() {
        assert_eq!(
            first_line("\n  \nsum\t= \x1b[2J\u{202e}6\nmore"),
            "sum = \u{fffd}[2J\u{fffd}6"
        );
        assert_eq!(first_line(&"x".repeat(100)).len(), 60);
        assert_eq!(first_line(""), "");
    }
}
