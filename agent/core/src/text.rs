//! Texts of strangers, made fit for one line of somebody's terminal.
//!
//! A version, a host name or an error message can come from another party, from a hub or from a
//! manifest, and ends up on the screen of an owner. Escape sequences there could hide a line or
//! write another one, and so could characters that turn the direction of text round. Documents
//! refuse such texts in their `check`; texts that only explain something are cleaned.

/// Bytes in a version of something: Python, MPyC, a module, an agent.
pub const VERSION: usize = 64;
/// Characters in a text that explains a failure.
pub const DETAIL: usize = 300;

/// Whether `c` does something else than stand there: control characters (also C1 and DEL), line and
/// paragraph separators, and everything that changes the direction of text.
fn acts(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Whether `text` can be shown as it is, on one line, and has at most `bytes` bytes.
pub fn is_plain(text: &str, bytes: usize) -> bool {
    text.len() <= bytes && !text.chars().any(acts)
}

/// Whether `text` is a version: 1 to 64 letters, digits and `.+-_!~` (PEP 440, semantic versions).
pub fn is_version(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".+-_!~".contains(c);
    (1..=VERSION).contains(&text.len()) && text.chars().all(allowed)
}

/// An error and its causes, from the outermost to the innermost.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// `text` on one line and without anything that acts, cut after `characters` characters.
pub fn clean(text: &str, characters: usize) -> String {
    let shown = |c| if acts(c) { '\u{fffd}' } else { c };
    let mut cleaned: String = text.chars().take(characters).map(shown).collect();
    if text.chars().nth(characters).is_some() {
        cleaned.push('…');
    }
    cleaned
}

/// Like [`clean`], but keeps line ends and tabs: for showing what a program printed.
pub fn clean_lines(text: &str) -> String {
    text.chars()
        .map(|c| {
            if acts(c) && !matches!(c, '\n' | '\t') {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// A URL without the user and password that may stand in it.
pub fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_replaced_and_the_rest_stays() {
        assert_eq!(
            clean("a\x1b[2Jb\r\nc", 20),
            "a\u{fffd}[2Jb\u{fffd}\u{fffd}c"
        );
        assert_eq!(clean("Zürich 🏔", 20), "Zürich 🏔");
        assert_eq!(clean("\u{202e}txt.exe", 20), "\u{fffd}txt.exe");
        assert_eq!(clean("abcdef", 3), "abc…");
        assert_eq!(clean("abc", 3), "abc");
        assert_eq!(clean_lines("a\tb\n\x07c\n"), "a\tb\n\u{fffd}c\n");
    }

    #[test]
    fn plain_texts_and_versions_are_told_from_others() {
        for bad in ["\0", "\x1b", "a\nb", "\u{9b}31m", "\u{2066}", "long"] {
            assert!(!is_plain(bad, 3), "{bad:?}");
        }
        assert!(is_plain("é", 2));
        for good in ["0.11", "2.3.0rc1", "1!2.0+local.7", "1.0.0-beta.1"] {
            assert!(is_version(good), "{good}");
        }
        for bad in ["", "1 2", "1\n", "v\u{e9}", &"1".repeat(65)] {
            assert!(!is_version(bad), "{bad:?}");
        }
    }

    #[test]
    fn credentials_go_and_the_rest_stays() {
        for (url, shown) in [
            ("https://a:b@hub.example:1/x@y", "https://hub.example:1/x@y"),
            ("https://a@b@hub.example", "https://hub.example"),
            ("https://hub.example/a@b", "https://hub.example/a@b"),
            ("file:///var/a@b", "file:///var/a@b"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(without_credentials(url), shown);
        }
    }
}
