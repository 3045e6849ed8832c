//! From the text of a manifest to a [`Draft`], or to everything that is wrong with it.
//!
//! Reads no file but the text: whether the program and the wheel are there is looked at by
//! [`super::check_text`], with the places that are handed back from here.

use std::path::Path;

use e3_core::document::{Consent, OutputRule};
use e3_core::limits;
use e3_core::text::is_plain;
use e3_core::time::Time;

use super::draft::Draft;
use super::problem::Problems;
use super::section::{At, Section, parse};
use super::{bounds, parties, runtime, text};
use crate::fleet_file::View;

/// What names files, with the places where a problem with them belongs.
#[derive(Debug, Default)]
pub struct Places {
    /// `program`.
    pub program: Option<At<String>>,
    /// `entry`.
    pub entry: Option<At<String>>,
    /// `data`.
    pub data: Vec<At<String>>,
    /// `mpyc.wheel`.
    pub wheel: Option<At<String>>,
}

/// Reads `source`, whose relative paths start at `folder`.
///
/// The draft is there only if there are no problems so far.
pub fn read(
    file: &str,
    source: &str,
    folder: &Path,
    fleet: &View,
    now: Time,
) -> (Problems, Places, Option<Draft>) {
    let mut problems = Problems::new(file, source);
    let table = parse(source, &mut problems);
    // Where the parser had to guess, what follows from its guesses would only confuse.
    if !problems.is_empty() {
        return (problems, Places::default(), None);
    }
    let p = &mut problems;
    let mut section = Section::new(table.get_ref(), "", table.span());
    let name = section.parsed(
        p,
        "name",
        "up to 63 lower-case letters, digits and dashes",
        "salaries",
        |t| t.parse().ok(),
    );
    if section.place_of("name").is_none() {
        section.missing(p, "name", "give the session a name: name = \"salaries\"");
    }
    let mut parties = parties::parties(p, &mut section, fleet);
    let mut places = files(p, &mut section);
    let args = args(p, &mut section);
    let modules = runtime::modules(p, &mut section);
    let counter = section.whole(p, "counter", 1..=i64::MAX.unsigned_abs(), 1);
    let (not_before, ends) = bounds::validity(p, &mut section, now);
    let consent = section.choice(
        p,
        "consent",
        &[("signers", Consent::Signers), ("all", Consent::All)],
    );
    let consent = consent.unwrap_or(Consent::Signers);
    if consent == Consent::All {
        parties.owners_can_consent(p, fleet);
    }
    let output = section.choice(
        p,
        "output",
        &[
            ("private", OutputRule::Private),
            ("publish", OutputRule::Publish),
        ],
    );
    let equal = equal(p, &mut section);
    let mesh = section.parsed(p, "mesh", "the name of a mesh", "nebula", |text| {
        e3_core::mesh::is_backend(text).then(|| text.to_owned())
    });
    if let Some(inputs) = section.section(p, "inputs") {
        parties.read_inputs(p, &inputs);
    }
    let mpyc = section.section(p, "mpyc");
    if section.place_of("mpyc").is_none() {
        section.missing(
            p,
            "mpyc",
            "pin MPyC: [mpyc] on a line of its own, and below it version = \"0.11\"",
        );
    }
    let runtime = runtime::mpyc(p, mpyc, parties.written);
    let limits = section.section(p, "limits");
    let limits = bounds::limits_of(p, limits);
    let deadlines = section.section(p, "deadlines");
    let deadlines = bounds::deadlines_of(p, deadlines);
    section.done(p);

    places.wheel.clone_from(&runtime.wheel);
    let draft = match (name, runtime.options, &places.program) {
        (Some(name), Some(mut mpyc), Some(program)) if problems.is_empty() => {
            mpyc.wheel = runtime.wheel.map(|wheel| folder.join(wheel.value));
            let parties = parties.found.into_iter().map(|party| party.value).collect();
            Some(Draft {
                counter: counter.map(|counter| counter.value),
                not_before,
                ends,
                consent,
                output: output.unwrap_or(OutputRule::Private),
                entry: places.entry.as_ref().map(|entry| entry.value.clone()),
                data: places
                    .data
                    .iter()
                    .map(|data| (data.value.clone(), folder.join(&data.value)))
                    .collect(),
                args,
                mesh: mesh.map(|mesh| mesh.value),
                modules,
                equal,
                limits,
                deadlines,
                ..Draft::new(name.value, parties, folder.join(&program.value), mpyc)
            })
        }
        _ => None,
    };
    (problems, places, draft)
}

fn files(problems: &mut Problems, section: &mut Section<'_>) -> Places {
    let owned = |text: At<&str>| At {
        value: text.value.to_owned(),
        at: text.at,
    };
    let program = section.text(problems, "program", "average.py").map(owned);
    if section.place_of("program").is_none() {
        section.missing(
            problems,
            "program",
            "name a .py file or a folder: program = \"average.py\"",
        );
    }
    let entry = section.text(problems, "entry", "main.py").map(owned);
    let data = section
        .texts(problems, "data", "table.csv")
        .unwrap_or_default();
    // An empty path would stand for the whole folder.
    let mut is_named = |text: &At<String>| {
        let empty = text.value.trim().is_empty();
        if empty {
            let remedy = "name it, or remove the line";
            problems.add(&text.at, "this path is empty", "a file or a folder", remedy);
        }
        !empty
    };
    let program = program.filter(&mut is_named);
    let entry = entry.filter(&mut is_named);
    let data: Vec<At<String>> = data.into_iter().map(owned).filter(is_named).collect();
    Places {
        program,
        entry,
        data,
        wheel: None,
    }
}

fn args(problems: &mut Problems, section: &mut Section<'_>) -> Vec<String> {
    let place = section.place_of("args").unwrap_or(0..0);
    let args = section
        .texts(problems, "args", "--rounds=3")
        .unwrap_or_default();
    if args.len() > limits::ARGUMENTS {
        let message = format!("{} arguments are too many", args.len());
        problems.add(
            &place,
            message,
            format!("at most {}", limits::ARGUMENTS),
            "put them into a file, and the file into `data`",
        );
    }
    for arg in &args {
        if arg.value.len() > limits::ARGUMENT {
            let expected = format!("at most {} bytes", limits::ARGUMENT);
            problems.add(
                &arg.at,
                "this argument is too long",
                expected,
                "put it into a file, and the file into `data`",
            );
        }
        if arg.value.len() <= limits::ARGUMENT && !is_plain(arg.value, limits::ARGUMENT) {
            // People read arguments on a terminal before they sign.
            let message = "an argument cannot hold control characters or ones that turn text round";
            problems.add(
                &arg.at,
                message,
                "",
                "put it into a file, and the file into `data`",
            );
        }
    }
    args.into_iter().map(|arg| arg.value.to_owned()).collect()
}

fn equal(problems: &mut Problems, section: &mut Section<'_>) -> Vec<String> {
    let mut equal: Vec<String> = Vec::new();
    for At { value, at } in section
        .texts(problems, "equal", "stdout")
        .unwrap_or_default()
    {
        if value != "stdout" {
            let message = format!("there is no output `{}`", text::shown(value));
            problems.add(
                &at,
                message,
                "\"stdout\"",
                "write equal = [\"stdout\"], or remove it",
            );
        } else if equal.is_empty() {
            equal.push(value.to_owned());
        } else {
            problems.add(&at, "`stdout` is named twice", "", "remove one of the two");
        }
    }
    equal
}
