//! When a party was heard last, as far as its presence tells: by the party's own clock, which may be wrong.
//!
//! The hub knows better when a presence came, but could say what it likes.

use e3_core::document::{Head, Presence};
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
    /// Nobody can tell: its clock is behind the head, so that it signs all with the head's time (rule 10), so many seconds ago.
    Behind(i64),
}

impl Heard {
    /// What `presence` says of that, with `head` the current one.
    pub(super) fn of(presence: &Presence, head: &Head, now: Time) -> Self {
        let ago = now.since(presence.signed);
        if ago < -SILENT {
            Self::Ahead(-ago)
        } else if ago > SILENT && presence.signed == head.signed && presence.head == head.counter {
            Self::Behind(ago)
        } else {
            Self::Ago(ago)
        }
    }

    /// Whether it has been silent for long. A clock that is behind does not excuse it: it may be gone.
    pub(super) const fn is_silent(self) -> bool {
        matches!(self, Self::Ago(SILENT..) | Self::Behind(_))
    }

    /// A few words for a column.
    pub(super) fn brief(self) -> String {
        match self {
            Self::Ago(ago) => format!("{} ago", seconds(ago)),
            Self::Ahead(_) | Self::Behind(_) => "?".to_owned(),
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
            Self::Behind(ago) => Some(format!(
                "it is silent, or its clock is at least {} behind",
                seconds(ago)
            )),
        }
    }

    /// How many seconds its clock is ahead, if so far that it matters.
    pub(super) const fn ahead(self) -> Option<i64> {
        match self {
            Self::Ahead(ahead) => Some(ahead),
            Self::Ago(_) | Self::Behind(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use e3_core::digest::Digest;
    use e3_core::document::{Mesh, RootRef};
    use e3_core::key::SecretKey;

    use super::*;

    const NOW: i64 = 1_795_341_600;
    const HEAD_SIGNED: i64 = NOW - 2 * 86_400;

    /// What a party is told to be that has signed at this time, and knows this head.
    fn heard(signed: i64, head: u64) -> Heard {
        let key = SecretKey::from_seed(&[1; 32]).public();
        let presence = Presence {
            fleet: "fleet".parse().unwrap(),
            party: key,
            name: "alice".parse().unwrap(),
            owner: key,
            counter: 1,
            signed: Time::from_unix(signed),
            agent: "0.1.0".to_owned(),
            addresses: Vec::new(),
            mesh: Mesh::None,
            degraded: None,
            update: None,
            root: 1,
            head,
            sessions: Vec::new(),
        };
        let current = Head {
            fleet: presence.fleet.clone(),
            epoch: 1,
            root: RootRef {
                version: 1,
                digest: Digest::of(b"root"),
            },
            counter: 7,
            signed: Time::from_unix(HEAD_SIGNED),
            expires: Time::from_unix(NOW + 86_400),
            sessions: Vec::new(),
            revoked: Vec::new(),
            release: None,
        };
        Heard::of(&presence, &current, Time::from_unix(NOW))
    }

    #[test]
    fn a_clock_that_is_nearly_right_tells_when_a_party_was_heard() {
        assert_eq!(heard(NOW - 30, 7), Heard::Ago(30));
        assert!(!heard(NOW - 899, 7).is_silent());
        assert!(heard(NOW - 900, 7).is_silent());
        // Somewhat ahead: as clocks are.
        assert_eq!(heard(NOW + 60, 7), Heard::Ago(-60));
        assert_eq!(heard(NOW + 60, 7).note(), None);
    }

    #[test]
    fn a_party_of_2099_was_not_heard_just_now() {
        let heard = heard(4_083_955_200, 7);
        assert_eq!(heard.brief(), "?");
        assert!(!heard.is_silent());
        let note = heard.note().unwrap();
        assert!(note.starts_with("its clock is 26488 days ahead"), "{note}");
    }

    #[test]
    fn a_party_of_1970_signs_with_the_heads_time_and_may_not_be_silent() {
        let behind = heard(HEAD_SIGNED, 7);
        assert_eq!(behind, Heard::Behind(2 * 86_400));
        assert!(behind.is_silent());
        assert!(behind.note().unwrap().contains("at least 2 days behind"));
        // With an older head it has been away, whatever its clock.
        assert_eq!(heard(HEAD_SIGNED, 6), Heard::Ago(2 * 86_400));
        assert_eq!(heard(HEAD_SIGNED + 1, 7).note(), None);
    }
}
