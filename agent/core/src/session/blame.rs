//! Which of several explanations is the cause.
//!
//! When one program dies, the others' connections break and some of them die, too. Every party
//! collects what it finds and hears during [`super::Timer::Grace`] and picks by a fixed order, so
//! that all name the same culprit: causes before their consequences, then the lowest place.

use std::collections::BTreeMap;

use super::{Failure, Reason};

/// Python exceptions that a program gets when *another* party goes away.
const CONNECTION_ERRORS: [&str; 9] = [
    "ConnectionResetError",
    "ConnectionAbortedError",
    "ConnectionRefusedError",
    "BrokenPipeError",
    "ConnectionError",
    "IncompleteReadError",
    "TimeoutError",
    // The same under TLS.
    "SSLEOFError",
    "SSLZeroReturnError",
];

/// The explanations of a failing session: from each party the best that it has given.
///
/// One for each party who says it, so that nobody can crowd out the others. It is never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidates(BTreeMap<usize, Failure>);

impl Candidates {
    /// The first explanation, said by party `by`.
    pub(super) fn new(by: usize, failure: Failure) -> Self {
        Self(BTreeMap::from([(by, failure)]))
    }

    /// Notes what party `by` says, if it is better than what it said before; tells whether it is.
    pub(super) fn add(&mut self, by: usize, failure: Failure) -> bool {
        let better = self
            .0
            .get(&by)
            .is_none_or(|known| key(&failure) < key(known));
        if better {
            self.0.insert(by, failure);
        }
        better
    }

    /// Whether party `by` has given an explanation.
    pub(super) fn has(&self, by: usize) -> bool {
        self.0.contains_key(&by)
    }

    /// The best explanation.
    pub fn best(&self) -> &Failure {
        self.0
            .values()
            .min_by_key(|failure| key(failure))
            .expect("there is always one")
    }
}

fn key(failure: &Failure) -> (u8, usize, bool) {
    // Among those who say the same, whoever has an error to show.
    let silent =
        matches!(&failure.reason, Reason::NotConnected { detail, .. } if detail.is_empty());
    (rank(&failure.reason), failure.party, silent)
}

/// Lower is nearer to the cause.
fn rank(reason: &Reason) -> u8 {
    match reason {
        // A connection that went away explains nothing: somebody made it go away.
        Reason::Exited {
            exception: Some(exception),
            ..
        } if CONNECTION_ERRORS.contains(&exception.as_str()) => 7,
        // Silence is explained by whatever made the other one silent, and two parties see different
        // proofs of readiness also when one of them was restarted in between.
        // Among silences: who has not started explains why others do not connect, and that why they
        // do not end.
        Reason::TimedOut { .. } => 6,
        Reason::NotConnected { .. } => 5,
        Reason::Missing { .. } | Reason::NotStarted { .. } | Reason::BarrierMismatch => 4,
        Reason::Lost => 3,
        // Who was restarted knows why it was lost, and finds others gone that had simply finished.
        Reason::AgentRestarted => 2,
        Reason::Exited { .. } | Reason::OutputDiffers { .. } => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(failures: &[Failure]) -> Failure {
        let mut candidates = Candidates::new(0, failures[0].clone());
        for (by, failure) in failures.iter().enumerate() {
            candidates.add(by, failure.clone());
        }
        candidates.best().clone()
    }

    #[test]
    fn nobody_can_crowd_out_the_others() {
        let at = |party, reason| Failure::at(party, reason);
        let mut candidates = Candidates::new(1, at(1, Reason::Lost));
        assert!(candidates.add(0, at(1, Reason::Killed { signal: 9 })));
        for party in 1..1000 {
            candidates.add(2, at(party, Reason::Stopped));
        }
        assert_eq!(candidates.0.len(), 3);
        assert_eq!(candidates.best(), &at(1, Reason::Killed { signal: 9 }));
        // What a party says later counts only if it explains more.
        assert!(!candidates.add(0, at(2, Reason::Lost)));
    }

    #[test]
    fn the_cause_is_blamed_before_its_consequences() {
        let exited = |party, exception: &str| {
            Failure::at(
                party,
                Reason::Exited {
                    code: 1,
                    exception: Some(exception.to_owned()),
                },
            )
        };
        let killed = Failure::at(2, Reason::Killed { signal: 9 });
        let lost = Failure::at(2, Reason::Lost);
        let reset = exited(0, "ConnectionResetError");
        assert_eq!(best(&[reset.clone(), lost.clone(), killed.clone()]), killed);
        assert_eq!(best(&[reset.clone(), lost.clone()]), lost);
        assert_eq!(
            best(&[reset, exited(1, "ValueError")]),
            exited(1, "ValueError")
        );
        assert_eq!(
            best(&[exited(2, "ValueError"), exited(1, "ValueError")]),
            exited(1, "ValueError")
        );
    }
}
