//! What the receipts of a session say together.
//!
//! A session is good only if every party exited with 0, all opened the same barrier, and the outputs
//! that the manifest declares equal have equal hashes. That is told here from receipts alone.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::digest::Digest;
use crate::document::{Comparison, Exit, Outcome, OutputHash, Receipt, Session};
use crate::envelope::{Envelope, Verified};
use crate::limits;

/// The judgement on a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether the session is good.
    pub good: bool,
    /// Everything that speaks against it, by party; empty if it is good.
    pub problems: Vec<Problem>,
}

/// Something that speaks against a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The party's place in the manifest.
    pub party: usize,
    /// What is wrong, in words.
    pub problem: String,
}

/// Opens the receipt of one party: signed by that party's key, for this very manifest and place.
pub fn open(session: &Verified<Session>, party: usize, bytes: &[u8]) -> Result<Receipt, String> {
    let envelope = Envelope::parse(bytes, limits::ENVELOPE).map_err(|error| error.to_string())?;
    let no_such_party = || format!("the session has no party {party}");
    let key = session
        .document
        .parties
        .get(party)
        .ok_or_else(no_such_party)?
        .key;
    let receipt: Receipt = envelope
        .verify(&[key], 1)
        .map_err(|error| error.to_string())?
        .document;
    let Session { fleet, name, .. } = &session.document;
    let fits = receipt.manifest == session.digest
        && receipt.party == party
        && receipt.key == key
        && (&receipt.fleet, &receipt.session) == (fleet, name);
    if fits {
        Ok(receipt)
    } else {
        Err("it is the receipt of another session or party".to_owned())
    }
}

/// Judges a session by the receipts of its parties, in their order; `None` where there is none.
pub fn judge(session: &Session, receipts: &[Option<Receipt>]) -> Verdict {
    let mut problems = Vec::new();
    let mut problem = |party: usize, text: String| {
        problems.push(Problem {
            party,
            problem: text,
        });
    };
    let barriers: Vec<Option<Digest>> = receipts
        .iter()
        .flatten()
        .map(|receipt| receipt.barrier)
        .collect();
    let common = most_common(&barriers).flatten();
    let mut outputs = Vec::new();
    for (party, receipt) in (0..session.parties.len())
        .map(|party| (party, receipts.get(party).and_then(Option::as_ref)))
    {
        let Some(receipt) = receipt else {
            problem(party, "there is no receipt".to_owned());
            continue;
        };
        if let Outcome::Failed { failure } = &receipt.outcome {
            problem(party, format!("it says that the session failed: {failure}"));
            continue;
        }
        if !receipt.exit.is_some_and(Exit::is_success) {
            problem(party, "its program did not exit with 0".to_owned());
        }
        if receipt.barrier.is_none() || receipt.barrier != common {
            problem(
                party,
                "it started from another barrier than the others".to_owned(),
            );
        }
        if receipt.program != Some(session.program.pack.digest) {
            problem(party, "it ran another program".to_owned());
        }
        if receipt.mpyc != Some(session.mpyc.wheel.digest) {
            problem(party, "it ran another MPyC".to_owned());
        }
        let equal: Vec<OutputHash> = receipt
            .outputs
            .iter()
            .filter(|o| o.comparison == Comparison::Equal)
            .cloned()
            .collect();
        let declared = session
            .equal
            .iter()
            .all(|name| equal.iter().filter(|o| o.name == *name).count() == 1);
        if !declared {
            problem(
                party,
                "it lacks the hash of an output that is declared equal".to_owned(),
            );
        }
        outputs.push((party, equal));
    }
    if let Some(place) = differing(&outputs.iter().map(|o| &o.1).collect::<Vec<_>>()) {
        problem(
            outputs[place].0,
            format!(
                "its {} differs from the other parties'",
                output_name(session)
            ),
        );
    }
    Verdict {
        good: problems.is_empty(),
        problems,
    }
}

/// The first place whose outputs differ from what most have.
pub(super) fn differing(outputs: &[&Vec<OutputHash>]) -> Option<usize> {
    let common = most_common(outputs)?;
    outputs.iter().position(|output| *output != common)
}

/// The name of the output that is compared: the manifest's word for it, never another party's.
pub(super) fn output_name(session: &Session) -> String {
    session
        .equal
        .first()
        .cloned()
        .unwrap_or_else(|| "output".to_owned())
}

/// What most of them are; among equals the one that comes first.
fn most_common<T: Clone + PartialEq>(items: &[T]) -> Option<T> {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for item in items {
        let first = items.iter().position(|other| other == item)?;
        *counts.entry(first).or_default() += 1;
    }
    let (first, _) = counts
        .into_iter()
        .max_by_key(|(first, count)| (*count, usize::MAX - first))?;
    Some(items[first].clone())
}
