//! The table of results: a line for each measurement, written as soon as it is made.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use e3_client::files::read_bounded;
use serde::de::{self, Deserializer};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The verdict of a measurement that counts.
pub(super) const GOOD: &str = "good";
/// Bytes of a table: a hundred thousand lines.
const LIMIT: usize = 16 << 20;

/// One measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    /// What stands between the machines.
    pub(super) place: String,
    /// The mesh, or `none`.
    pub(super) mesh: String,
    /// With how many parties.
    pub(super) parties: usize,
    /// The program's name.
    pub(super) program: String,
    /// The program's argument.
    pub(super) size: u32,
    /// Which of several times.
    pub(super) run: u8,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            mesh,
            parties,
            program,
            size,
            run,
            ..
        } = self;
        write!(
            f,
            "{program} {size}, {parties} parties, mesh {mesh}, time {run}"
        )
    }
}

/// How long messages take between each two parties, in milliseconds: in the table as one text.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Pairs(pub(super) Vec<(String, String, f64)>);

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let each = self
            .0
            .iter()
            .map(|(one, other, ms)| format!("{one} {other} {ms}"));
        serializer.serialize_str(&each.collect::<Vec<_>>().join("; "))
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let each = text.split("; ").filter(|pair| !pair.is_empty());
        let read = |pair: &str| match pair.split(' ').collect::<Vec<_>>()[..] {
            [one, other, ms] => Some((one.to_owned(), other.to_owned(), ms.parse().ok()?)),
            _ => None,
        };
        let pairs: Option<Vec<_>> = each.map(read).collect();
        pairs
            .map(Self)
            .ok_or_else(|| de::Error::custom("`pairs` is no list of `name name milliseconds`"))
    }
}

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) place: String,
    pub(super) mesh: String,
    pub(super) parties: usize,
    pub(super) program: String,
    pub(super) size: u32,
    pub(super) run: u8,
    /// `good`, or what went wrong.
    pub(super) verdict: String,
    /// From the start of the mesh's daemon until another agent answered through it, the slowest party at its last time.
    #[serde(default)]
    pub(super) join_ms: Option<f64>,
    /// From the owner's command to the last receipt, in milliseconds.
    pub(super) total_ms: Option<f64>,
    /// From a party's first word of it to the open barrier, the slowest.
    pub(super) start_ms: Option<f64>,
    /// The whole program, Python's start not included, the slowest.
    pub(super) program_ms: Option<f64>,
    /// The computation in it, the slowest.
    pub(super) mpc_ms: Option<f64>,
    /// There and back between two parties, the slowest pair.
    #[serde(default)]
    pub(super) rtt_ms: Option<f64>,
    /// A round in which everybody hears everybody, the slowest.
    pub(super) round_ms: Option<f64>,
    /// Megabits per second into one party from all others, the slowest.
    pub(super) mbit_s: Option<f64>,
    /// Bytes that the busiest party has sent.
    pub(super) sent: Option<f64>,
    /// Bytes of memory of the largest program.
    pub(super) memory: Option<f64>,
    /// There and back between each two: `name name milliseconds; …`.
    #[serde(default)]
    pub(super) pairs: Pairs,
}

impl Row {
    /// One that measured nothing yet.
    pub(super) fn of(cell: &Cell, verdict: String) -> Self {
        let Cell {
            place,
            mesh,
            parties,
            program,
            size,
            run,
        } = cell.clone();
        Self {
            place,
            mesh,
            parties,
            program,
            size,
            run,
            verdict,
            join_ms: None,
            total_ms: None,
            start_ms: None,
            program_ms: None,
            mpc_ms: None,
            rtt_ms: None,
            round_ms: None,
            mbit_s: None,
            sent: None,
            memory: None,
            pairs: Pairs::default(),
        }
    }

    /// What came of it, in one line.
    pub(super) fn words(&self) -> String {
        let time = self.mpc_ms.or(self.program_ms);
        let time = time.map_or_else(|| self.verdict.clone(), |ms| format!("{ms:.0} ms"));
        format!(
            "{} {}, {} parties, {}: {time}",
            self.program, self.size, self.parties, self.mesh
        )
    }

    fn is_of(&self, cell: &Cell) -> bool {
        self.place == cell.place
            && self.mesh == cell.mesh
            && self.parties == cell.parties
            && self.program == cell.program
            && self.size == cell.size
            && self.run == cell.run
    }
}

/// The table.
pub(super) struct Results {
    path: PathBuf,
    rows: Vec<Row>,
}

impl Results {
    /// What is in a folder, which is made if need be.
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("results.csv");
        fs::create_dir_all(folder).map_err(|source| Error::Folder {
            action: "make",
            path: folder.to_owned(),
            source,
        })?;
        let bytes = match read_bounded(&path, LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        // A line that was cut off in the middle was never a result.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n');
        let whole = &bytes[..whole.map_or(0, |end| end + 1)];
        let rows: Result<Vec<Row>, csv::Error> =
            csv::Reader::from_reader(whole).deserialize().collect();
        let rows = rows.map_err(|error| Error::Usage {
            message: format!("{} is no table of results: {error}", path.display()),
            remedy: "Name another folder with --out, or move that file away.",
        })?;
        let results = Self { path, rows };
        if whole.len() != bytes.len() {
            results.rewrite()?;
        }
        Ok(results)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// All of it.
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Whether this was measured, and well.
    pub(super) fn has(&self, cell: &Cell) -> bool {
        self.rows
            .iter()
            .any(|row| row.is_of(cell) && row.verdict == GOOD)
    }

    /// Adds a line, on the disk first.
    pub(super) fn add(&mut self, row: Row) -> Result<(), Error> {
        let line = text(std::slice::from_ref(&row), self.rows.is_empty());
        let append = || {
            let mut file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(&self.path)?;
            file.write_all(&line)?;
            file.sync_data()
        };
        append().map_err(|source| Error::Folder {
            action: "write to",
            path: self.path.clone(),
            source,
        })?;
        self.rows.push(row);
        Ok(())
    }

    fn rewrite(&self) -> Result<(), Error> {
        Ok(e3_client::files::write_atomic(
            &self.path,
            &text(&self.rows, true),
        )?)
    }
}

/// Lines as they stand in the file.
fn text(rows: &[Row], with_header: bool) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new()
        .has_headers(with_header)
        .from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).expect("memory takes everything");
    }
    writer.into_inner().expect("memory takes everything")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(run: u8) -> Cell {
        Cell {
            place: "here".to_owned(),
            mesh: "nebula".to_owned(),
            parties: 3,
            program: "rounds".to_owned(),
            size: 4,
            run,
        }
    }

    #[test]
    fn what_was_measured_is_there_again_and_what_was_cut_off_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut results = Results::open(folder.path()).unwrap();
        let good = Row {
            total_ms: Some(812.5),
            pairs: Pairs(vec![
                ("p0".to_owned(), "p1".to_owned(), 0.25),
                ("p0".to_owned(), "p2".to_owned(), 161.0),
            ]),
            ..Row::of(&cell(1), GOOD.to_owned())
        };
        let bad = Row::of(&cell(2), "p1: \"lost\", and\nmore".to_owned());
        results.add(good.clone()).unwrap();
        results.add(bad.clone()).unwrap();
        let path = results.path().to_owned();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"here,nebula,3,rou").unwrap();
        for _ in 0..2 {
            let again = Results::open(folder.path()).unwrap();
            assert_eq!(again.rows(), [good.clone(), bad.clone()]);
            assert!(again.has(&cell(1)) && !again.has(&cell(2)) && !again.has(&cell(3)));
        }
    }
}
