//! One table of a TOML file, read key by key. What was not asked for is unknown, and is named with
//! the nearest known key.
//!
//! Every reader takes the list of problems, adds to it what is wrong, and returns nothing for the
//! value; the caller goes on, so that a person sees all problems at once.

mod values;

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problems;
use super::text::{list, nearest, shown};

pub use values::text_of;

/// A value and the bytes of the file where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where.
    pub at: Range<usize>,
}

/// A value as the parser gives it.
pub type Value<'a> = Spanned<DeValue<'a>>;

/// A table that is being read.
pub struct Section<'a> {
    table: &'a DeTable<'a>,
    /// `mpyc.`, or nothing for the file itself.
    prefix: String,
    at: Range<usize>,
    known: Vec<&'static str>,
}

/// Parses `text` as far as it goes; what is no TOML becomes problems.
pub fn parse<'a>(text: &'a str, problems: &mut Problems) -> Spanned<DeTable<'a>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = error.span().unwrap_or(0..0);
        let (message, expected) = error
            .message()
            .split_once(", expected ")
            .unwrap_or((error.message(), ""));
        let (expected, remedy) = if message.starts_with("duplicate key") {
            ("", "keep one of the two")
        } else if message.contains("quote") {
            (
                "a text between quotation marks",
                "write it like name = \"salaries\"",
            )
        } else {
            (
                expected,
                "correct this line; the file is TOML, described at https://toml.io",
            )
        };
        problems.add(
            &at,
            format!("this is not TOML: {message}"),
            expected,
            remedy,
        );
    }
    table
}

/// What kind of value it is, for people.
pub fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a decimal point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

impl<'a> Section<'a> {
    /// Reads `table`, which stands at `at` under the dotted name `path` (empty for the file itself).
    pub fn new(table: &'a DeTable<'a>, path: &str, at: Range<usize>) -> Self {
        let prefix = if path.is_empty() {
            String::new()
        } else {
            format!("{path}.")
        };
        Self {
            table,
            prefix,
            at,
            known: Vec::new(),
        }
    }

    /// The name of `key` as messages show it.
    pub fn name(&self, key: &str) -> String {
        format!("`{}{}`", self.prefix, shown(key))
    }

    /// The value of `key`, of any kind. From now on the key is known.
    pub fn value(&mut self, key: &'static str) -> Option<&'a Value<'a>> {
        self.known.push(key);
        self.table.get(key)
    }

    /// Every key with its value, for tables whose keys are the person's own.
    pub fn entries(&self) -> Vec<(At<&'a str>, &'a Value<'a>)> {
        let entry = |(key, value): (&'a Spanned<std::borrow::Cow<'a, str>>, &'a Value<'a>)| {
            (
                At {
                    value: key.get_ref().as_ref(),
                    at: key.span(),
                },
                value,
            )
        };
        let mut entries: Vec<_> = self.table.iter().map(entry).collect();
        entries.sort_by_key(|(key, _)| key.at.start);
        entries
    }

    /// Says that `key` has to be there.
    pub fn missing(&self, problems: &mut Problems, key: &str, remedy: &str) {
        let message = format!("{} is missing", self.name(key));
        if self.prefix.is_empty() {
            problems.missing(message, remedy);
        } else {
            problems.add(&self.at, message, "", remedy);
        }
    }

    /// The table `[key]`; an empty one if it is not there.
    pub fn section(&mut self, problems: &mut Problems, key: &'static str) -> Option<Section<'a>> {
        let value = self.value(key)?;
        let path = format!("{}{key}", self.prefix);
        if let DeValue::Table(table) = value.get_ref() {
            return Some(Section::new(
                table,
                &path,
                self.place_of(key).unwrap_or(value.span()),
            ));
        }
        let message = format!("`{path}` is {}", kind(value.get_ref()));
        problems.add(
            &value.span(),
            message,
            "a table",
            format!("write [{path}] on a line of its own, and its keys below"),
        );
        None
    }

    /// Where `key` itself stands.
    pub fn place_of(&self, key: &str) -> Option<Range<usize>> {
        self.table.get_key_value(key).map(|(key, _)| key.span())
    }

    /// Names every key that nobody has asked for.
    pub fn done(self, problems: &mut Problems) {
        for (key, _) in self.entries() {
            if self.known.contains(&key.value) {
                continue;
            }
            let message = format!("there is no key {}", self.name(key.value));
            let expected = format!("one of {}", list(&self.known));
            let remedy = match nearest(key.value, self.known.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => "remove it, or put # before it".to_owned(),
            };
            problems.add(&key.at, message, expected, remedy);
        }
    }
}
