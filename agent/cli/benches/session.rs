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
use e3_core::document::{Head, Receipt, Role, Root, RootRef, Session, SessionRef};
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;
use e3_core::time::Time;
use e3_core::trust::Trust;
use serde_json::{Value, json};

/// Counted runs of each kind, after one that is not counted.
const RUNS: usize = 7;
/// Seconds between an agent's polls, as it comes.
const POLL: u32 = 300;
/// What is watched to see that an idle agent sleeps.
const IDLE: Duration = Duration::from_secs(6);
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
            "verify_head_and_session_with_10_signatures_us": verification()?,
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

/// Microseconds to open a head and a session with ten signatures, all of which count.
fn verification() -> Result<u64, Error> {
    let keys: Vec<SecretKey> = (1..=10).map(|n| SecretKey::from_seed(&[n; 32])).collect();
    let publics: Vec<_> = keys.iter().map(SecretKey::public).collect();
    let role = |keys: &[_], threshold| Role {
        keys: keys.to_vec(),
        threshold,
    };
    let signed = Time::from_unix(1_800_000_000);
    let root = Root {
        fleet: "bench".parse()?,
        version: 1,
        epoch: 1,
        signed,
        root: role(&publics[..1], 1),
        head: role(&publics[..1], 1),
        session: role(&publics, 10),
        release: role(&[SecretKey::from_seed(&[99; 32]).public()], 1),
    };
    let root = Envelope::sign(&root, &[&keys[0]])?;
    let session = sample(&publics, signed);
    let all: Vec<&SecretKey> = keys.iter().collect();
    let envelope = Envelope::sign(&session, &all)?;
    let bytes = envelope.to_bytes();
    let named = SessionRef {
        name: session.name.clone(),
        counter: 1,
        manifest: envelope.digest(),
        envelope: e3_core::digest::Blob::of(&bytes),
    };
    let head = Head {
        fleet: "bench".parse()?,
        epoch: 1,
        counter: 1,
        signed,
        expires: signed.plus(1000),
        root: RootRef {
            version: 1,
            digest: root.digest(),
        },
        sessions: vec![named.clone()],
        revoked: Vec::new(),
        release: None,
    };
    let head = Envelope::sign(&head, &[&keys[0]])?.to_bytes();
    let first = Trust::first(&root.to_bytes(), &root.digest(), Time::MIN)?;
    let mut times = Vec::new();
    for _ in 0..200 {
        let mut trust = first.clone();
        let began = Instant::now();
        trust.accept_head(&head, signed)?;
        let opened = trust.open_session(&named, &bytes)?;
        times.push(began.elapsed());
        assert_eq!(opened.signers.len(), 10);
    }
    Ok(u64::try_from(median(&mut times).as_micros())?)
}

fn sample(keys: &[e3_core::key::PublicKey], signed: Time) -> Session {
    let party = |(place, key): (usize, &e3_core::key::PublicKey)| json!({ "name": format!("p{place}"), "key": key, "owner": key });
    let blob = json!({ "digest": e3_core::digest::Digest::of(b""), "size": 1 });
    let session = json!({
        "fleet": "bench", "epoch": 1, "name": "bench", "counter": 1, "not_before": signed, "expires": signed.plus(60),
        "consent": "all", "output": "private", "parties": keys.iter().enumerate().map(party).collect::<Vec<_>>(),
        "program": { "pack": blob, "entry": "main.py" },
        "mpyc": { "version": "0.11", "file": "mpyc-0.11-py3-none-any.whl", "wheel": blob, "prss": true, "tls": true, "base_port": 11365 },
        "limits": { "memory": 1 << 29, "cpu": 100, "tasks": 64, "output": 1024 },
        "deadlines": { "preflight": 30, "connect": 30, "run": 60 },
    });
    serde_json::from_value(session).expect("the sample is a session")
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
    println!(
        "a head and a session with 10 signatures are verified in {} us",
        report["verify_head_and_session_with_10_signatures_us"]
    );
}
