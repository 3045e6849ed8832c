//! Who belongs to a mesh that has no certificates: the fleet's head says it itself, key by key.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::check_key;
use crate::digest::Digest;
use crate::document::{DocumentError, ensure};
use crate::key::PublicKey;

/// Members of one mesh. Each machine of such a mesh knows all others, and heads are small: larger fleets want certificates.
pub const MEMBERS: usize = 128;
/// Keys that were taken back.
const REVOKED: usize = 256;

/// The members, and who is none any more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Roster {
    /// The members: each party once, each key once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
    /// Digests of the keys that are not accepted any more, as text in base64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<Digest>,
}

/// One party of a mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The party.
    pub party: PublicKey,
    /// Its public key there, in base64, as its presence names it.
    pub key: String,
}

/// What came of letting parties in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LetIn {
    /// Who has a place now that it had not before.
    pub new: Vec<PublicKey>,
    /// Who was not let in, since another party shows the same key: one of the two has copied it.
    pub disputed: Vec<Dispute>,
}

/// A key that two parties show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dispute {
    /// Who was not let in.
    pub party: PublicKey,
    /// Who shows the same key.
    pub other: PublicKey,
}

impl Roster {
    /// Lets in those of `waiting` whose key nobody else has or shows; `shown` are the keys that all enrolled parties name in their
    /// presences, accepted or not. Of two that show one key it cannot be told who has it and who has only seen it, whoever comes
    /// first: neither is let in. Who is in already stays in.
    ///
    /// `identity` tells what a key is in this mesh ([`super::Backend::identity`]); what is none is not let in.
    pub fn let_in(
        &mut self,
        waiting: &[PublicKey],
        shown: &BTreeMap<PublicKey, String>,
        identity: impl Fn(&str) -> Option<String>,
    ) -> LetIn {
        let mut done = LetIn::default();
        for party in waiting {
            let Some((key, own)) = shown.get(party).and_then(|key| Some((key, identity(key)?)))
            else {
                continue;
            };
            if self.key(party) == Some(key) {
                continue;
            }
            let holds = self
                .members
                .iter()
                .map(|member| (&member.party, &member.key));
            let mut others = holds.chain(shown).filter(|(other, _)| *other != party);
            if let Some((other, _)) =
                others.find(|(_, other)| identity(other).as_ref() == Some(&own))
            {
                let (party, other) = (*party, *other);
                done.disputed.push(Dispute { party, other });
            } else if self.take_in(*party, key) {
                done.new.push(*party);
            }
        }
        done
    }

    /// Takes a party out without a word about its key, which may come in again.
    pub fn forget(&mut self, party: &PublicKey) {
        self.members.retain(|member| member.party != *party);
    }

    /// The key by which this party is a member.
    pub fn key(&self, party: &PublicKey) -> Option<&str> {
        let member = self.members.iter().find(|member| member.party == *party)?;
        Some(&member.key)
    }

    /// Whether this key was taken back.
    pub fn has_revoked(&self, key: &str) -> bool {
        self.revoked.contains(&Digest::of(key.as_bytes()))
    }

    /// Takes in a party with this key, in the place of an older one; returns whether that changes anything. A key that was
    /// taken back stays out, and so does one that another party has: whoever names it has only copied it.
    pub fn take_in(&mut self, party: PublicKey, key: &str) -> bool {
        let is_taken = self.members.iter().any(|member| member.key == key);
        if is_taken || self.has_revoked(key) {
            return false;
        }
        self.members.retain(|member| member.party != party);
        self.members.push(Member {
            party,
            key: key.to_owned(),
        });
        true
    }

    /// Takes a party's key back; returns it if there was one.
    pub fn revoke(&mut self, party: &PublicKey) -> Option<String> {
        let place = self
            .members
            .iter()
            .position(|member| member.party == *party)?;
        let key = self.members.remove(place).key;
        self.revoked.push(Digest::of(key.as_bytes()));
        Some(key)
    }

    pub(super) fn check(&self) -> Result<(), DocumentError> {
        ensure(
            self.members.len() <= MEMBERS,
            "meshes.backend.members",
            "has more than 128 members; a mesh with certificates, such as nebula, can be larger",
        )?;
        ensure(
            self.revoked.len() <= REVOKED,
            "meshes.backend.revoked",
            "has more than 256 keys",
        )?;
        let parties: BTreeSet<_> = self.members.iter().map(|member| member.party).collect();
        let keys: BTreeSet<_> = self.members.iter().map(|member| &member.key).collect();
        ensure(
            parties.len() == self.members.len() && keys.len() == self.members.len(),
            "meshes.backend.members",
            "names a party or a key twice",
        )?;
        self.members
            .iter()
            .try_for_each(|member| check_key("meshes.backend.members.", "roster", &member.key))?;
        ensure(
            !self
                .members
                .iter()
                .any(|member| self.has_revoked(&member.key)),
            "meshes.backend.members",
            "has a key that was taken back",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SecretKey;

    #[test]
    fn a_key_that_was_taken_back_comes_in_no_more() {
        let [a, b] = [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]).public());
        let mut roster = Roster::default();
        assert!(roster.take_in(a, "AAAA") && roster.take_in(b, "BBBB"));
        assert!(!roster.take_in(a, "AAAA"), "it is there");
        assert_eq!(roster.revoke(&a).as_deref(), Some("AAAA"));
        assert_eq!(roster.revoke(&a), None);
        assert!(!roster.take_in(a, "AAAA") && !roster.take_in(b, "AAAA"));
        // A machine that was reset has a new one.
        assert!(roster.take_in(a, "CCCC"));
        assert!(roster.take_in(b, "DDDD"));
        assert_eq!(
            (roster.key(&a), roster.key(&b)),
            (Some("CCCC"), Some("DDDD"))
        );
        roster.check().unwrap();
    }

    #[test]
    fn whoever_shows_the_key_of_another_party_does_not_come_in_and_keeps_nobody_out() {
        let [a, b] = [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]).public());
        let mut roster = Roster::default();
        assert!(roster.take_in(a, "AAAA"));
        assert!(!roster.take_in(b, "AAAA"));
        assert_eq!((roster.key(&a), roster.key(&b)), (Some("AAAA"), None));
        roster.check().unwrap();
    }

    /// A key is what it says.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "other meshes have texts that are no keys"
    )]
    fn all(key: &str) -> Option<String> {
        Some(key.to_owned())
    }

    #[test]
    fn of_two_who_show_one_key_neither_is_let_in_whoever_comes_first() {
        let [victim, thief, other] =
            [1, 2, 3].map(|seed| SecretKey::from_seed(&[seed; 32]).public());
        let shown: BTreeMap<_, _> = [(victim, "AAAA"), (thief, "AAAA"), (other, "BBBB")]
            .map(|(party, key)| (party, key.to_owned()))
            .into();
        let dispute = |party, other| Dispute { party, other };
        let mut roster = Roster::default();
        // The victim has not been accepted yet; the owner is told of both all the same.
        let done = roster.let_in(&[thief], &shown, all);
        assert_eq!(done.disputed, [dispute(thief, victim)]);
        let done = roster.let_in(&[thief, victim, other], &shown, all);
        assert_eq!(done.new, [other]);
        let both = [dispute(thief, victim), dispute(victim, thief)];
        assert_eq!(done.disputed, both);
        assert_eq!((roster.key(&thief), roster.key(&victim)), (None, None));
        // Who is in stays in, whoever copies its key then.
        let alone: BTreeMap<_, _> = [(victim, "AAAA".to_owned())].into();
        assert_eq!(roster.let_in(&[victim], &alone, all).new, [victim]);
        let done = roster.let_in(&[victim, thief], &shown, all);
        assert_eq!((done.new, done.disputed), (vec![], vec![both[0]]));
        // Also when its presence does not show it any more.
        let copied: BTreeMap<_, _> = [(thief, "AAAA".to_owned())].into();
        assert_eq!(roster.let_in(&[thief], &copied, all).disputed, [both[0]]);
        roster.check().unwrap();
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let [a, b] = [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]).public());
        let member = |party, key: &str| Member {
            party,
            key: key.to_owned(),
        };
        let of = |members: Vec<Member>, revoked: Vec<Digest>| Roster { members, revoked }.check();
        of(vec![member(a, "AAAA"), member(b, "BBBB")], Vec::new()).unwrap();
        of(vec![member(a, "AAAA"), member(a, "BBBB")], Vec::new()).unwrap_err();
        of(vec![member(a, "AAAA"), member(b, "AAAA")], Vec::new()).unwrap_err();
        of(vec![member(a, "AAAA")], vec![Digest::of(b"AAAA")]).unwrap_err();
        of(vec![member(a, "AA\nAA")], Vec::new()).unwrap_err();
    }
}
