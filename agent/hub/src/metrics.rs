//! Counters, in the text format that Prometheus reads.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only rises, or a gauge when it is also lowered.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(crate) fn lower(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a hub counts.
#[derive(Default)]
pub(crate) struct Metrics {
    /// Open connections.
    pub(crate) connections: Counter,
    /// Connections turned away by a cap.
    pub(crate) turned_away: Counter,
    /// Requests answered, by the first digit of the status.
    pub(crate) requests: [Counter; 6],
    /// Events, counted once for each subscriber that got them.
    pub(crate) pushes: Counter,
    /// The store failed.
    pub(crate) store_errors: Counter,
}

impl Metrics {
    /// The text.
    pub(crate) fn render(&self, subscribers: usize) -> String {
        let mut text = String::with_capacity(1024);
        let mut metric = |name: &str, kind: &str, help: &str, values: &[(&str, u64)]| {
            let _ = writeln!(
                text,
                "# HELP e3_hub_{name} {help}\n# TYPE e3_hub_{name} {kind}"
            );
            for (labels, value) in values {
                let _ = writeln!(text, "e3_hub_{name}{labels} {value}");
            }
        };
        metric(
            "subscribers",
            "gauge",
            "Open push streams.",
            &[("", subscribers as u64)],
        );
        metric(
            "connections",
            "gauge",
            "Open connections.",
            &[("", self.connections.get())],
        );
        let turned_away = self.turned_away.get();
        metric(
            "connections_turned_away_total",
            "counter",
            "Connections over a cap.",
            &[("", turned_away)],
        );
        let class = |n: usize| self.requests[n].get();
        let requests = [
            ("{status=\"2xx\"}", class(2)),
            ("{status=\"3xx\"}", class(3)),
            ("{status=\"4xx\"}", class(4)),
            ("{status=\"5xx\"}", class(5)),
        ];
        metric("requests_total", "counter", "Requests answered.", &requests);
        metric(
            "pushes_total",
            "counter",
            "Events handed to subscribers.",
            &[("", self.pushes.get())],
        );
        metric(
            "store_errors_total",
            "counter",
            "Failures of the store.",
            &[("", self.store_errors.get())],
        );
        text
    }
}
