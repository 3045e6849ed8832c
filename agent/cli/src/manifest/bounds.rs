//! `[limits]`, `[deadlines]`, and when a session may start.

use std::ops::Range;

use e3_client::human;
use e3_core::document::{Deadlines, Limits};
use e3_core::limits;
use e3_core::time::Time;
use toml::de::DeValue;

use super::draft::{DEADLINES, Ends, LIMITS, VALID_FOR};
use super::problem::Problems;
use super::section::{At, Section, kind};
use super::text::{duration, shown};
use super::units;

const DAY: u64 = 86_400;
const TIME: &str = "a time with its zone, such as 2026-12-24T18:00:00Z";

/// Reads `[limits]`.
pub fn limits_of(problems: &mut Problems, section: Option<Section<'_>>) -> Limits {
    let Some(mut section) = section else {
        return LIMITS;
    };
    let p = problems;
    let output_expected = format!("a size up to {}", human::binary(limits::OUTPUT));
    let memory = section.parsed(p, "memory", "a size of at least 16 MiB", "512M", |text| {
        units::size(text).filter(|size| *size >= 16 << 20)
    });
    let cpu = section.parsed(
        p,
        "cpu",
        "percent of one core; 200% is two cores",
        "100%",
        |text| {
            units::percent(text)
                .and_then(|percent| u32::try_from(percent).ok())
                .filter(|percent| *percent >= 1)
        },
    );
    let tasks = section.whole(p, "tasks", 1..=1_000_000, u64::from(LIMITS.tasks));
    let output = section.parsed(p, "output", &output_expected, "1M", |text| {
        units::size(text).filter(|size| (1..=limits::OUTPUT).contains(size))
    });
    section.done(p);
    Limits {
        memory: memory.map_or(LIMITS.memory, |memory| memory.value),
        cpu: cpu.map_or(LIMITS.cpu, |cpu| cpu.value),
        tasks: tasks
            .and_then(|tasks| u32::try_from(tasks.value).ok())
            .unwrap_or(LIMITS.tasks),
        output: output.map_or(LIMITS.output, |output| output.value),
    }
}

/// Reads `[deadlines]`.
pub fn deadlines_of(problems: &mut Problems, section: Option<Section<'_>>) -> Deadlines {
    let Some(mut section) = section else {
        return DEADLINES;
    };
    let mut read = |key, default: u64, most: u64| {
        let expected = format!("a duration from 1s to {}", duration(most));
        let read = section.parsed(problems, key, &expected, &duration(default), |text| {
            units::duration(text).filter(|seconds| (1..=most).contains(seconds))
        });
        read.map_or(default, |read| read.value)
    };
    let preflight = read("preflight", DEADLINES.preflight, DAY);
    let connect = read("connect", DEADLINES.connect, DAY);
    let run = read("run", DEADLINES.run, 30 * DAY);
    section.done(problems);
    Deadlines {
        preflight,
        connect,
        run,
    }
}

/// Reads `valid_for`, `not_before` and `expires`; `now` decides what has expired.
pub fn validity(
    problems: &mut Problems,
    section: &mut Section<'_>,
    now: Time,
) -> (Option<Time>, Ends) {
    let not_before = time(problems, section, "not_before");
    let expires = time(problems, section, "expires");
    let valid_for = section.parsed(
        problems,
        "valid_for",
        "a duration such as 10m, 2h or 7d",
        "1h",
        |text| units::duration(text).filter(|seconds| (1..=3_660 * DAY).contains(seconds)),
    );
    let start = not_before.as_ref().map(|time| time.value);
    if let (Some(_), Some(valid_for)) = (&expires, &valid_for) {
        let remedy = "remove one of them; `valid_for` counts from the signing";
        problems.add(
            &valid_for.at,
            "`valid_for` and `expires` say the same thing",
            "one of the two",
            remedy,
        );
    }
    match (expires, valid_for) {
        (Some(At { value: expires, at }), _) => {
            if expires <= now {
                let message = format!("this session expired at {expires}; it is {now} now");
                problems.add(
                    &at,
                    message,
                    "a time to come",
                    "write a later time, or valid_for = \"1h\" instead",
                );
            } else if start.is_some_and(|start| expires <= start) {
                problems.add(
                    &at,
                    "`expires` is not later than `not_before`",
                    "",
                    "write a later time",
                );
            }
            (start, Ends::At(expires))
        }
        (None, Some(At { value: seconds, at })) => {
            not_over(problems, start, seconds, now, &at);
            (start, Ends::After(seconds))
        }
        (None, None) => {
            if let Some(At { at, .. }) = &not_before {
                not_over(problems, start, VALID_FOR, now, at);
            }
            (start, Ends::After(VALID_FOR))
        }
    }
}

fn not_over(
    problems: &mut Problems,
    start: Option<Time>,
    seconds: u64,
    now: Time,
    at: &Range<usize>,
) {
    let Some(end) = start
        .map(|start| start.plus(seconds))
        .filter(|end| *end <= now)
    else {
        return;
    };
    let message = format!(
        "this session expired at {end}, {} after `not_before`; it is {now} now",
        duration(seconds)
    );
    problems.add(
        at,
        message,
        "a time to come",
        "write a later `not_before`, or remove it",
    );
}

/// A time: TOML's own form, or a text in the same form.
fn time(problems: &mut Problems, section: &mut Section<'_>, key: &'static str) -> Option<At<Time>> {
    let value = section.value(key)?;
    let name = section.name(key);
    let text = match value.get_ref() {
        DeValue::Datetime(time) => time.to_string(),
        DeValue::String(text) => text.to_string(),
        other => {
            let message = format!("{name} is {}", kind(other));
            problems.add(
                &value.span(),
                message,
                TIME,
                format!("write {key} = 2026-12-24T18:00:00Z"),
            );
            return None;
        }
    };
    if let Ok(time) = text.parse() {
        return Some(At {
            value: time,
            at: value.span(),
        });
    }
    let remedy =
        if key == "expires" && units::duration(text.trim_start_matches("in ").trim()).is_some() {
            format!(
                "for a duration write valid_for = \"{}\" instead",
                shown(text.trim_start_matches("in ").trim())
            )
        } else if format!("{text}Z").parse::<Time>().is_ok() {
            format!("add the zone: {key} = {text}Z for UTC, or for example {text}+01:00")
        } else {
            format!("write {key} = 2026-12-24T18:00:00Z")
        };
    problems.add(
        &value.span(),
        format!("{name} cannot be \"{}\"", shown(&text)),
        TIME,
        remedy,
    );
    None
}
