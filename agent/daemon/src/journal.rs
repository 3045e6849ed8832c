//! Rule 13 on disk: the hash-chained journal. The chain itself is `e3_core::journal`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use e3_core::digest::Digest;
use e3_core::journal::{Entry, JournalError, Tail};
use e3_core::time::Time;

use crate::ledger::{self, LedgerError};

/// A line is a few hundred bytes.
const LINE: u64 = 64 * 1024;

/// The agent's journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    tail: Tail,
    damage: Option<String>,
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalFileError {
    /// The disk.
    #[error("the journal {path} cannot be used")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It has been changed.
    #[error("the journal has been changed: {0}")]
    Changed(JournalError),
    /// It has been cut off.
    #[error("the journal has {found} lines, and {expected} were written: lines were cut off")]
    Cut {
        /// Lines written.
        expected: u64,
        /// Lines found.
        found: u64,
    },
    /// The file that remembers its end.
    #[error(transparent)]
    Tail(#[from] LedgerError),
}

impl Journal {
    /// Opens the journal for writing. A line that a crash has cut off is dropped; every other
    /// damage is left for [`verify`] to find.
    pub fn open(path: &Path) -> Result<Self, JournalFileError> {
        let io = |source| JournalFileError::Io {
            path: path.to_owned(),
            source,
        };
        let open = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .mode(0o600)
            .open(path);
        let file = open.map_err(io)?;
        let whole = whole_length(path).map_err(io)?;
        file.set_len(whole).map_err(io)?;
        // What was changed is said, here and by `verify`; it keeps no party from its work.
        let (tail, damage) = match (verify(path), ledger::load(&tail_path(path))) {
            (Ok(tail), _) => (tail, None),
            // Not changed, but not understood: no line is added to it.
            (Err(error @ JournalFileError::Tail(LedgerError::Newer { .. })), _) => {
                return Err(error);
            }
            (Err(error), Ok(Some(tail))) => (tail, Some(error)),
            (Err(error), _) => {
                let tail = read(path, |_| ()).unwrap_or_else(|_| Tail::empty());
                (tail, Some(error))
            }
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            tail,
            damage: damage.map(|error| crate::text::chain(&error)),
        })
    }

    /// What was wrong with the journal when it was opened, if anything was.
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// Adds a line, on the disk when this returns.
    pub fn append(
        &mut self,
        time: Time,
        subject: &str,
        verdict: &str,
        digest: Option<Digest>,
        detail: &str,
    ) -> Result<(), JournalFileError> {
        let mut tail = self.tail;
        let line = tail.append(time, subject, verdict, digest, detail);
        let io = |source| JournalFileError::Io {
            path: self.path.clone(),
            source,
        };
        self.file
            .write_all(format!("{line}\n").as_bytes())
            .map_err(io)?;
        self.file.sync_data().map_err(io)?;
        self.tail = tail;
        // Written second: a crash in between leaves a journal that is longer than remembered, which
        // is honest; a shorter one has been cut.
        Ok(ledger::save(&tail_path(&self.path), &tail)?)
    }
}

/// Checks a whole journal, and that it is not shorter than what was written.
pub fn verify(path: &Path) -> Result<Tail, JournalFileError> {
    let remembered: Option<Tail> = ledger::load(&tail_path(path))?;
    let tail =
        read(path, |_| ()).map_err(|error| match ledger::newer_writer(&tail_path(path)) {
            // Whoever adds a line says so in the tail.
            Some(writer) if matches!(error, JournalFileError::Changed(_)) => {
                let (path, detail) = (path.to_owned(), format!("agent {writer}: {error}"));
                JournalFileError::Tail(LedgerError::Newer { path, detail })
            }
            _ => error,
        })?;
    match remembered {
        Some(end) if end.sequence > tail.sequence => Err(JournalFileError::Cut {
            expected: end.sequence,
            found: tail.sequence,
        }),
        Some(end) if end.sequence == tail.sequence && end.digest != tail.digest => {
            let problem = "is not the line that was written".to_owned();
            Err(JournalFileError::Changed(JournalError {
                line: tail.sequence,
                problem,
            }))
        }
        _ => Ok(tail),
    }
}

/// Reads a journal line by line, up to the first one that does not verify.
pub fn read(path: &Path, mut entry: impl FnMut(Entry)) -> Result<Tail, JournalFileError> {
    let io = |source| JournalFileError::Io {
        path: path.to_owned(),
        source,
    };
    let mut tail = Tail::empty();
    let mut reader = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(tail),
        Err(error) => return Err(io(error)),
    };
    let mut line = String::new();
    loop {
        line.clear();
        let read = io::Read::take(&mut reader, LINE)
            .read_line(&mut line)
            .map_err(io)?;
        if read == 0 {
            return Ok(tail);
        }
        let read = tail.verify(line.trim_end_matches('\n'));
        entry(read.map_err(JournalFileError::Changed)?);
    }
}

/// The length up to and with the last line end.
fn whole_length(path: &Path) -> io::Result<u64> {
    let mut reader = BufReader::new(File::open(path)?);
    let (mut whole, mut seen, mut line) = (0, 0, Vec::new());
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        seen += read as u64;
        if line.ends_with(b"\n") {
            whole = seen;
        }
        if read == 0 {
            return Ok(whole);
        }
    }
}

fn tail_path(path: &Path) -> PathBuf {
    path.with_extension("tail")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three(path: &Path) {
        let mut journal = Journal::open(path).unwrap();
        for n in 0..3 {
            journal
                .append(Time::from_unix(n), "head", "accepted", None, "")
                .unwrap();
        }
    }

    #[test]
    fn edits_and_cuts_are_found_and_a_torn_line_is_not_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        three(&path);
        assert_eq!(verify(&path).unwrap().sequence, 3);
        let text = std::fs::read_to_string(&path).unwrap();
        // A crash in the middle of a line.
        std::fs::write(&path, format!("{text}{{\"seq")).unwrap();
        Journal::open(&path)
            .unwrap()
            .append(Time::MIN, "head", "refused", None, "old")
            .unwrap();
        assert_eq!(verify(&path).unwrap().sequence, 4);
        // An edit.
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("accepted", "refused", 1)).unwrap();
        assert!(matches!(verify(&path), Err(JournalFileError::Changed(_))));
        // A cut.
        let cut: String = text.lines().take(2).flat_map(|line| [line, "\n"]).collect();
        std::fs::write(&path, cut).unwrap();
        assert!(matches!(
            verify(&path),
            Err(JournalFileError::Cut {
                expected: 4,
                found: 2
            })
        ));
    }
}
