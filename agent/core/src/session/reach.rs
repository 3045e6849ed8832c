//! Who keeps MPyC from connecting, told from what every party's MPyC says it has connected.
//!
//! MPyC dials one party after the other, upwards from its own place, and waits for each as long as
//! it takes. So a party that is not connected need not be out of reach: perhaps nobody has come as
//! far as dialling it. What counts is whom somebody is dialling in vain.

use std::collections::BTreeSet;

use super::{Failure, Reason};

/// The parties that MPyC at one party has connected; `None` before its program has started MPyC.
pub type Reach = Option<BTreeSet<usize>>;

/// Whom the MPyC of a party has connected in the end.
pub(super) fn everybody(me: usize, parties: usize) -> BTreeSet<usize> {
    (0..parties).filter(|party| *party != me).collect()
}

/// Whom to name when `seconds` are over; `reach` is in the order of the parties.
///
/// First whoever has not started MPyC: nobody can reach it. Then the party that most of the pairs
/// have in common that could not connect; of a single pair the one that was dialled. `detail` is what
/// MPyC at party `me` complained of last: it is told if that party is the one who dials in vain.
pub(super) fn blame(reach: &[Reach], seconds: u64, me: usize, detail: &str) -> Failure {
    let mut idle = (0..reach.len()).filter(|party| reach[*party].is_none());
    if let Some(first) = idle.next() {
        let others = idle.collect();
        return Failure::at(first, Reason::NotStarted { seconds, others });
    }
    let pairs = pairs(reach);
    let degree = |party: usize| {
        let dialled = pairs.iter().filter(|pair| pair.1 == party).count();
        let dials = pairs.iter().filter(|pair| pair.0 == party).count();
        (dialled + dials, dialled)
    };
    let ends = pairs.iter().flat_map(|pair| [pair.0, pair.1]);
    let party = ends
        .max_by_key(|party| (degree(*party), usize::MAX - party))
        .unwrap_or(me);
    let tells = pairs.is_empty() || pairs.iter().any(|pair| pair.0 == me);
    let detail = if tells { detail } else { "" }.to_owned();
    let reason = Reason::NotConnected {
        seconds,
        pairs,
        detail,
    };
    Failure::at(party, reason)
}

/// The pairs that tried to connect and have not, each as who dials and who is dialled.
fn pairs(reach: &[Reach]) -> Vec<(usize, usize)> {
    let has = |party: usize, other: usize| {
        let reach: Option<&BTreeSet<usize>> = reach[party].as_ref();
        reach.is_some_and(|reach| reach.contains(&other))
    };
    let parties = reach.len();
    let mut pairs = Vec::new();
    for party in 0..parties {
        let dialling = (party + 1..parties).find(|other| !has(party, *other));
        for other in party + 1..parties {
            let tried = dialling == Some(other) || has(party, other) || has(other, party);
            if tried && !(has(party, other) && has(other, party)) {
                pairs.push((party, other));
            }
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What four parties have connected when some cannot dial others.
    fn stuck(parties: usize, blocked: &[(usize, usize)]) -> Vec<Reach> {
        let mut reach = vec![BTreeSet::new(); parties];
        for party in 0..parties {
            for other in party + 1..parties {
                if blocked.contains(&(party, other)) {
                    break;
                }
                reach[party].insert(other);
                reach[other].insert(party);
            }
        }
        reach.into_iter().map(Some).collect()
    }

    fn named(reach: &[Reach]) -> (usize, Vec<(usize, usize)>) {
        let failure = blame(reach, 10, 0, "");
        match failure.reason {
            Reason::NotConnected { pairs, .. } => (failure.party, pairs),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn who_has_not_started_is_named_before_whoever_waits_for_it() {
        let mut reach = stuck(4, &[(0, 2), (1, 2)]);
        reach[2] = None;
        let idle = |others| Reason::NotStarted {
            seconds: 10,
            others,
        };
        assert_eq!(blame(&reach, 10, 0, "x"), Failure::at(2, idle(vec![])));
        reach[3] = None;
        assert_eq!(blame(&reach, 10, 0, "x"), Failure::at(2, idle(vec![3])));
    }

    #[test]
    fn whom_nobody_can_reach_is_named_and_not_whoever_dials_in_vain() {
        let pairs = vec![(0, 2), (1, 2)];
        assert_eq!(named(&stuck(4, &pairs)), (2, pairs));
        // One that can neither be dialled nor dial itself.
        let pairs = vec![(0, 1), (1, 2)];
        assert_eq!(named(&stuck(4, &pairs)), (1, pairs));
    }

    #[test]
    fn of_a_single_pair_the_one_that_was_dialled_is_named() {
        for pair in [(0, 1), (1, 3), (2, 3)] {
            assert_eq!(named(&stuck(4, &[pair])), (pair.1, vec![pair]));
        }
    }

    #[test]
    fn a_connection_that_only_one_side_has_is_none() {
        let mut reach = stuck(3, &[]);
        reach[2].as_mut().unwrap().remove(&0);
        assert_eq!(named(&reach), (2, vec![(0, 2)]));
    }

    #[test]
    fn the_complaint_is_told_by_whoever_dials_in_vain() {
        let reach = stuck(3, &[(1, 2)]);
        let detail = |me| match blame(&reach, 10, me, "refused").reason {
            Reason::NotConnected { detail, .. } => detail,
            other => panic!("{other}"),
        };
        assert_eq!([0, 1, 2].map(detail), ["", "refused", ""]);
    }
}
