//! `parties` and `[inputs]`: who takes part, in which order, and what the program reads there.

mod party;

use e3_core::document::Party;
use e3_core::limits;
use e3_core::name::Name;
use toml::de::DeValue;

use super::problem::Problems;
use super::section::{At, Section, Value, kind, text_of};
use super::text::{list, nearest, shown};
use crate::fleet_file::View;
use party::{by_name, in_full};

const EXAMPLE: &str = r#"["alice", "bob", "carol"]"#;
/// Inputs of one party.
const INPUTS: usize = 64;

/// The parties as far as they could be read.
pub struct Parties {
    /// Those that could be read, each with its place.
    pub found: Vec<At<Party>>,
    /// How many the person named.
    pub written: usize,
    /// Names that could not be resolved: already reported, not to be reported again.
    unresolved: Vec<String>,
}

/// Reads `parties`.
pub fn parties(problems: &mut Problems, section: &mut Section<'_>, fleet: &View) -> Parties {
    let mut parties = Parties {
        found: Vec::new(),
        written: 0,
        unresolved: Vec::new(),
    };
    let place = section.place_of("parties");
    let Some(values) = section.values(problems, "parties", EXAMPLE) else {
        if place.is_none() {
            section.missing(
                problems,
                "parties",
                &format!("name the parties in MPyC's order: parties = {EXAMPLE}"),
            );
        }
        return parties;
    };
    let place = place.unwrap_or(0..0);
    parties.written = values.len();
    if values.is_empty() {
        problems.add(
            &place,
            "`parties` is empty",
            "at least one party",
            format!("write parties = {EXAMPLE}"),
        );
    }
    if values.len() > limits::PARTIES {
        let message = format!("{} parties are too many", values.len());
        problems.add(
            &place,
            message,
            format!("at most {}", limits::PARTIES),
            "leave some of them out",
        );
        return parties;
    }
    for value in values {
        let party = match value.get_ref() {
            DeValue::Table(_) => in_full(problems, value, fleet),
            _ => by_name(problems, value, fleet),
        };
        match party {
            Some(party) => parties.add(
                problems,
                At {
                    value: party,
                    at: value.span(),
                },
            ),
            None => parties
                .unresolved
                .extend(value.get_ref().as_str().map(str::to_owned)),
        }
    }
    parties
}

impl Parties {
    fn add(&mut self, problems: &mut Problems, party: At<Party>) {
        let same_key = self
            .found
            .iter()
            .position(|other| other.value.key == party.value.key);
        let same_name = self
            .found
            .iter()
            .position(|other| other.value.name == party.value.name);
        let name = &party.value.name;
        if let Some(index) = same_key {
            let message = format!("`{name}` takes part twice: it is party {index} already");
            problems.add(
                &party.at,
                message,
                "every party once",
                "remove it here or there",
            );
        } else if let Some(index) = same_name {
            let message = format!("party {index} is called `{name}`, too");
            problems.add(
                &party.at,
                message,
                "a name of its own for every party",
                "rename one of them",
            );
        } else {
            self.found.push(party);
        }
    }

    /// Rule 7 with `consent = "all"`: an owner consents with a key of the session role. One who has
    /// none could never consent, and the session never start.
    pub fn owners_can_consent(&self, problems: &mut Problems, fleet: &View) {
        for At { value: party, at } in &self.found {
            if !fleet.session.keys.contains(&party.owner) {
                let message = format!(
                    "the owner of `{}` can never consent: {} is no session key of the fleet {}",
                    party.name, party.owner, fleet.name
                );
                let remedy = "add the owner's key to the root's session role, or write consent = \"signers\"";
                problems.add(at, message, "", remedy);
            }
        }
    }

    /// Reads `[inputs]`, and gives each party its own.
    pub fn read_inputs(&mut self, problems: &mut Problems, section: &Section<'_>) {
        for (At { value: word, at }, value) in section.entries() {
            let Ok(input) = word.parse::<Name>() else {
                let message = format!("{} cannot be the name of an input", section.name(word));
                problems.add(
                    &at,
                    message,
                    "lower-case letters, digits and dashes",
                    "rename it, in the program, too",
                );
                continue;
            };
            let getters = self.getters(problems, &section.name(word), value);
            for index in getters {
                let inputs = &mut self.found[index].value.inputs;
                if inputs.contains(&input) {
                    problems.add(
                        &value.span(),
                        format!("{} names a party twice", section.name(word)),
                        "",
                        "name it once",
                    );
                } else if inputs.len() == INPUTS {
                    let message = format!("a party gets more than {INPUTS} inputs");
                    problems.add(&at, message, "", "put several values into one input");
                } else {
                    inputs.push(input.clone());
                }
            }
        }
    }

    /// The parties that `"all"`, `"alice"` or `["alice", "bob"]` stands for.
    fn getters(&self, problems: &mut Problems, name: &str, value: &Value<'_>) -> Vec<usize> {
        let names = match value.get_ref() {
            DeValue::String(text) if text == "all" => return (0..self.found.len()).collect(),
            DeValue::String(_) => std::slice::from_ref(value),
            DeValue::Array(names) => names,
            other => {
                let expected = "\"all\", or a list of parties";
                let remedy = "write \"all\" or for example [\"alice\"]; the value itself stays on the party's machine";
                problems.add(
                    &value.span(),
                    format!("{name} is {}", kind(other)),
                    expected,
                    remedy,
                );
                return Vec::new();
            }
        };
        let mut getters = Vec::new();
        for value in names {
            let Some(At { value: word, at }) =
                text_of(problems, &format!("an entry of {name}"), value, "alice")
            else {
                continue;
            };
            let known = || self.found.iter().map(|party| party.value.name.as_str());
            match known().position(|name| name == word) {
                Some(index) => getters.push(index),
                // Its place in `parties` has been reported already.
                None if self.unresolved.iter().any(|name| name == word) => {}
                None => {
                    let message = format!("`{}` does not take part", shown(word));
                    let remedy = match nearest(word, known()) {
                        Some(near) => format!("did you mean \"{near}\"?"),
                        None => "add it to `parties`, or remove it here".to_owned(),
                    };
                    problems.add(
                        &at,
                        message,
                        format!("\"all\", or one of {}", list(known())),
                        remedy,
                    );
                }
            }
        }
        getters
    }
}
