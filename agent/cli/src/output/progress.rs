//! Progress of long work: commands send events on a channel, one renderer shows them.
//!
//! On a terminal there is one moving line per subject; elsewhere one plain line per change; with
//! `--json` or `--quiet` nothing. All of it goes to standard error.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::Output;

/// Something that has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What it is about: a party's name, or what is done.
    pub subject: String,
    /// How it stands now.
    pub state: String,
    /// Whether nothing more will come of it.
    pub ended: bool,
}

impl Progress {
    /// It goes on.
    pub fn going(subject: impl Into<String>, state: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            state: state.into(),
            ended: false,
        }
    }

    /// It has ended.
    pub fn ended(subject: impl Into<String>, state: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            state: state.into(),
            ended: true,
        }
    }
}

/// Shows progress.
pub enum Renderer {
    /// Not at all.
    Silent,
    /// One line per change.
    Plain {
        /// The last state of each subject: the same again is no news.
        last: BTreeMap<String, String>,
    },
    /// Moving lines.
    Live {
        /// All of them.
        all: MultiProgress,
        /// By subject.
        bars: BTreeMap<String, ProgressBar>,
    },
}

impl Renderer {
    /// The renderer that fits the place.
    pub fn new(output: &Output) -> Self {
        if output.is_live() {
            Self::Live {
                all: MultiProgress::new(),
                bars: BTreeMap::new(),
            }
        } else if output.is_json() || output.is_quiet() {
            Self::Silent
        } else {
            Self::Plain {
                last: BTreeMap::new(),
            }
        }
    }

    /// Shows one event.
    pub fn show(&mut self, event: &Progress) {
        let Progress {
            subject,
            state,
            ended,
        } = event;
        match self {
            Self::Silent => {}
            Self::Plain { last } => {
                if last.insert(subject.clone(), state.clone()).as_ref() != Some(state) {
                    let _ = writeln!(std::io::stderr(), "{subject}: {state}");
                }
            }
            Self::Live { all, bars } => {
                let bar = bars.entry(subject.clone()).or_insert_with(|| {
                    let bar = all.add(ProgressBar::new_spinner());
                    bar.set_style(style("{spinner} {prefix}  {msg}"));
                    bar.set_prefix(subject.clone());
                    bar.enable_steady_tick(Duration::from_millis(120));
                    bar
                });
                bar.set_message(state.clone());
                if *ended {
                    bar.set_style(style("* {prefix}  {msg}"));
                    bar.finish();
                }
            }
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
