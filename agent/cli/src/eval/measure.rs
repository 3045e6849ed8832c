//! One measurement: a session of so many parties, from the manifest to the receipts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use e3_client::{clock, files};
use e3_core::document::{Receipt, Timings};
use e3_core::key::SecretKey;
use e3_core::name::Name;
use serde::Deserialize;

use super::results::{Cell, GOOD, Pairs, Row};
use super::{NO_MESH, Party};
use crate::args::{Eval, EvalProgram, EvalSize};
use crate::commands::fleet::OpenFleet;
use crate::commands::key;
use crate::commands::session::{push, sign, sources, watch};
use crate::error::Error;
use crate::index::{self, Wheel};
use crate::manifest::ManifestError;
use crate::manifest::draft::MpycOptions;

/// The version that is measured.
const MPYC: &str = "0.11";
/// The programs, by the names of their files.
const FILES: [(&str, &str); 3] = [
    ("measure.py", include_str!("programs/measure.py")),
    ("rounds.py", include_str!("programs/rounds.py")),
    ("bulk.py", include_str!("programs/bulk.py")),
];

/// The word for a program.
pub(super) const fn name(program: EvalProgram) -> &'static str {
    match program {
        EvalProgram::Rounds => "rounds",
        EvalProgram::Bulk => "bulk",
    }
}

/// What a program is given for a size.
pub(super) const fn size(program: EvalProgram, size: EvalSize) -> u32 {
    match (program, size) {
        (EvalProgram::Rounds, EvalSize::Small) => 4,
        (EvalProgram::Rounds, EvalSize::Medium) | (EvalProgram::Bulk, EvalSize::Small) => 16,
        (EvalProgram::Rounds, EvalSize::Large) => 32,
        (EvalProgram::Bulk, EvalSize::Medium) => 64,
        (EvalProgram::Bulk, EvalSize::Large) => 128,
    }
}

/// What a program tells of itself.
#[derive(Debug, Default, Deserialize)]
struct Told {
    mpc_ms: f64,
    #[serde(default)]
    rtt_ms: BTreeMap<usize, f64>,
    #[serde(default)]
    round_ms: Option<f64>,
    #[serde(default)]
    mbit_s: Option<f64>,
    sent: f64,
    memory: f64,
}

/// What all measurements need.
pub(super) struct Measurer {
    folder: tempfile::TempDir,
    key: SecretKey,
    wheel: Wheel,
    timeout: Duration,
    details: bool,
}

impl Measurer {
    /// Lays the programs out, and finds MPyC.
    pub(super) async fn new(args: &Eval) -> Result<Self, Error> {
        let folder = tempfile::tempdir().map_err(|source| Error::Folder {
            action: "make",
            path: std::env::temp_dir(),
            source,
        })?;
        let programs = folder.path().join("programs");
        files::private_folder(&programs)?;
        for (name, text) in FILES {
            files::write_atomic(&programs.join(name), text.as_bytes())?;
        }
        let mut mpyc = MpycOptions::new(MPYC);
        mpyc.wheel.clone_from(&args.wheel);
        let wheel = index::resolve(&mpyc, &sources(args.index.as_deref())?).await;
        Ok(Self {
            folder,
            key: key::read(args.key.as_deref())?,
            wheel: wheel.map_err(ManifestError::Index)?,
            timeout: Duration::from_secs(args.timeout),
            details: args.details,
        })
    }

    /// Runs a session, and tells what came of it. That a session fails is a result; that it cannot be published is none.
    pub(super) async fn measure(
        &self,
        fleet: &mut OpenFleet,
        cell: &Cell,
        parties: &[Party],
    ) -> Result<Row, Error> {
        let names: Vec<Name> = parties.iter().map(|party| party.name.clone()).collect();
        let text = self.manifest(cell, &names);
        let here = self.folder.path();
        let view = fleet.file.view()?;
        let checked = crate::manifest::check_text("eval.toml", &text, here, &view, fleet.now());
        let checked = checked.map_err(ManifestError::from)?;
        let path = here.join("eval.session");
        let bundle = sign::create(&checked, &self.wheel, &self.key, &path, fleet.now())?;
        let begin = Instant::now();
        let pushed = push::push(fleet, &bundle, &self.key, &mut |_| {}).await;
        let removed = remove(&path);
        let pushed = pushed?;
        removed?;
        let watched = watch::watch(fleet, &pushed.session, Some(self.timeout), &mut |_| {}).await?;
        let total = begin.elapsed();
        if let Some((party, why)) = watched.blame() {
            let name = names.get(party).map_or("?", Name::as_str);
            return Ok(Row::of(cell, format!("{name}: {why}")));
        }
        let receipts: Vec<&Receipt> = watched.receipts.iter().flatten().collect();
        if receipts.len() != parties.len() {
            return Ok(Row::of(cell, "not all receipts came in time".to_owned()));
        }
        Ok(Row {
            join_ms: most(parties.iter().map(|party| party.join_ms(&cell.mesh))),
            ..row(cell, total, &names, &receipts)
        })
    }

    /// The manifest, as a person would write it.
    fn manifest(&self, cell: &Cell, parties: &[Name]) -> String {
        let mut document = toml_edit::DocumentMut::new();
        let names: toml_edit::Array = parties.iter().map(Name::as_str).collect();
        let arguments: toml_edit::Array = [cell.size.to_string()].iter().collect();
        document["name"] = toml_edit::value("eval");
        // Several in one second.
        let counter = i64::try_from(clock::millis()).unwrap_or(i64::MAX);
        document["counter"] = toml_edit::value(counter);
        document["parties"] = toml_edit::value(names);
        document["program"] = toml_edit::value("programs");
        document["entry"] = toml_edit::value(format!("{}.py", cell.program));
        document["args"] = toml_edit::value(arguments);
        document["valid_for"] = toml_edit::value("5m");
        if self.details {
            document["output"] = toml_edit::value("publish");
        }
        if cell.mesh != NO_MESH {
            document["mesh"] = toml_edit::value(cell.mesh.as_str());
        }
        document["mpyc"] = toml_edit::table();
        document["mpyc"]["version"] = toml_edit::value(MPYC);
        document["deadlines"] = toml_edit::table();
        document["deadlines"]["run"] = toml_edit::value(format!("{}s", self.timeout.as_secs()));
        document.to_string()
    }
}

/// The figures of a good session.
fn row(cell: &Cell, total: Duration, names: &[Name], receipts: &[&Receipt]) -> Row {
    let read = |receipt: &&Receipt| serde_json::from_str(receipt.published.as_deref()?).ok();
    let by_party: Vec<Option<Told>> = receipts.iter().map(read).collect();
    let pairs = pairs(names, &by_party);
    let told: Vec<Told> = by_party.into_iter().flatten().collect();
    let times = |time: fn(&Timings) -> Option<f64>| {
        most(receipts.iter().map(|receipt| time(&receipt.timings)))
    };
    Row {
        total_ms: Some(1000.0 * total.as_secs_f64()),
        start_ms: times(|timings| milliseconds(timings.barrier_ms?)),
        program_ms: times(|timings| {
            milliseconds(timings.exited_ms?.saturating_sub(timings.barrier_ms?))
        }),
        mpc_ms: most(told.iter().map(|told| Some(told.mpc_ms))),
        rtt_ms: most(pairs.0.iter().map(|(.., ms)| Some(*ms))),
        round_ms: most(told.iter().map(|told| told.round_ms)),
        mbit_s: told.iter().filter_map(|told| told.mbit_s).reduce(f64::min),
        sent: most(told.iter().map(|told| Some(told.sent))),
        memory: most(told.iter().map(|told| Some(told.memory))),
        pairs,
        ..Row::of(cell, GOOD.to_owned())
    }
}

/// What each party tells of its way to each later one.
fn pairs(names: &[Name], told: &[Option<Told>]) -> Pairs {
    let each = names.iter().zip(told).filter_map(|(one, told)| {
        let ways = &told.as_ref()?.rtt_ms;
        let named = move |(other, ms): (&usize, &f64)| {
            Some((one.to_string(), names.get(*other)?.to_string(), *ms))
        };
        Some(ways.iter().filter_map(named))
    });
    Pairs(each.flatten().collect())
}

/// A day has 2^27 milliseconds.
fn milliseconds(whole: u64) -> Option<f64> {
    Some(f64::from(u32::try_from(whole).ok()?))
}

fn most(all: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    all.flatten().reduce(f64::max)
}

/// Each measurement has a bundle of its own.
fn remove(path: &Path) -> Result<(), Error> {
    std::fs::remove_dir_all(path).map_err(|source| Error::Folder {
        action: "remove",
        path: PathBuf::from(path),
        source,
    })
}
