//! Names that people give to fleets, parties, sessions and inputs.
//!
//! A name becomes part of file names, unit names and terminal output on other people's machines, so
//! it is held to the narrowest set that is still pleasant: lower-case letters, digits and dashes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A lower-case name: a letter or digit, then up to 62 letters, digits or dashes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a name; use 1 to 63 lower-case letters, digits and dashes, and start with a letter or digit"
)]
pub struct NameError(String);

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let fits =
            matches!(text.len(), 1..=63) && !text.starts_with('-') && text.bytes().all(allowed);
        if fits {
            Ok(Self(text))
        } else {
            Err(NameError(crate::text::clean(&text, 80)))
        }
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

crate::text_schema!(
    Name,
    "Name",
    "^[a-z0-9][a-z0-9-]{0,62}$",
    "lower-case letters, digits and dashes"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_narrow() {
        for good in ["a", "salary-2026", "0", &"x".repeat(63)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "A",
            "a/b",
            "a.b",
            "a b",
            "é",
            &"x".repeat(64),
            "a\n",
        ] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }
}
