//! Where log lines go: to the journal under systemd, to standard error otherwise.

use nix::sys::stat::fstat;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Sets logging up. `E3_LOG` filters, for example `E3_LOG=info,iroh=debug`; by default this crate
/// says what it does, and the libraries only what goes wrong.
pub fn start() {
    let asked = std::env::var("E3_LOG")
        .ok()
        .and_then(|text| text.parse().ok());
    let filter: Targets = asked.unwrap_or_else(|| {
        Targets::new()
            .with_default(LevelFilter::ERROR)
            // It tells of everybody who knocks at the relay and leaves.
            .with_target("iroh_relay::server", LevelFilter::OFF)
            .with_target("e3_link", LevelFilter::INFO)
    });
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

/// Whether standard error is the journal: systemd says by a variable which file that would be.
fn is_journal() -> bool {
    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else {
        return false;
    };
    fstat(std::io::stderr())
        .is_ok_and(|file| stream == format!("{}:{}", file.st_dev, file.st_ino).as_str())
}
