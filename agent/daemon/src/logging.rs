//! Where log lines go: to the journal under systemd, to standard error otherwise.
//!
//! In the journal the fields can be asked for, for example
//! `journalctl -u e3-agent E3_SESSION=salary-survey` or `journalctl E3_REASON=lost`:
//!
//! | field | what |
//! |---|---|
//! | `E3_SESSION`, `E3_MANIFEST` | the session that a line is about |
//! | `E3_PARTY` | this party's place in it |
//! | `E3_PROGRESS` | how far it is: `fetched` … `done`, `failed` |
//! | `E3_REASON`, `E3_CULPRIT` | why it failed, as one word; the name of the party at which it failed |
//! | `E3_PHASE`, `E3_REMEDY` | what the agent is doing; what its owner can do |
//! | `E3_ERROR` | an error and its causes |
//!
//! A degraded agent says its reason in `E3_REASON`, too.
//!
//! The last lines are kept in memory, for its owner to ask for from afar ([`crate::asked`]): the agent may not read the journal.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use nix::sys::stat::fstat;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Lines that are kept, and bytes of one of them.
const KEPT: usize = 1000;
const LINE: usize = 1024;

/// The last lines.
static LINES: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

/// The last `count` lines, oldest first.
pub fn last(count: usize) -> Vec<String> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let from = lines.len().saturating_sub(count);
    lines.iter().skip(from).cloned().collect()
}

/// Sets logging up. `E3_LOG` filters, for example `E3_LOG=debug` or `E3_LOG=info,e3_agent=debug`; the
/// default is `info`.
pub fn start() {
    // Levels by target are enough; filters by field bring a regular expression engine with them.
    let asked = std::env::var("E3_LOG")
        .ok()
        .and_then(|text| text.parse().ok());
    let filter: Targets = asked.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let journal = tracing_journald::layer().ok().filter(|_| is_journal());
    let is_shown = journal.is_none();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(move || Line { is_shown })
        .with_target(false)
        .with_ansi(false);
    let journal = journal.map(|journal| journal.with_field_prefix(Some("E3".to_owned())));
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .with(journal)
        .init();
}

/// Takes one line.
struct Line {
    is_shown: bool,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LINE)]);
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(text.trim_end().to_owned());
        drop(lines);
        if self.is_shown {
            io::stderr().write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether standard error is the journal: systemd says by a variable which file that would be, and a
/// process further down may have another one.
fn is_journal() -> bool {
    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else {
        return false;
    };
    fstat(std::io::stderr())
        .is_ok_and(|file| stream == format!("{}:{}", file.st_dev, file.st_ino).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_no_more() {
        let mut line = Line { is_shown: false };
        for n in 0..=KEPT {
            // As a layer does: each line whole.
            line.write_all(format!("line {n}\n").as_bytes()).unwrap();
        }
        assert_eq!(last(usize::MAX).len(), KEPT);
        assert_eq!(
            last(2),
            [format!("line {}", KEPT - 1), format!("line {KEPT}")]
        );
        line.write_all(&vec![b'x'; 10 * LINE]).unwrap();
        assert_eq!(last(1)[0].len(), LINE);
    }
}
