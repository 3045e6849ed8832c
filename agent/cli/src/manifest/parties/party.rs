//! One entry of `parties`: a name or key of the fleet file, or a party in full.

use e3_core::document::Party;
use e3_core::key::PublicKey;
use e3_core::name::Name;

use super::super::problem::Problems;
use super::super::section::{At, Section, Value, text_of};
use super::super::text::shown;
use crate::fleet_file::View;

/// A party of the fleet file, by its name or by its key.
pub(super) fn by_name(problems: &mut Problems, value: &Value<'_>, fleet: &View) -> Option<Party> {
    let At { value: word, at } = text_of(problems, "an entry of `parties`", value, "alice")?;
    let found = if word.starts_with("did:") {
        let key: PublicKey = match word.parse() {
            Ok(key) => key,
            Err(error) => {
                let message = format!("this party has no valid key: {error}");
                problems.add(
                    &at,
                    message,
                    "a name, or a did:key",
                    "copy the key again, as the party shows it",
                );
                return None;
            }
        };
        fleet.parties.iter().find(|party| party.key == key)
    } else {
        fleet.party(word)
    };
    if let Some(member) = found {
        let (name, key, owner) = (member.name.clone(), member.key, member.owner);
        return Some(Party {
            name,
            key,
            owner,
            inputs: Vec::new(),
        });
    }
    let (message, remedy) = if word.starts_with("did:") {
        let message = format!("no party of the fleet {} has this key", fleet.name);
        (
            message,
            "say whose it is: { name = \"dave\", key = \"did:key:…\", owner = \"did:key:…\" }"
                .to_owned(),
        )
    } else {
        let remedy = match fleet.nearest(word) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "add it with `e3 fleet accept`, or write { name = …, key = …, owner = … } here"
                .to_owned(),
        };
        (
            format!("the fleet {} has no party `{}`", fleet.name, shown(word)),
            remedy,
        )
    };
    problems.add(
        &at,
        message,
        format!("a party of fleet.toml: {}", fleet.names()),
        remedy,
    );
    None
}

/// A party that the fleet file need not know: `{ name = …, key = …, owner = … }`.
pub(super) fn in_full(problems: &mut Problems, value: &Value<'_>, fleet: &View) -> Option<Party> {
    const DID: &str = "did:key:z6Mk…";
    let table = value.get_ref().as_table()?;
    let mut section = Section::new(table, "parties", value.span());
    let to_name = |text: &str| text.parse::<Name>().ok();
    let to_key = |text: &str| text.parse::<PublicKey>().ok();
    let name = section.parsed(
        problems,
        "name",
        "lower-case letters, digits and dashes",
        "dave",
        to_name,
    );
    let key = section.parsed(problems, "key", "the party's public key", DID, to_key);
    let owner = section.parsed(
        problems,
        "owner",
        "the public key of the party's owner",
        DID,
        to_key,
    );
    for key in ["name", "key", "owner"] {
        if section.place_of(key).is_none() {
            section.missing(
                problems,
                key,
                "write { name = \"dave\", key = \"did:key:…\", owner = \"did:key:…\" }",
            );
        }
    }
    section.done(problems);
    let (name, key, owner) = (name?, key?, owner?);
    if let Some(member) = fleet
        .party(name.value.as_str())
        .filter(|member| member.key != key.value)
    {
        let message = format!(
            "`{}` has another key in fleet.toml: {}",
            name.value, member.key
        );
        problems.add(
            &key.at,
            message,
            "",
            "correct one of the two, or choose another name here",
        );
        return None;
    }
    Some(Party {
        name: name.value,
        key: key.value,
        owner: owner.value,
        inputs: Vec::new(),
    })
}
