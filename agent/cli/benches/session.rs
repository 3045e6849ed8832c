//! What E3 costs on top of the bare program, measured in one run on a real fleet on this machine.
//!
//! `ci/bench session` runs it. Prints ratios and differences beside what a user would do instead:
//! start the same program by hand, on the same runtime, at the same instant. With `--json` the last
//! line is one JSON object. Nothing here judges: machines differ, and a busy one says nothing.

#![allow(missing_docs, reason = "a program, not a library")]

use std::path::Path;
use std::time::{Duration, Instant};

use e3_cli::commands::session::watch;
use e3_cli::demo::local::{LocalFleet, Options};
use e3_cli::demo::{bare, plan::Plan};
use e3_client::files;
use e3_core::document::Receipt;
use serde_json::{Value, json};

/// Counted runs of each kind, after one that is not counted.
const RUNS: usize = 7;
/// Seconds between an agent's polls, as it comes.
const POLL: u32 = 300;
/// Until the connections of the last request are closed, and nothing of it is left.
const SETTLE: Duration = Duration::from_secs(20);
/// What is watched to see that an idle agent sleeps: longer than the hub's stream is ever silent.
const IDLE: Duration = Duration::from_mins(1);
/// The smallest program: connect, say one word, end.
const SMALLEST: &str =
    "from mpyc.runtime import mpc\nmpc.run(mpc.start())\nprint('ok')\nmpc.run(mpc.shutdown())\n";

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    e3_client::tls::install();
    let json = std::env::args().any(|arg| arg == "--json");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(async {
        let survey = sessions(
            3,
            "average.py",
            include_str!("../programs/average.py"),
            true,
        )
        .await?;
        let many = sessions(
            10,
            "average.py",
            include_str!("../programs/average.py"),
            true,
        )
        .await?;
        let smallest = sessions(3, "smallest.py", SMALLEST, false).await?;
        Ok::<_, Error>(json!({
            "three_parties": survey, "ten_parties": many, "smallest_program": smallest,
        }))
    })?;
    show(&report);
    if json {
        println!("{report}");
    }
    Ok(())
}

/// Runs a program with and without E3, alternately, and compares medians.
async fn sessions(
    count: usize,
    name: &str,
    text: &'static str,
    inputs: bool,
) -> Result<Value, Error> {
    let mut plan = Plan::of_text(count, text);
    plan.surveys = inputs;
    let mut fleet = LocalFleet::start(Options {
        poll: POLL,
        ..Options::from_environment(plan.parties())?
    })
    .await?;
    eprintln!("{count} parties, {name}:");
    plan.write_inputs(&fleet)?;
    let idle = idle(&fleet).await;
    let (mut with, mut without, mut receipts) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..=RUNS {
        let manifest = plan.write_manifest(&fleet)?;
        let manifest = rename(&manifest, run)?;
        let (bundle, wheel) = fleet.sign(&manifest).await?;
        let pushed_at = Instant::now();
        let pushed = e3_cli::commands::session::push::push(
            &mut fleet.open,
            &bundle,
            &fleet.owner,
            &mut |_| {},
        )
        .await?;
        let conclusion = watch::watch(&mut fleet.open, &pushed.session, None, &mut |_| {}).await?;
        let took = pushed_at.elapsed();
        if !conclusion.verdict.good {
            return Err(format!("a session failed: {:?}", conclusion.blame()).into());
        }
        let alone = bare::run(&fleet, &plan, &wheel, &pushed.session.document)
            .await
            .ok_or("the bare run failed")?;
        // The first one unpacks MPyC and compiles it; a machine does that once.
        if run > 0 {
            with.push(took);
            without.push(alone);
            receipts.extend(conclusion.receipts.into_iter().flatten());
        }
        eprintln!(
            "  {:.3} s with E3, {:.3} s by hand",
            took.as_secs_f64(),
            alone.as_secs_f64()
        );
    }
    let (with, without) = (median(&mut with), median(&mut without));
    let (with, without) = (with.as_secs_f64(), without.as_secs_f64());
    let result = json!({
        "push_to_last_receipt_s": with, "by_hand_s": without, "difference_s": with - without,
        "ratio": with / without, "phases_ms": phases(&receipts), "idle_agent": idle,
    });
    fleet.stop().await;
    Ok(result)
}

/// A manifest of its own for each run, so that none is a replay within the same second.
fn rename(manifest: &Path, run: usize) -> Result<std::path::PathBuf, Error> {
    let text = String::from_utf8(files::read_bounded(manifest, 1 << 20)?)?;
    let path = manifest.with_file_name(format!("run-{run}.toml"));
    let name = format!("name = \"demo-{run}\"");
    files::write_atomic(&path, text.replace("name = \"demo\"", &name).as_bytes())?;
    Ok(path)
}

/// Memory and wake-ups of an agent that has nothing to do.
async fn idle(fleet: &LocalFleet) -> Value {
    let Some(pid) = fleet.parties[0].pid() else {
        return Value::Null;
    };
    let read = |key: &str| -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status
            .lines()
            .find(|line| line.starts_with(key))?
            .split_whitespace()
            .nth(1)?
            .parse()
            .ok()
    };
    tokio::time::sleep(SETTLE).await;
    let before = read("voluntary_ctxt_switches");
    tokio::time::sleep(IDLE).await;
    let after = read("voluntary_ctxt_switches");
    let wakeups = after
        .zip(before)
        .and_then(|(after, before)| u32::try_from(after - before).ok());
    let wakeups = wakeups.map(|wakeups| f64::from(wakeups) / IDLE.as_secs_f64());
    json!({ "rss_kib": read("VmRSS"), "wakeups_per_second": wakeups })
}

/// Where the time goes, as medians over all parties and runs.
fn phases(receipts: &[Receipt]) -> Value {
    let column = |pick: fn(&Receipt) -> Option<u64>| {
        let mut values: Vec<Duration> = receipts
            .iter()
            .filter_map(pick)
            .map(Duration::from_millis)
            .collect();
        u64::try_from(median(&mut values).as_millis()).unwrap_or_default()
    };
    json!({
        "verified": column(|r| r.timings.verified_ms), "staged": column(|r| r.timings.staged_ms),
        "at_the_gate": column(|r| r.timings.gate_ms), "barrier": column(|r| r.timings.barrier_ms),
        "exited": column(|r| r.timings.exited_ms), "finished": column(|r| r.timings.finished_ms),
    })
}

fn median(values: &mut [Duration]) -> Duration {
    values.sort();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn show(report: &Value) {
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    println!(
        "{:<34} {:>9} {:>9} {:>11} {:>7}",
        "", "with E3", "by hand", "difference", "ratio"
    );
    for (title, key) in [
        ("salary survey, 3 parties", "three_parties"),
        ("salary survey, 10 parties", "ten_parties"),
        ("smallest program, 3 parties", "smallest_program"),
    ] {
        let row = &report[key];
        println!(
            "{title:<34} {:>7.3} s {:>7.3} s {:>+9.3} s {:>7.2}",
            number(&row["push_to_last_receipt_s"]),
            number(&row["by_hand_s"]),
            number(&row["difference_s"]),
            number(&row["ratio"]),
        );
        println!("{:<34} {}", "  where it goes, in ms", row["phases_ms"]);
    }
    println!("idle agent: {}", report["three_parties"]["idle_agent"]);
}
