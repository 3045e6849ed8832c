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

use nix::sys::stat::fstat;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Sets logging up. `E3_LOG` filters, for example `E3_LOG=debug` or `E3_LOG=info,e3_agent=debug`; the
/// default is `info`.
pub fn start() {
    // Levels by target are enough; filters by field bring a regular expression engine with them.
    let asked = std::env::var("E3_LOG")
        .ok()
        .and_then(|text| text.parse().ok());
    let filter: Targets = asked.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let registry = tracing_subscriber::registry().with(filter);
    match tracing_journald::layer() {
        Ok(journal) if is_journal() => {
            registry
                .with(journal.with_field_prefix(Some("E3".to_owned())))
                .init();
        }
        _ => {
            let lines = tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .with_target(false);
            registry.with(lines.with_ansi(false)).init();
        }
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
