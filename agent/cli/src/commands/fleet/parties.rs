//! Who has enrolled, as far as it can be proven, and what they say of themselves.

use e3_client::hub::{HubError, PartyRecord};
use e3_core::digest::Digest;
use e3_core::document::{Enrolment, Presence};
use e3_core::envelope::Envelope;
use e3_core::limits;
use e3_core::time::Time;
use serde::Serialize;

use super::OpenFleet;
use crate::error::Error;
use crate::fleet_file::Member;

/// A party whose enrolment holds, or that fleet.toml names.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// Its name, its identity and its owner.
    pub member: Member,
    /// When it enrolled, and by which invite; nothing if the hub cannot tell.
    pub enrolled: Option<(Time, Digest)>,
    /// How it stands with fleet.toml.
    pub standing: Standing,
    /// What it said of itself last, if that is signed by it.
    pub presence: Option<Presence>,
}

/// How an enrolled party stands with fleet.toml.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It is in it.
    Accepted,
    /// It is not in it yet: `e3 fleet accept`.
    New,
    /// The file has another machine of this name.
    OtherKey,
    /// The file has this machine by another name.
    OtherName,
    /// It is in the file, but has never enrolled.
    NotEnrolled,
}

/// Everybody the hub and fleet.toml know, by name; and what is wrong with records that do not hold.
///
/// A read-only hub does not list its parties; then fleet.toml alone says who they are.
pub async fn enrolled(fleet: &OpenFleet) -> Result<(Vec<Enrolled>, Vec<String>), Error> {
    let (mut parties, mut refused) = (Vec::new(), Vec::new());
    let listed = match fleet.hub.parties().await {
        Ok(records) => {
            for record in &records {
                match open(fleet, record) {
                    Ok(party) => parties.push(party),
                    Err(reason) => refused.push(reason),
                }
            }
            true
        }
        Err(HubError::NotFound { .. } | HubError::ReadOnly { .. }) => false,
        Err(error) => return Err(error.into()),
    };
    for member in &fleet.file.parties {
        if parties
            .iter()
            .any(|party: &Enrolled| party.member.key == member.key)
        {
            continue;
        }
        let presence = if listed {
            None
        } else {
            fleet.hub.presence(&member.key).await?
        };
        parties.push(Enrolled {
            member: member.clone(),
            enrolled: None,
            standing: if listed {
                Standing::NotEnrolled
            } else {
                Standing::Accepted
            },
            presence: presence
                .and_then(|bytes| Presence::open(&bytes, &member.key, &fleet.file.name)),
        });
    }
    // Of two machines of one name the one that came last stands first.
    parties.sort_by(|a, b| (&a.member.name, b.enrolled).cmp(&(&b.member.name, a.enrolled)));
    Ok((parties, refused))
}

fn open(fleet: &OpenFleet, record: &PartyRecord) -> Result<Enrolled, String> {
    let parse = |what: &str, bytes: &[u8]| {
        Envelope::parse(bytes, limits::ENVELOPE)
            .map_err(|error| format!("a party's {what} is refused: {error}"))
    };
    let invite = parse("invite", &record.invite)?;
    let enrolment = parse("enrolment", &record.enrolment)?;
    // Owners are the keys of the session role.
    let owners = &fleet.trust.root.session.keys;
    let verified = Enrolment::verify(&enrolment, &invite, &fleet.file.name, owners);
    let (enrolled, invited) = verified.map_err(|error| {
        let claimed = enrolment
            .unverified::<Enrolment>()
            .map_or("a party".to_owned(), |e| e.party.to_string());
        format!("the enrolment of {claimed} is refused: {error}")
    })?;
    let member = Member {
        name: invited.name,
        key: enrolled.party,
        owner: invited.owner,
    };
    let standing = standing(&fleet.file.parties, &member);
    let presence = record.presence.as_deref();
    let presence = presence.and_then(|bytes| Presence::open(bytes, &member.key, &fleet.file.name));
    Ok(Enrolled {
        member,
        enrolled: Some((enrolled.signed, invite.digest())),
        standing,
        presence,
    })
}

fn standing(members: &[Member], member: &Member) -> Standing {
    let same_key = members.iter().find(|other| other.key == member.key);
    let same_name = members.iter().any(|other| other.name == member.name);
    match same_key {
        Some(other) if other.name == member.name => Standing::Accepted,
        Some(_) => Standing::OtherName,
        None if same_name => Standing::OtherKey,
        None => Standing::New,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use e3_core::key::SecretKey;

    #[test]
    fn a_party_of_a_known_name_with_another_key_is_told_apart() {
        let key = |n| SecretKey::from_seed(&[n; 32]).public();
        let member = |name: &str, n| Member {
            name: name.parse().unwrap(),
            key: key(n),
            owner: key(9),
        };
        let members = [member("alice", 1), member("bob", 2)];
        assert_eq!(standing(&members, &member("alice", 1)), Standing::Accepted);
        assert_eq!(standing(&members, &member("alice", 3)), Standing::OtherKey);
        assert_eq!(standing(&members, &member("carol", 2)), Standing::OtherName);
        assert_eq!(standing(&members, &member("carol", 3)), Standing::New);
    }
}
