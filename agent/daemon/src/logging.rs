//! Where log lines go: to the journal under systemd, to standard error otherwise.

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
    // systemd says by this variable that standard error is the journal already.
    let in_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    match tracing_journald::layer() {
        Ok(journal) if in_journal => registry.with(journal).init(),
        _ => {
            let lines = tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .with_target(false);
            registry.with(lines.with_ansi(false)).init();
        }
    }
}
