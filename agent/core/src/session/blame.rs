//! Which of several explanations is the cause.
//!
//! When one program dies, the others' connections break and some of them die, too. Every party
//! collects what it finds and hears during [`super::Timer::Grace`] and picks by a fixed order, so
//! that all name the same culprit: causes before their consequences, then the lowest place.

use super::{Failure, Reason};

/// Python exceptions that a program gets when *another* party goes away.
const CONNECTION_ERRORS: [&str; 7] = [
    "ConnectionResetError",
    "ConnectionAbortedError",
    "ConnectionRefusedError",
    "BrokenPipeError",
    "ConnectionError",
    "IncompleteReadError",
    "TimeoutError",
];

/// The best explanation.
///
/// # Panics
/// If there is none; a failing session always has one.
pub(super) fn best(candidates: &[Failure]) -> &Failure {
    candidates
        .iter()
        .min_by_key(|failure| (rank(&failure.reason), failure.party))
        .expect("a failing session has at least one explanation")
}

/// Lower is nearer to the cause.
fn rank(reason: &Reason) -> u8 {
    match reason {
        // A connection that went away explains nothing: somebody made it go away.
        Reason::Exited { exception: Some(exception), .. } if CONNECTION_ERRORS.contains(&exception.as_str()) => 4,
        // Silence is explained by whatever made the other one silent.
        Reason::Missing { .. } | Reason::NotConnected { .. } | Reason::TimedOut { .. } => 3,
        Reason::Lost | Reason::AgentRestarted => 2,
        Reason::Exited { .. } | Reason::OutputDiffers { .. } | Reason::BarrierMismatch => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_blamed_before_its_consequences() {
        let exited = |party, exception: &str| {
            Failure::at(party, Reason::Exited { code: 1, exception: Some(exception.to_owned()) })
        };
        let killed = Failure::at(2, Reason::Killed { signal: 9 });
        let lost = Failure::at(2, Reason::Lost);
        let reset = exited(0, "ConnectionResetError");
        assert_eq!(best(&[reset.clone(), lost.clone(), killed.clone()]), &killed);
        assert_eq!(best(&[reset.clone(), lost.clone()]), &lost);
        assert_eq!(best(&[reset, exited(1, "ValueError")]), &exited(1, "ValueError"));
        assert_eq!(best(&[exited(2, "ValueError"), exited(1, "ValueError")]), &exited(1, "ValueError"));
    }
}
