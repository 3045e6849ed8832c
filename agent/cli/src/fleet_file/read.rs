//! The text of a fleet file: how a new one reads, and what is wrong with one that a person edited.

use std::path::{Path, PathBuf};

use e3_core::digest::Digest;
use e3_core::key::PublicKey;
use e3_core::name::Name;
use toml_edit::DocumentMut;

use super::{Fleet, Member};
use crate::manifest::problem::Problems;
use crate::manifest::section::{At, Section, parse};

/// The text of a new fleet file.
pub(super) fn first_text(name: &Name, hub: &str, hub_ca: Option<&Path>, root: &Digest) -> String {
    let quoted = |text: &str| toml_edit::value(text).to_string().trim().to_owned();
    let hub_ca = match hub_ca {
        Some(path) => format!("hub_ca = {}\n", quoted(&path.display().to_string())),
        None => "# hub_ca = \"hub-ca.pem\"    # only for a hub with a certificate authority of its own\n".to_owned(),
    };
    format!(
        "# The fleet {name}: its hub and its parties. You may edit this file; comments stay where they are.\n\
         name = {}\nhub = {}\n{hub_ca}\
         # The first root: what join files pin, and where every machine's trust begins. Never change it.\n\
         root = {}\n",
        quoted(name.as_str()),
        quoted(hub),
        quoted(&root.to_string()),
    )
}

/// Reads the text of a fleet file; `file` is what messages call it.
pub(super) fn read(folder: &Path, file: &str, text: &str) -> Result<Fleet, Problems> {
    let mut problems = Problems::new(file, text);
    let table = parse(text, &mut problems);
    if !problems.is_empty() {
        problems.finish()?;
        problems = Problems::new(file, text);
    }
    let mut section = Section::new(table.get_ref(), "", table.span());
    let p = &mut problems;
    let name = section.parsed(
        p,
        "name",
        "lower-case letters, digits and dashes",
        "my-fleet",
        |t| t.parse().ok(),
    );
    let is_url = |text: &str| {
        ["https://", "http://", "file://"]
            .iter()
            .any(|scheme| text.starts_with(scheme))
    };
    let hub = section.parsed(
        p,
        "hub",
        "the URL of the hub",
        "https://hub.example.org",
        |t| is_url(t).then(|| t.trim_end_matches('/').to_owned()),
    );
    let hub_ca = section
        .text(p, "hub_ca", "hub-ca.pem")
        .map(|path| PathBuf::from(path.value));
    let root = section.parsed(
        p,
        "root",
        "sha256: and 64 digits",
        &Digest::from_bytes([0; 32]).to_string(),
        |t| t.parse().ok(),
    );
    for key in ["name", "hub", "root"] {
        if section.place_of(key).is_none() {
            section.missing(
                p,
                key,
                "add it; `e3 fleet new` writes it, so look into a backup of this file",
            );
        }
    }
    let parties = section
        .section(p, "parties")
        .map(|parties| members(p, &parties))
        .unwrap_or_default();
    section.done(p);
    problems.finish()?;
    let document = text.parse::<DocumentMut>();
    if let (Some(name), Some(hub), Some(root), Ok(document)) = (name, hub, root, document) {
        return Ok(Fleet {
            folder: folder.to_owned(),
            name: name.value,
            hub: hub.value,
            hub_ca,
            root: root.value,
            parties,
            document,
        });
    }
    // Every way here has been reported above; should one be forgotten, nothing is used.
    let mut problems = Problems::new(file, text);
    problems.missing("this is not a fleet file", "restore it from a backup");
    Err(problems)
}

fn members(problems: &mut Problems, parties: &Section<'_>) -> Vec<Member> {
    const EXAMPLE: &str = "did:key:z6Mk…";
    const EXPECTED: &str = "a public key";
    let mut members: Vec<Member> = Vec::new();
    for (key, value) in parties.entries() {
        let At { value: word, at } = key;
        let Ok(name) = word.parse::<Name>() else {
            let message = format!("{} cannot be the name of a party", parties.name(word));
            problems.add(
                &at,
                message,
                "lower-case letters, digits and dashes",
                "rename it",
            );
            continue;
        };
        let Some(table) = value.get_ref().as_table() else {
            let message = format!("{} is not a table", parties.name(word));
            let remedy =
                format!("write [parties.{name}] on a line of its own, then key = … and owner = …");
            problems.add(&value.span(), message, "a table", remedy);
            continue;
        };
        let mut section = Section::new(table, &format!("parties.{name}"), at.clone());
        let key = section.parsed(problems, "key", EXPECTED, EXAMPLE, |t| {
            t.parse::<PublicKey>().ok()
        });
        let owner = section.parsed(problems, "owner", EXPECTED, EXAMPLE, |t| {
            t.parse::<PublicKey>().ok()
        });
        for key in ["key", "owner"] {
            if section.place_of(key).is_none() {
                section.missing(problems, key, "add it, as a did:key");
            }
        }
        section.done(problems);
        let (Some(key), Some(owner)) = (key, owner) else {
            continue;
        };
        if let Some(other) = members.iter().find(|member| member.key == key.value) {
            let message = format!("`{name}` has the same key as `{}`", other.name);
            problems.add(
                &key.at,
                message,
                "",
                "a machine is one party; remove one of the two",
            );
        }
        members.push(Member {
            name,
            key: key.value,
            owner: owner.value,
        });
    }
    members
}
