//! What the importer has to say: for the log, for `e3-agent status`, and for the console of a machine that nobody can log
//! in to.

use std::fmt::Write as _;
use std::path::Path;

use e3_client::files::{self, FileError};
use e3_core::text::clean;
use serde::{Deserialize, Serialize};

use crate::issue;

/// Characters in one line.
const LINE: usize = 400;
/// Lines on the console; all of them are in the log.
const SHOWN: usize = 6;
/// A report is some lines.
const LIMIT: usize = 256 * 1024;

/// One thing to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Whether somebody has to do something.
    pub is_problem: bool,
    /// What happened.
    pub text: String,
    /// What to do; empty if nothing.
    pub remedy: String,
}

/// What one look has come to. It says no secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Where the join file lies that is in use.
    pub taken: Option<String>,
    /// The rest.
    pub notes: Vec<Note>,
}

impl Report {
    /// Somebody has to do something.
    pub fn problem(&mut self, text: &str, remedy: &str) {
        self.note(true, text, remedy);
    }

    /// Good to know.
    pub fn hint(&mut self, text: &str) {
        self.note(false, text, "");
    }

    /// Names and messages may come from anybody: nothing in them acts on a terminal.
    fn note(&mut self, is_problem: bool, text: &str, remedy: &str) {
        let note = Note {
            is_problem,
            text: clean(text, LINE),
            remedy: clean(remedy, LINE),
        };
        // Two places may lie on the same medium that is missing.
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Says it in the log.
    pub fn log(&self) {
        for note in &self.notes {
            if note.is_problem {
                tracing::warn!(remedy = %note.remedy, "{}", note.text);
            } else {
                tracing::info!("{}", note.text);
            }
        }
    }

    /// The problems, as indented lines.
    pub fn screen(&self) -> String {
        let mut text = String::new();
        let problems = self.notes.iter().filter(|note| note.is_problem);
        for note in problems.take(SHOWN) {
            let _ = writeln!(text, "  {}", note.text);
            if !note.remedy.is_empty() {
                let _ = writeln!(text, "    {}", note.remedy);
            }
        }
        text
    }

    /// Writes `report.json`, and `issue` for agetty(8), which obeys backslashes; that is shown if it is new.
    pub fn write(&self, folder: &Path) -> Result<(), FileError> {
        let json = serde_json::to_vec(self).unwrap_or_default();
        files::write_volatile(&folder.join("report.json"), &json)?;
        let mut text = self.screen().replace('\\', "\\\\");
        if !text.is_empty() {
            text.insert_str(0, "E3 join file:\n");
            text.push('\n');
        }
        let path = folder.join("issue");
        // An importer looks every few seconds, and mostly has nothing new to say.
        if files::read_bounded(&path, LIMIT).is_ok_and(|bytes| bytes == text.as_bytes()) {
            return Ok(());
        }
        files::write_volatile(&path, text.as_bytes())?;
        issue::show(&path);
        Ok(())
    }

    /// The last one that was written, if there is one.
    pub fn read(folder: &Path) -> Option<Self> {
        let bytes = files::read_bounded(&folder.join("report.json"), LIMIT).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_cannot_act_on_the_console() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = Report::default();
        report.problem("/mnt/c/Users/\x1b[2J\\4\n/e3.toml is broken", "Correct it.");
        report.hint("nothing to do");
        report.write(folder.path()).unwrap();
        let issue = std::fs::read_to_string(folder.path().join("issue")).unwrap();
        assert_eq!(
            issue,
            "E3 join file:\n  /mnt/c/Users/\u{fffd}[2J\\\\4\u{fffd}/e3.toml is broken\n    Correct it.\n\n"
        );
        assert_eq!(Report::read(folder.path()), Some(report));
        Report::default().write(folder.path()).unwrap();
        let issue = std::fs::read_to_string(folder.path().join("issue")).unwrap();
        assert_eq!(issue, "");
    }
}
