//! Words for people: safe to print, near misses, lists, sizes and durations.
//!
//! Everything that comes out of a file somebody else wrote goes through [`clean`] before it reaches
//! a terminal.

use std::fmt::Write as _;

/// `text` without anything that could move the cursor or turn the reading direction: control
/// characters and the like become visible escapes.
pub fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            let _ = write!(clean, "\\u{{{:x}}}", u32::from(c));
        } else {
            clean.push(c);
        }
    }
    clean
}

/// Control characters, zero-width ones, and those that change the direction of writing.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A text from a file as it may stand in a message: clean, and not endless.
pub fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown = clean(&text.chars().take(LONGEST).collect::<String>());
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// The candidate that `word` was probably meant to be.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The distance takes quadratic time; nobody misspells a name of 64 letters into one of 200.
    if word.chars().count() > 64 {
        return None;
    }
    let lower = word.to_lowercase().replace('_', "-");
    let distance =
        |candidate: &str| strsim::damerau_levenshtein(&lower, &candidate.replace('_', "-"));
    let near = candidates
        .into_iter()
        .map(|candidate| (distance(candidate), candidate));
    let allowed = 1 + lower.chars().count() / 4;
    near.filter(|(d, _)| *d <= allowed)
        .min_by_key(|(d, _)| *d)
        .map(|(_, candidate)| candidate)
}

/// `a, b and c`, cut after two dozen.
pub fn list<I: IntoIterator<Item = T>, T: std::fmt::Display>(items: I) -> String {
    const MOST: usize = 24;
    let mut items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.len() > MOST {
        let more = items.len() - MOST;
        items.truncate(MOST);
        items.push(format!("{more} more"));
    }
    match items.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// A path as it is typed into a shell.
pub fn word(path: &std::path::Path) -> String {
    let mut text = path.display().to_string();
    if text.starts_with('-') {
        // Or a command would take it for an option.
        text.insert_str(0, "./");
    }
    let plain = |c: char| c.is_alphanumeric() || "._-+@/,:=".contains(c);
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// `3 files`, `1 file`.
pub fn count(number: usize, thing: &str) -> String {
    if number == 1 {
        format!("1 {thing}")
    } else {
        format!("{number} {thing}s")
    }
}

/// Seconds as the manifest writes them: `1h30m`.
pub fn duration(seconds: u64) -> String {
    if seconds == 0 {
        return "0s".to_owned();
    }
    let mut rest = seconds;
    let mut text = String::new();
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
        let number = rest / length;
        if number > 0 {
            let _ = write!(text, "{number}{unit}");
        }
        rest %= length;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_move_the_cursor_becomes_visible() {
        assert_eq!(
            clean("a\u{1b}[2Jb\r\n\u{202e}c"),
            "a\\u{1b}[2Jb\\u{d}\\u{a}\\u{202e}c"
        );
        assert_eq!(clean("Größe 3 €"), "Größe 3 €");
        assert_eq!(shown(&"x".repeat(100)).chars().count(), 81);
    }

    #[test]
    fn near_misses_are_found_and_strangers_are_not() {
        let known = ["threshold", "base_port", "tls", "prss"];
        assert_eq!(nearest("treshold", known), Some("threshold"));
        assert_eq!(nearest("base-port", known), Some("base_port"));
        assert_eq!(nearest("TLS", known), Some("tls"));
        assert_eq!(nearest("frobnicate", known), None);
        assert_eq!(nearest(&"t".repeat(10_000), known), None);
    }

    #[test]
    fn paths_can_be_typed_again() {
        let word = |text: &str| word(std::path::Path::new(text));
        assert_eq!(word("a/b.toml"), "a/b.toml");
        assert_eq!(word("it's mine"), r"'it'\''s mine'");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(list(["a", "b", "c"]), "a, b and c");
        assert!(list(0..30).ends_with("22, 23 and 6 more"));
        assert_eq!(duration(5_400), "1h30m");
        assert_eq!(duration(0), "0s");
    }
}
