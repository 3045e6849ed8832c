//! How Tor is doing, by its own words: for people, and to tell a machine that has no way out from one whose peers are away.

use std::sync::{Mutex, MutexGuard, PoisonError};

use e3_core::mesh::link::Problem;
use e3_core::text::{DETAIL, clean};

/// Tor is usable from here on.
const DONE: u8 = 100;
/// Seconds that a clock may be off: descriptors of onion services are named by the hour, and consensuses last three.
const SKEW: i64 = 3600;

#[derive(Debug, Default)]
struct Known {
    progress: u8,
    /// What it does.
    summary: String,
    /// What keeps it from that.
    warning: Option<String>,
    /// By how many seconds this machine's clock is ahead.
    skew: Option<i64>,
    published: bool,
}

/// What Tor has said.
#[derive(Debug, Default)]
pub(crate) struct State(Mutex<Known>);

impl State {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in one event (control-spec, "Asynchronous events").
    pub(super) fn hear(&self, event: &str) {
        let mut known = self.known();
        let mut words = event.split(' ');
        let kind = words.next().unwrap_or_default();
        if kind == "HS_DESC" {
            if words.next() == Some("UPLOADED") && !known.published {
                known.published = true;
                tracing::info!("the onion service can be found");
            }
            return;
        }
        let what = words.nth(1).unwrap_or_default();
        match (kind, what) {
            (_, "BOOTSTRAP") => {
                let progress = value(event, "PROGRESS").and_then(|text| text.parse().ok());
                let before = known.progress;
                known.progress = progress.unwrap_or(before);
                value(event, "SUMMARY")
                    .unwrap_or_default()
                    .clone_into(&mut known.summary);
                known.warning = value(event, "WARNING").map(str::to_owned);
                if known.progress == DONE {
                    known.skew = None;
                    if before != DONE {
                        tracing::info!("Tor has found its relays");
                    }
                }
            }
            (_, "CLOCK_SKEW") => {
                let skew = value(event, "SKEW").or_else(|| value(event, "MIN_SKEW"));
                let skew = skew.and_then(|text| text.trim_start_matches('+').parse().ok());
                known.skew = skew;
                tracing::warn!(?skew, "Tor says that this machine's clock is wrong");
            }
            (_, "CIRCUIT_ESTABLISHED") => known.warning = None,
            _ => {}
        }
    }

    /// Whether there is a way to Tor's relays.
    pub(crate) fn is_connected(&self) -> bool {
        self.known().progress == DONE
    }

    /// What is wrong.
    pub(crate) fn problem(&self) -> Option<Problem> {
        let known = self.known();
        if known.progress == DONE {
            return None;
        }
        let mut detail = format!("Tor is at {} %: {}", known.progress, known.summary);
        if let Some(warning) = &known.warning {
            detail = format!("{detail} ({warning})");
        }
        if let Some(skew) = known.skew.filter(|skew| skew.abs() > SKEW) {
            return Some(Problem::ClockWrong {
                behind: u64::try_from(-skew).unwrap_or_default(),
                detail: clean(
                    &format!("this machine's clock is {skew} s ahead by Tor's relays; {detail}"),
                    DETAIL,
                ),
            });
        }
        let detail = clean(&detail, DETAIL);
        Some(Problem::NoRelay { detail })
    }
}

/// The value of `KEY=value` or `KEY="a value"` in a line.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let begin = format!(" {key}=");
    let (_, rest) = line.split_once(&begin)?;
    match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => rest.split(' ').next(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_tor_is_told_until_nothing_does() {
        let state = State::default();
        state.hear(
            r#"STATUS_CLIENT WARN BOOTSTRAP PROGRESS=10 TAG=conn_done SUMMARY="Connected to a relay" WARNING="Network is unreachable" REASON=NOROUTE COUNT=3 RECOMMENDATION=warn"#,
        );
        let Some(Problem::NoRelay { detail }) = state.problem() else {
            panic!("{:?}", state.problem());
        };
        assert_eq!(
            detail,
            "Tor is at 10 %: Connected to a relay (Network is unreachable)"
        );
        assert!(!state.is_connected());
        state.hear(r#"STATUS_CLIENT NOTICE BOOTSTRAP PROGRESS=100 TAG=done SUMMARY="Done""#);
        assert!(state.is_connected());
        assert_eq!(state.problem(), None);
    }

    #[test]
    fn a_wrong_clock_is_told_by_which_way_it_is_wrong() {
        let state = State::default();
        state.hear("STATUS_GENERAL WARN CLOCK_SKEW SKEW=-86400 SOURCE=DIRSERV:203.0.113.1:80");
        assert!(matches!(
            state.problem(),
            Some(Problem::ClockWrong { behind: 86400, .. })
        ));
        state.hear("STATUS_GENERAL WARN CLOCK_SKEW MIN_SKEW=7200 SOURCE=CONSENSUS");
        let Some(Problem::ClockWrong { behind: 0, detail }) = state.problem() else {
            panic!("{:?}", state.problem());
        };
        assert!(detail.contains("7200 s ahead"), "{detail}");
        // So little does no harm.
        state.hear("STATUS_GENERAL WARN CLOCK_SKEW MIN_SKEW=-60 SOURCE=CONSENSUS");
        assert!(matches!(state.problem(), Some(Problem::NoRelay { .. })));
    }

    #[test]
    fn what_tor_says_in_words_that_are_not_known_does_no_harm() {
        let state = State::default();
        for strange in [
            "",
            " ",
            "HS_DESC",
            "STATUS_CLIENT",
            "STATUS_CLIENT NOTICE BOOTSTRAP PROGRESS=999 SUMMARY=\"x",
        ] {
            state.hear(strange);
            assert!(state.problem().is_some(), "{strange}");
        }
    }
}
