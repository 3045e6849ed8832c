//! When a party was heard last, as far as its presence tells: by the party's own clock, which may be wrong.
//!
//! The hub knows better when a presence came, but could say what it likes.

use e3_core::document::Presence;
use e3_core::time::Time;

use crate::output::table::seconds;

/// Seconds after which a party that says nothing is shown as silent, and by which clocks may differ without a word.
const SILENT: i64 = 15 * 60;

/// When a party was heard last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// So many seconds ago.
    Ago(i64),
    /// Nobody can tell: its clock is so many seconds ahead of ours.
    Ahead(i64),
}

impl Heard {
    /// What `presence` says of that. A machine whose clock is behind signs with a time at which the head that it holds was
    /// there already (rule 10).
    pub(super) fn of(presence: &Presence, now: Time) -> Self {
        match now.since(presence.signed) {
            ago if ago < -SILENT => Self::Ahead(-ago),
            ago => Self::Ago(ago),
        }
    }

    /// Whether it has been silent for long.
    pub(super) const fn is_silent(self) -> bool {
        matches!(self, Self::Ago(SILENT..))
    }

    /// A few words for a column.
    pub(super) fn brief(self) -> String {
        match self {
            Self::Ago(ago) => format!("{} ago", seconds(ago)),
            Self::Ahead(_) => "?".to_owned(),
        }
    }

    /// What is wrong with its clock, if something is.
    pub(super) fn note(self) -> Option<String> {
        match self {
            Self::Ago(_) => None,
            Self::Ahead(ahead) => Some(format!(
                "its clock is {} ahead, so nobody can tell when it was heard last",
                seconds(ahead)
            )),
        }
    }

    /// How many seconds its clock is ahead, if so far that it matters.
    pub(super) const fn ahead(self) -> Option<i64> {
        match self {
            Self::Ahead(ahead) => Some(ahead),
            Self::Ago(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use e3_core::key::SecretKey;

    use super::*;

    const NOW: i64 = 1_795_341_600;

    /// What is told of a party that has signed at this time.
    fn heard(signed: i64) -> Heard {
        let key = SecretKey::from_seed(&[1; 32]).public();
        let presence = Presence {
            fleet: "fleet".parse().unwrap(),
            party: key,
            name: "alice".parse().unwrap(),
            owner: key,
            counter: 1,
            signed: Time::from_unix(signed),
            agent: "0.1.0".to_owned(),
            image: None,
            addresses: Vec::new(),
            meshes: std::collections::BTreeMap::default(),
            mesh_keys: std::collections::BTreeMap::default(),
            mesh_endpoints: std::collections::BTreeMap::default(),
            degraded: None,
            update: None,
            root: 1,
            head: 1,
            sessions: Vec::new(),
        };
        Heard::of(&presence, Time::from_unix(NOW))
    }

    #[test]
    fn a_clock_that_is_nearly_right_tells_when_a_party_was_heard() {
        assert_eq!(heard(NOW - 30), Heard::Ago(30));
        assert!(!heard(NOW - 899).is_silent());
        assert!(heard(NOW - 900).is_silent());
        // Somewhat ahead: as clocks are.
        assert_eq!(heard(NOW + 60), Heard::Ago(-60));
        assert_eq!(heard(NOW + 60).note(), None);
    }

    #[test]
    fn a_party_of_2099_was_not_heard_just_now() {
        let heard = heard(4_083_955_200);
        assert_eq!((heard.brief().as_str(), heard.is_silent()), ("?", false));
        assert_eq!(heard.ahead(), Some(4_083_955_200 - NOW));
        let note = heard.note().unwrap();
        assert!(note.starts_with("its clock is 26488 days ahead"), "{note}");
    }
}
