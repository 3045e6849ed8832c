//! Where a TOML file is wrong: line and column, never the line itself, which may hold a secret.

use std::fmt;

/// A mistake in a TOML file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Line and column, counted from 1, if the mistake has a place.
    place: Option<(usize, usize)>,
    message: String,
}

impl Mistake {
    /// What `error` says about the file with these bytes.
    pub fn of(error: &toml::de::Error, bytes: &[u8]) -> Self {
        let message = without_value(error.message()).replace('\n', ", ");
        Self {
            place: error.span().map(|span| place(bytes, span.start)),
            message: e3_core::text::clean(&message, 300),
        }
    }

    /// `message` about what begins at `offset`, if it is known where that is.
    pub fn at(bytes: &[u8], offset: Option<usize>, message: &str) -> Self {
        Self {
            place: offset.map(|offset| place(bytes, offset)),
            message: e3_core::text::clean(message, 300),
        }
    }
}

fn place(bytes: &[u8], offset: usize) -> (usize, usize) {
    let before = &bytes[..offset.min(bytes.len())];
    let lines: Vec<&[u8]> = before.split(|byte| *byte == b'\n').collect();
    let last = String::from_utf8_lossy(lines.last().copied().unwrap_or_default());
    (lines.len(), last.chars().count() + 1)
}

/// Serde says which string stands where something else should; it may be a password.
fn without_value(message: &str) -> String {
    match (message.find("string \""), message.rfind("\", expected")) {
        (Some(from), Some(upto)) if from < upto => {
            format!("{}a string{}", &message[..from], &message[upto + 1..])
        }
        _ => message.to_owned(),
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Mistake {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_told_and_the_line_is_not_shown() {
        let text = b"name = \"a\"\ntoken = \"e3-join-secret\n";
        let error = toml::from_slice::<toml::Table>(text).unwrap_err();
        let mistake = Mistake::of(&error, text).to_string();
        assert!(mistake.starts_with("line 2, column "), "{mistake}");
        assert!(!mistake.contains("secret"), "{mistake}");
        let text = b"\nwifi = \"very secret\"";
        let error = toml::from_slice::<std::collections::BTreeMap<String, toml::Table>>(text);
        let mistake = Mistake::of(&error.unwrap_err(), text).to_string();
        assert_eq!(
            mistake,
            "line 2, column 8: invalid type: a string, expected a map"
        );
    }
}
