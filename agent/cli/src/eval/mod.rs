//! `e3 eval`: the same computations over every mesh of a fleet, with more and more parties, as a table and a page with plots.
//!
//! It runs ordinary sessions on the fleet as it is: signed, judged by each party's policy, with receipts. So the figures are
//! those that users get, and the same command works in a laboratory and across the world. How long the parties took is in their
//! receipts; what the programs (`programs/`) measure of the way between the machines they tell with `--details`, where the
//! policies let them publish it.
//!
//! Each measurement is a line of `results.csv` as soon as it is made, and is not made again: whoever is interrupted, or has
//! the fleet move to another mesh in between, just runs the command once more. [`report`] draws everything that is there.

mod chart;
mod measure;
mod report;
mod results;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use e3_core::document::Mesh;
use e3_core::name::Name;
use serde_json::json;

use self::measure::Measurer;
use self::results::{Cell, Results};
use crate::args::{Eval, EvalProgram, EvalSize, Global};
use crate::commands::fleet::{OpenFleet, Stale, Standing, enrolled};
use crate::error::{Error, Exit};
use crate::output::progress::{Progress, Renderer};
use crate::output::{Answer, Output};

/// The word for the machines' own addresses.
const NO_MESH: &str = "none";
/// Parties of one measurement, at most, if nobody says how many.
const MOST: usize = 10;

/// `e3 eval`
pub async fn run(args: &Eval, global: &Global, output: &Output) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    fleet.sync(Stale::Allow).await?;
    let parties = parties(&fleet).await?;
    let mut results = Results::open(&args.out)?;
    let (mut made, mut failed) = (0, Vec::new());
    let mut renderer = Renderer::new(output);
    let cells = cells(args, &meshes(&fleet, &args.meshes)?, &parties)?;
    let missing: Vec<Cell> = cells
        .into_iter()
        .filter(|cell| !results.has(cell))
        .collect();
    if !missing.is_empty() {
        let measurer = Measurer::new(args).await?;
        let (all, width) = (missing.len(), missing.len().to_string().len());
        for cell in missing {
            let subject = format!("{:>width$} of {all}", made + failed.len() + 1);
            renderer.show(&Progress::going(&subject, cell.to_string()));
            let who = &parties[..cell.parties];
            let row = measurer.measure(&mut fleet, &cell, who).await?;
            if row.verdict == results::GOOD {
                made += 1;
            } else {
                failed.push(format!("{cell}: {}", row.verdict));
            }
            renderer.show(&Progress::ended(&subject, row.words()));
            results.add(row)?;
        }
    }
    let page = args.out.join("report.html");
    let html = report::render(results.rows());
    e3_client::files::write_atomic(&page, html.as_bytes())?;
    Ok(answer(&results, &page, made, &failed))
}

fn answer(results: &Results, page: &Path, made: usize, failed: &[String]) -> Answer {
    let mut text = format!(
        "{made} measurements were made; the report is {}\n",
        page.display()
    );
    for problem in failed {
        let _ = writeln!(text, "failed    {problem}");
    }
    if !failed.is_empty() {
        text.push_str("What failed is tried again next time.\n");
    }
    let json = json!({"made": made, "failed": failed, "report": crate::output::named(page), "results": crate::output::named(results.path())});
    let exit = if failed.is_empty() {
        Exit::Ok
    } else {
        Exit::Failed
    };
    Answer::new(text, json).exit(exit)
}

/// Everything that is asked for, the quick things first.
fn cells(args: &Eval, meshes: &[String], parties: &[Party]) -> Result<Vec<Cell>, Error> {
    let all = || (1..=parties.len().min(MOST)).collect();
    let counts: Vec<usize> = match args.parties.as_slice() {
        [] => all(),
        given => given.iter().map(|count| usize::from(*count)).collect(),
    };
    if let Some(most) = counts.iter().max().filter(|most| **most > parties.len()) {
        return Err(Error::Usage {
            message: format!(
                "the fleet has {} parties that were heard of, and not {most}",
                parties.len()
            ),
            remedy: "Invite more machines (`e3 fleet invite`), or ask for fewer.",
        });
    }
    let programs = or_all(&args.programs, &[EvalProgram::Rounds, EvalProgram::Bulk]);
    let sizes = or_all(
        &args.sizes,
        &[EvalSize::Small, EvalSize::Medium, EvalSize::Large],
    );
    let mut cells = Vec::new();
    for size in sizes {
        for program in &programs {
            for parties in &counts {
                for mesh in meshes {
                    cells.extend((1..=args.repeat).map(|run| Cell {
                        place: args.place.clone(),
                        mesh: mesh.clone(),
                        parties: *parties,
                        program: measure::name(*program).to_owned(),
                        size: measure::size(*program, size),
                        run,
                    }));
                }
            }
        }
    }
    Ok(cells)
}

fn or_all<T: Copy>(given: &[T], all: &[T]) -> Vec<T> {
    if given.is_empty() { all } else { given }.to_vec()
}

/// The meshes to measure, by their names.
fn meshes(fleet: &OpenFleet, given: &[String]) -> Result<Vec<String>, Error> {
    let mut there: Vec<String> = fleet
        .head()?
        .meshes
        .iter()
        .map(|plan| plan.backend.name().to_owned())
        .collect();
    if there.is_empty() {
        there.push(NO_MESH.to_owned());
    }
    if let Some(other) = given.iter().find(|mesh| !there.contains(mesh)) {
        return Err(Error::Usage {
            message: format!(
                "the fleet's head asks for {}, and not for {other}",
                there.join(" and ")
            ),
            remedy: "Have the fleet join it first: `e3 mesh NAME`, then `e3 mesh sign`.",
        });
    }
    if given.is_empty() {
        return Ok(there);
    }
    Ok(given.to_vec())
}

/// The fleet's parties that have been heard of, in the order of fleet.toml.
async fn parties(fleet: &OpenFleet) -> Result<Vec<Party>, Error> {
    let (known, _) = enrolled(fleet).await?;
    let heard = |name: &Name| {
        let party = known
            .iter()
            .find(|party| party.member.name == *name && party.standing == Standing::Accepted)?;
        Some(Party {
            name: name.clone(),
            meshes: party.presence.as_ref()?.meshes.clone(),
        })
    };
    let names = fleet.file.parties.iter().map(|member| &member.name);
    Ok(names.filter_map(heard).collect())
}

/// A party, and what it said last of its meshes.
struct Party {
    name: Name,
    meshes: BTreeMap<String, Mesh>,
}

impl Party {
    /// How long it took to join this mesh, in milliseconds, if it knows.
    fn join_ms(&self, mesh: &str) -> Option<f64> {
        match self.meshes.get(mesh)? {
            Mesh::Joined { took_ms, .. } => took_ms.map(f64::from),
            Mesh::NotJoined { .. } => None,
        }
    }
}
