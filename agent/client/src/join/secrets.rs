//! Where the secrets of a join file stand in its text, and the text without them.
//!
//! What is burnt has as many bytes as it had before. So it can be written over where it lies on the medium: that needs no
//! room, touches nothing but these bytes, and leaves no second copy of them in the file system.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

/// What a burnt secret begins with; the rest is dashes.
const BURNT: &str = "burnt";
/// How a token begins, wherever it stands: people comment lines out.
const TOKEN: &str = "e3-join-";

/// The parts of a join file that are looked for, whatever else is in it.
#[derive(Deserialize)]
struct Outline {
    token: Option<Spanned<String>>,
    hub: Option<Spanned<toml::Value>>,
    policy: Option<Spanned<toml::Value>>,
    wifi: Option<WifiOutline>,
}

#[derive(Deserialize)]
struct WifiOutline {
    password: Option<Spanned<String>>,
}

/// Where the value of a key begins.
pub fn place(text: &str, key: &str) -> Option<usize> {
    let outline: Outline = toml::from_str(text).ok()?;
    match key {
        "token" => outline.token.map(|value| value.span().start),
        "hub" => outline.hub.map(|value| value.span().start),
        _ => outline.policy.map(|value| value.span().start),
    }
}

/// Where tokens stand, also in comments.
pub fn tokens(text: &str) -> Vec<Range<usize>> {
    let outline: Option<Outline> = toml::from_str(text).ok();
    let value = outline.and_then(|outline| outline.token);
    let mut found: Vec<_> = value.iter().map(|value| inside(text, value)).collect();
    for (at, _) in text.match_indices(TOKEN) {
        let rest = &text[at + TOKEN.len()..];
        let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"-_=".contains(c));
        found.push(at..at + TOKEN.len() + length.unwrap_or(rest.len()));
    }
    found
}

/// Where the Wi-Fi password stands.
pub fn passwords(text: &str) -> Vec<Range<usize>> {
    let outline: Option<Outline> = toml::from_str(text).ok();
    let wifi = outline.and_then(|outline| outline.wifi);
    let value = wifi.and_then(|wifi| wifi.password);
    value.iter().map(|value| inside(text, value)).collect()
}

/// Where all secrets stand.
pub fn all(text: &str) -> Vec<Range<usize>> {
    let mut all = [tokens(text), passwords(text)].concat();
    // What is burnt already needs not be written again.
    all.retain(|part| !part.is_empty() && !is_burnt(&text[part.clone()]));
    all
}

/// The text with something else of the same length at these places.
pub fn burn(text: &str, places: &[Range<usize>]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for place in places {
        let target = &mut bytes[place.clone()];
        target.fill(b'-');
        if let Some(head) = target.get_mut(..BURNT.len()) {
            head.copy_from_slice(BURNT.as_bytes());
        }
    }
    // Whole characters were replaced by ASCII.
    String::from_utf8(bytes).unwrap_or_default()
}

/// Whether a value is what [`burn`] leaves in a secret's place.
pub fn is_burnt(value: &str) -> bool {
    let rest = value.strip_prefix(BURNT).unwrap_or(value);
    !value.is_empty() && rest.bytes().all(|byte| byte == b'-')
}

/// A string's text between its quotes.
fn inside(text: &str, value: &Spanned<String>) -> Range<usize> {
    let span = value.span();
    let raw = &text[span.clone()];
    let long = raw.starts_with("\"\"\"") || raw.starts_with("'''");
    let quotes = if long { 3 } else { 1 };
    if raw.len() < 2 * quotes {
        return span.start..span.start;
    }
    span.start + quotes..span.end - quotes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_in_every_spelling_and_everything_else_stays() {
        for (text, burnt) in [
            (
                "token = \"e3-join-AAA_b\" # x",
                "token = \"burnt--------\" # x",
            ),
            ("token='''abcdefgh''' ", "token='''burnt---''' "),
            (
                "\"token\" = \"e3-join-A\"\r\n",
                "\"token\" = \"burnt----\"\r\n",
            ),
            ("token = \"a\\\"b\\u0041cd\"", "token = \"burnt-------\""),
            (
                "a=1\n# token = \"e3-join-AA\"",
                "a=1\n# token = \"burnt-----\"",
            ),
            (
                "wifi = { ssid=\"s\", password = \"hunter22\" }",
                "wifi = { ssid=\"s\", password = \"burnt---\" }",
            ),
            (
                "[wifi]\npassword = 'pässword'\n",
                "[wifi]\npassword = 'burnt----'\n",
            ),
            ("token = \"abc\"", "token = \"---\""),
            ("token = \"\"", "token = \"\""),
        ] {
            let found = burn(text, &all(text));
            assert_eq!(found, burnt);
            assert_eq!(found.len(), text.len());
            assert!(all(&found).is_empty(), "{found}");
            toml::from_str::<toml::Table>(&found).unwrap();
        }
    }

    #[test]
    fn a_burnt_value_is_known_and_no_other_one() {
        for burnt in ["burnt", "burnt--", "---"] {
            assert!(is_burnt(burnt), "{burnt}");
        }
        for other in ["", "e3-join-A", "burnt-x", "burntout"] {
            assert!(!is_burnt(other), "{other}");
        }
    }

    #[test]
    fn a_file_that_is_no_toml_loses_its_tokens_all_the_same() {
        let text = "token = e3-join-ABC\nx";
        assert_eq!(burn(text, &all(text)), "token = burnt------\nx");
    }
}
