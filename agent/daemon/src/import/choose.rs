//! Which join file counts when there are several. Decides; does nothing.
//!
//! 1. What is new counts before what was there at the last look: somebody has just put it there.
//! 2. Among those, the order of the sources: credential, the image's own place, `/etc/e3/e3.toml`.
//! 3. Several at one source (the users of a computer) have no order: if they disagree, none of them is taken.
//! 4. A machine that has joined is moved only from where it was joined, or from the owner's place `/etc/e3/e3.toml`:
//!    whoever may write to some other place cannot take it away, or give it another policy.
//!
//! Files that agree are one. What disagrees with the one that counts is always named.

use e3_client::join::Join;

/// A join file that could be used.
#[derive(Clone)]
pub struct Found {
    /// Where it lies.
    pub place: String,
    /// Which source it comes from, counted in their order.
    pub rank: usize,
    /// Whether it was not there, or different, at the last look.
    pub is_new: bool,
    /// Whether it has counted before.
    pub used: bool,
    /// Whether only the machine's owner can write there.
    pub is_owners: bool,
    /// What it says.
    pub join: Join,
}

/// How the machine stands.
pub struct Standing {
    /// Whether it has joined its fleet.
    pub has_joined: bool,
    /// What it follows, and from where.
    pub current: Option<(String, Join)>,
}

/// What to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Which to take, if another one than before.
    pub take: Option<usize>,
    /// Which ones disagree with what counts: they have to be named, with its place.
    pub against: Option<(String, Vec<usize>)>,
    /// Which ones disagree with each other, so that none of them is taken.
    pub refused: Vec<usize>,
}

/// Decides.
pub fn choose(found: &[Found], standing: &Standing) -> Choice {
    let current = standing.current.as_ref();
    let is_current = |f: &Found| current.is_some_and(|(place, _)| *place == f.place);
    // Rule 4.
    let may = |f: &Found| !standing.has_joined || current.is_none() || f.is_owners || is_current(f);
    // What was there before counts if what is followed has been taken away before it was of any use.
    let is_left = current.is_none() || (!standing.has_joined && !found.iter().any(is_current));
    let mut choice = Choice::default();
    // Rules 1 and 2.
    for is_new in [true, false] {
        let counts = |f: &Found| may(f) && if is_new { f.is_new } else { is_left };
        for rank in 0..=found.iter().map(|f| f.rank).max().unwrap_or_default() {
            let of_rank = || {
                found
                    .iter()
                    .enumerate()
                    .filter(move |(_, f)| f.rank == rank)
            };
            let first = of_rank().find(|(_, f)| counts(f) && is_current(f));
            let Some((at, one)) = first.or_else(|| of_rank().find(|(_, f)| counts(f))) else {
                continue;
            };
            // Rule 3. What is followed already is not put in doubt by its neighbours.
            let others = || of_rank().filter(|(_, f)| may(f));
            if !is_current(one) && others().any(|(_, f)| !f.join.agrees_with(&one.join)) {
                if choice.refused.is_empty() {
                    choice.refused = others().map(|(at, _)| at).collect();
                }
                continue;
            }
            choice.take = Some(at);
            break;
        }
        if choice.take.is_some() {
            break;
        }
    }
    let taken = choice.take.map(|at| (&found[at].place, &found[at].join));
    if let Some((place, join)) = taken.or(current.map(|(place, join)| (place, join))) {
        // One that has had its time, and lies where it cannot be removed, says nothing any more.
        let names = |(at, f): &(usize, &Found)| {
            let has_had_its_time = f.used && !f.is_new;
            let is_named = has_had_its_time || choice.refused.contains(at);
            !is_named && !f.join.agrees_with(join)
        };
        let against: Vec<usize> = found
            .iter()
            .enumerate()
            .filter(names)
            .map(|(at, _)| at)
            .collect();
        choice.against = Some((place.clone(), against)).filter(|(_, all)| !all.is_empty());
    }
    choice
}

#[cfg(test)]
mod tests {
    use e3_core::digest::Digest;
    use e3_core::key::SecretKey;

    use super::*;

    fn join(name: &str) -> Join {
        Join {
            fleet: "f".parse().unwrap(),
            hub: "https://hub.example".to_owned(),
            hub_ca: None,
            root: Digest::of(b"root"),
            name: name.parse().unwrap(),
            owner: SecretKey::from_seed(&[1; 32]).public(),
            token: None,
            policy: None,
            wifi: None,
            ssh_keys: Vec::new(),
        }
    }

    /// A file at `place` for the party `name`; the place's first letter says which source it is.
    fn found(place: &str, name: &str, is_new: bool) -> Found {
        Found {
            place: place.to_owned(),
            rank: usize::from(place.as_bytes()[0] - b'a'),
            is_new,
            used: false,
            is_owners: place.starts_with('z'),
            join: join(name),
        }
    }

    fn decide(
        found: &[Found],
        has_joined: bool,
        current: Option<(&str, &str)>,
    ) -> (Option<String>, Vec<String>, Vec<String>) {
        let current = current.map(|(place, name)| (place.to_owned(), join(name)));
        let choice = choose(
            found,
            &Standing {
                has_joined,
                current,
            },
        );
        let names = |all: Vec<usize>| all.into_iter().map(|at| found[at].place.clone()).collect();
        (
            choice.take.map(|at| found[at].place.clone()),
            names(choice.against.map(|(_, all)| all).unwrap_or_default()),
            names(choice.refused),
        )
    }

    const NONE: [String; 0] = [];

    #[test]
    fn the_first_by_order_counts_and_the_other_one_is_named() {
        let two = [found("b", "bob", true), found("z", "alice", true)];
        let (take, against, refused) = decide(&two, false, None);
        assert_eq!(take.as_deref(), Some("b"));
        assert_eq!((against, refused), (vec!["z".to_owned()], NONE.to_vec()));
        let same = [found("b", "bob", true), found("z", "bob", true)];
        let (take, against, _) = decide(&same, false, None);
        assert_eq!((take.as_deref(), against), (Some("b"), NONE.to_vec()));
    }

    #[test]
    fn a_new_one_takes_the_place_of_an_old_one_that_was_of_no_use() {
        let mut two = [found("b", "bob", false), found("z", "bob2", true)];
        two[0].used = true;
        let (take, against, _) = decide(&two, false, Some(("b", "bob")));
        assert_eq!((take.as_deref(), against), (Some("z"), NONE.to_vec()));
        // From then on nothing changes, and nobody complains of the one that cannot be removed.
        two[1].is_new = false;
        let (take, against, _) = decide(&two, false, Some(("z", "bob2")));
        assert_eq!((take, against), (None, NONE.to_vec()));
    }

    #[test]
    fn the_other_one_counts_when_the_first_is_taken_away_before_the_machine_has_joined() {
        let left = [found("z", "alice", false)];
        assert_eq!(
            decide(&left, false, Some(("b", "bob"))).0.as_deref(),
            Some("z")
        );
        let (take, against, _) = decide(&left, true, Some(("b", "bob")));
        assert_eq!((take, against), (None, vec!["z".to_owned()]));
    }

    #[test]
    fn a_machine_that_has_joined_is_moved_by_its_owner_alone() {
        for (place, taken) in [("b", true), ("c", false), ("z", true)] {
            let (take, against, _) = decide(&[found(place, "eve", true)], true, Some(("b", "bob")));
            assert_eq!(take.is_some(), taken, "{place}");
            assert_eq!(against.is_empty(), taken, "{place}");
        }
    }

    #[test]
    fn users_who_disagree_are_refused_by_name_and_the_next_source_counts() {
        let users = || vec![found("b/alice", "alice", true), found("b/bob", "bob", true)];
        let (take, _, refused) = decide(&users(), false, None);
        assert_eq!((take, refused.len()), (None, 2));
        // Seen once, they stay refused.
        let mut old = users();
        for one in &mut old {
            one.is_new = false;
        }
        assert_eq!(decide(&old, false, None).2.len(), 2);
        // One of them goes.
        assert_eq!(decide(&old[1..], false, None).0.as_deref(), Some("b/bob"));
        let mut three = users();
        three.push(found("z", "carol", true));
        let (take, _, refused) = decide(&three, false, None);
        assert_eq!((take.as_deref(), refused.len()), (Some("z"), 2));
        // A second user cannot disturb the one that is followed.
        let mut later = users();
        later[0].is_new = false;
        let (take, against, refused) = decide(&later, true, Some(("b/alice", "alice")));
        assert_eq!((take, refused), (None, NONE.to_vec()));
        assert_eq!(against, ["b/bob"]);
    }

    #[test]
    fn nothing_found_changes_nothing() {
        assert_eq!(
            decide(&[], true, Some(("b", "bob"))),
            (None, vec![], vec![])
        );
        assert_eq!(decide(&[], false, None), (None, vec![], vec![]));
    }
}
