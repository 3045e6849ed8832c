//! Whether an agent grows: memory and open files of a real one, while it runs one small session after the other.
//!
//! `ci/bench soak [N]` runs it. Two machines on this one, each session among both: links, TLS, gates and receipts are as
//! ever, only the supervisor is the one without systemd. With `--json` the last line is one JSON object. Ctrl-C ends it
//! with what was measured so far. Nothing here judges.

#![allow(missing_docs, reason = "a program, not a library")]

use std::path::Path;
use std::time::{Duration, Instant};

use e3_cli::commands::session::{push, watch};
use e3_cli::demo::local::{LocalFleet, Options};
use e3_cli::demo::plan::Plan;
use e3_client::files;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

/// Sessions, unless somebody wants another number.
const SESSIONS: u64 = 1000;
/// Machines in each session.
const PARTIES: usize = 2;
/// Sessions of different names that the head names at once: a new one takes the place of the oldest.
const NAMES: u64 = 8;
/// Seconds between an agent's polls, as it comes.
const POLL: u32 = 300;
/// After the last session, for links and requests to be closed.
const SETTLE: Duration = Duration::from_secs(20);
const MANIFEST: usize = 1 << 20;
/// The smallest program: connect, say one word, end.
const SMALLEST: &str =
    "from mpyc.runtime import mpc\nmpc.run(mpc.start())\nprint('ok')\nmpc.run(mpc.shutdown())\n";

type Error = Box<dyn std::error::Error>;

/// One agent at one moment.
struct Look {
    sessions: u64,
    rss_kib: u64,
    descriptors: usize,
}

fn main() -> Result<(), Error> {
    e3_client::tls::install();
    let json = std::env::args().any(|arg| arg == "--json");
    let wanted = std::env::args().skip(1).find_map(|arg| arg.parse().ok());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(soak(wanted.unwrap_or(SESSIONS)))?;
    if json {
        println!("{report}");
    }
    Ok(())
}

async fn soak(wanted: u64) -> Result<Value, Error> {
    let mut plan = Plan::of_text(PARTIES, SMALLEST);
    plan.surveys = false;
    let mut fleet = LocalFleet::start(Options {
        poll: POLL,
        ..Options::from_environment(plan.parties())?
    })
    .await?;
    println!("{:>9} {:>10} {:>13}", "sessions", "RSS", "descriptors");
    let began = Instant::now();
    let mut looks = vec![look(&fleet, 0)?];
    let mut done = 0;
    // Once for all: a signal that comes while nobody listens must not be lost. The agents hear it, too, and end.
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut whole = true;
    while done < wanted {
        tokio::select! {
            ran = session(&mut fleet, &plan, done) => ran?,
            _ = interrupted.recv() => {
                whole = false;
                break;
            }
        }
        done += 1;
        // 1, 2, 5, 10, 20, 50, 100, 200, 300, …
        let digit = 10_u64.pow(done.ilog10());
        if done.is_multiple_of(100) || [1, 2, 5].contains(&(done / digit)) && done % digit == 0 {
            looks.push(look(&fleet, done)?);
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{done} sessions in {seconds:.0} s");
    if whole {
        println!("and when all is quiet again:");
        tokio::time::sleep(SETTLE).await;
        looks.push(look(&fleet, done)?);
    }
    fleet.stop().await;
    let looks: Vec<Value> = looks
        .iter()
        .map(|look| json!({ "sessions": look.sessions, "rss_kib": look.rss_kib, "descriptors": look.descriptors }))
        .collect();
    Ok(json!({ "sessions": done, "seconds": seconds, "looks": looks }))
}

/// One session, from the manifest to the last receipt.
async fn session(fleet: &mut LocalFleet, plan: &Plan, number: u64) -> Result<(), Error> {
    let template = plan.write_manifest(fleet)?;
    let text = String::from_utf8(files::read_bounded(&template, MANIFEST)?)?;
    let name = format!(
        "name = \"demo-{}\"\ncounter = {}",
        number % NAMES,
        number + 1
    );
    let manifest = template.with_file_name("soak.toml");
    files::write_volatile(&manifest, text.replace("name = \"demo\"", &name).as_bytes())?;
    let (bundle, _) = fleet.sign(&manifest).await?;
    let pushed = push::push(&mut fleet.open, &bundle, &fleet.owner, &mut |_| {}).await?;
    let ended = watch::watch(&mut fleet.open, &pushed.session, None, &mut |_| {}).await?;
    std::fs::remove_dir_all(manifest.with_extension("session"))?;
    if ended.verdict.good {
        Ok(())
    } else {
        Err(format!("session {number} failed: {:?}", ended.blame()).into())
    }
}

/// Memory and open files of whichever agent has most of them: one dials, the other one is dialled.
fn look(fleet: &LocalFleet, sessions: u64) -> Result<Look, Error> {
    let mut most = Look {
        sessions,
        rss_kib: 0,
        descriptors: 0,
    };
    for party in &fleet.parties {
        let process = format!("/proc/{}", party.pid().ok_or("the agent has ended")?);
        let process = Path::new(&process);
        let status = std::fs::read_to_string(process.join("status"))?;
        let rss = status.lines().find(|line| line.starts_with("VmRSS:"));
        let rss = rss.and_then(|line| line.split_whitespace().nth(1));
        let rss: u64 = rss.ok_or("the kernel does not tell VmRSS")?.parse()?;
        most.rss_kib = most.rss_kib.max(rss);
        let descriptors = std::fs::read_dir(process.join("fd"))?.count();
        most.descriptors = most.descriptors.max(descriptors);
    }
    println!(
        "{sessions:>9} {:>6} KiB {:>13}",
        most.rss_kib, most.descriptors
    );
    Ok(most)
}
