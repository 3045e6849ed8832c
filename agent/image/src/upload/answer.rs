//! What comes back from a server, or why nothing does, in words that can be shown.

use std::fmt;

use e3_core::text;

/// Characters of what a server says.
const SAID: usize = 300;

/// Why nobody answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The name leads nowhere.
    Name,
    /// No connection.
    Connection,
    /// No answer in time.
    Time,
    /// A certificate that is not trusted.
    Certificate,
    /// The connection broke.
    Broken,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "its name leads to no address",
            Self::Connection => "there is no connection",
            Self::Time => "it does not answer in time",
            Self::Certificate => "its certificate is not trusted",
            Self::Broken => "the connection breaks off",
        })
    }
}

impl Way {
    /// Reads it from what a library says, outermost first. They have no types for all of it, so their words have to do.
    pub(super) fn of(error: &(dyn std::error::Error + 'static), is_timeout: bool) -> Self {
        let mut way = if is_timeout { Self::Time } else { Self::Broken };
        let mut cause = Some(error);
        while let Some(error) = cause {
            let text = error.to_string();
            if text.contains("dns error") || text.contains("failed to lookup address") {
                return Self::Name;
            } else if text.contains("certificate") || text.contains("UnknownIssuer") {
                return Self::Certificate;
            } else if way == Self::Broken && text.contains("tcp connect error") {
                way = Self::Connection;
            }
            cause = error.source();
        }
        way
    }
}

/// What a server says, for a terminal: without control characters, and without what signs an address.
pub(super) fn said(words: &str) -> String {
    let plain = text::clean(words.trim(), SAID);
    let kept = plain.split(' ').map(|word| match word.split_once('?') {
        Some((address, query)) if query.contains("X-Amz-") => address,
        _ => word,
    });
    kept.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say_acts_on_no_terminal_and_gives_no_signature_away() {
        let words = "cannot fetch https://s.ams3.digitaloceanspaces.com/x?X-Amz-Signature=abc&X-Amz-Date=1 \x1b[2Jnow";
        assert_eq!(
            said(words),
            "cannot fetch https://s.ams3.digitaloceanspaces.com/x \u{fffd}[2Jnow"
        );
    }
}
