//! Rule 13: each accept and each refusal goes into a journal that cannot be edited unnoticed.
//!
//! One JSON object a line. Each line carries the digest of the line before it, so that changing,
//! dropping or inserting one breaks every later one. (Cutting off the end cannot be seen from the
//! file alone; the agent therefore keeps the last digest in its state, too.) Writing lines to disk is
//! the daemon's part.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::time::Time;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Starts at 1 and rises by 1.
    pub sequence: u64,
    /// The digest of the line before, without its line end; of nothing for the first one.
    pub previous: Digest,
    /// When.
    pub time: Time,
    /// What it was about: `head`, `root`, `session`, `enrolment`, …
    pub subject: String,
    /// `accepted`, `refused`, or a state of a session.
    pub verdict: String,
    /// The document or session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// The end of a journal: what the next line builds on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tail {
    /// The number of lines.
    pub sequence: u64,
    /// The digest of the last one.
    pub digest: Digest,
}

/// Why a journal does not verify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct JournalError {
    /// Counted from 1.
    pub line: u64,
    /// What is wrong.
    pub problem: String,
}

impl Tail {
    /// The end of an empty journal.
    pub fn empty() -> Self {
        Self {
            sequence: 0,
            digest: Digest::of(b""),
        }
    }

    /// Makes the next line, without its line end, and moves on.
    pub fn append(
        &mut self,
        time: Time,
        subject: &str,
        verdict: &str,
        digest: Option<Digest>,
        detail: &str,
    ) -> String {
        let entry = Entry {
            sequence: self.sequence + 1,
            previous: self.digest,
            time,
            subject: subject.to_owned(),
            verdict: verdict.to_owned(),
            digest,
            detail: detail.to_owned(),
        };
        let line = serde_json::to_string(&entry).expect("entries always serialise");
        *self = Self {
            sequence: entry.sequence,
            digest: Digest::of(line.as_bytes()),
        };
        line
    }

    /// Checks one more line and moves on.
    pub fn verify(&mut self, line: &str) -> Result<Entry, JournalError> {
        let number = self.sequence + 1;
        let problem = |problem: String| JournalError {
            line: number,
            problem,
        };
        let entry: Entry = serde_json::from_str(line)
            .map_err(|error| problem(format!("cannot be read ({error})")))?;
        if entry.sequence != number {
            return Err(problem(format!(
                "has number {}; lines are missing or doubled",
                entry.sequence
            )));
        }
        if entry.previous != self.digest {
            return Err(problem(
                "does not follow from the line before it; one of them was changed".to_owned(),
            ));
        }
        *self = Self {
            sequence: number,
            digest: Digest::of(line.as_bytes()),
        };
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three_lines() -> Vec<String> {
        let mut tail = Tail::empty();
        (0..3)
            .map(|n| tail.append(Time::from_unix(n), "head", "accepted", None, ""))
            .collect()
    }

    fn verify(lines: &[String]) -> Result<Tail, JournalError> {
        let mut tail = Tail::empty();
        lines
            .iter()
            .try_for_each(|line| tail.verify(line).map(drop))
            .map(|()| tail)
    }

    #[test]
    fn every_edit_is_found() {
        let lines = three_lines();
        assert_eq!(verify(&lines).unwrap().sequence, 3);
        let mut changed = lines.clone();
        changed[1] = changed[1].replace("accepted", "refused");
        assert_eq!(verify(&changed).unwrap_err().line, 3);
        let mut dropped = lines.clone();
        dropped.remove(1);
        assert_eq!(verify(&dropped).unwrap_err().line, 2);
        let mut swapped = lines;
        swapped.swap(0, 1);
        assert_eq!(verify(&swapped).unwrap_err().line, 1);
    }
}
