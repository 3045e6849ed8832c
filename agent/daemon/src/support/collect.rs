//! What goes into a support bundle. Whatever cannot be had is said in its place.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use e3_client::files;
use e3_core::digest::Digest;
use serde_json::json;

use crate::config::Settings;
use crate::import::Folders;
use crate::import::report::Report;
use crate::journal;
use crate::ledger::Ledger;
use crate::session::folder::Folder;
use crate::status::Status;
use crate::text::chain;
use e3_client::join::Join;

/// Log lines to take.
const LINES: &str = "2000";
/// The end of the journal of decisions, in lines.
const DECISIONS: usize = 300;
/// A settings or policy file.
const SMALL: usize = 512 * 1024;
/// What a command may print.
const PRINTED: usize = 4 * 1024 * 1024;
/// For a command to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// Folders in folders that are listed.
const DEPTH: usize = 3;

/// Every part: its name and text.
pub(super) async fn all(
    settings: &Settings,
    config: &Path,
    problem: Option<String>,
) -> Vec<(&'static str, String)> {
    let ledger = Ledger::at(&settings.state);
    let log = [
        "--unit=e3-*",
        "--unit=e3-agent.service",
        "--lines",
        LINES,
        "--output=short-iso",
        "--no-pager",
    ];
    let units = [
        "show",
        "e3-*",
        "--all",
        "--no-pager",
        "--property=Id,LoadState,ActiveState,SubState,Result,NRestarts,ExecMainStatus,ActiveEnterTimestamp,MemoryCurrent",
    ];
    vec![
        ("versions.json", versions()),
        ("status.json", status(settings).await),
        ("settings.toml", own_settings(config, problem)),
        ("join.json", join(settings)),
        ("import.json", import(settings)),
        ("policy.json", policy(settings)),
        ("decisions.jsonl", decisions(&ledger)),
        ("sessions.json", sessions(&ledger)),
        ("state.txt", listing(&settings.state)),
        ("log.txt", output("journalctl", &log).await),
        ("units.txt", output("systemctl", &units).await),
    ]
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

fn versions() -> String {
    let read = |path: &str| {
        let bytes = files::read_bounded(Path::new(path), SMALL);
        bytes.map_or_else(
            |error| chain(&error),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    };
    pretty(&json!({
        "agent": env!("CARGO_PKG_VERSION"), "arch": std::env::consts::ARCH,
        "kernel": read("/proc/version"), "system": read("/etc/os-release"), "memory": read("/proc/meminfo"),
        "now": e3_client::clock::now(), "up": read("/proc/uptime"),
    }))
}

async fn status(settings: &Settings) -> String {
    match Status::ask(&settings.run).await {
        Ok(status) => pretty(&serde_json::to_value(status).unwrap_or_default()),
        Err(error) => format!("no agent answers: {error}\n"),
    }
}

fn own_settings(config: &Path, problem: Option<String>) -> String {
    let bytes = files::read_bounded(config, SMALL);
    let text = bytes.map_or_else(
        |error| format!("# {}\n", chain(&error)),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    );
    match problem {
        Some(problem) => format!("# {problem}\n{text}"),
        None => text,
    }
}

/// Without token and policy, which are never written.
fn join(settings: &Settings) -> String {
    match Join::find(&settings.join) {
        Ok(Some((path, join))) => pretty(&json!({ "path": path.to_string_lossy(), "join": join })),
        Ok(None) => "there is no join file\n".to_owned(),
        Err(error) => format!("{}\n", chain(&error)),
    }
}

/// What the importer has said last.
fn import(settings: &Settings) -> String {
    match Report::read(&Folders::of(settings).run) {
        Some(report) => pretty(&json!(report)),
        None => "no join file was imported\n".to_owned(),
    }
}

/// Its digest, to compare: what an owner allows is the owner's business.
fn policy(settings: &Settings) -> String {
    let path = &settings.policy;
    match files::read_bounded(path, SMALL) {
        Ok(bytes) => {
            pretty(&json!({ "path": path.to_string_lossy(), "digest": Digest::of(&bytes) }))
        }
        Err(error) => format!("{}\n", chain(&error)),
    }
}

fn decisions(ledger: &Ledger) -> String {
    let mut last = std::collections::VecDeque::new();
    let read = journal::read(&ledger.journal(), |entry| {
        last.push_back(serde_json::to_string(&entry).unwrap_or_default());
        if last.len() > DECISIONS {
            last.pop_front();
        }
    });
    let verdict = match journal::verify(&ledger.journal()).and(read) {
        Ok(tail) => format!("whole: {} lines", tail.sequence),
        Err(error) => chain(&error),
    };
    let mut text = String::new();
    for line in last {
        text += &line;
        text.push('\n');
    }
    format!("{text}{}\n", json!({ "journal": verdict }))
}

fn sessions(ledger: &Ledger) -> String {
    let one = |manifest: &Digest| {
        let folder = Folder::of(ledger, manifest);
        let named = folder.named().ok().flatten();
        json!({
            "manifest": manifest, "name": named.map(|named| named.name),
            "checkpoint": folder.checkpoint().map_err(|error| chain(&error)),
            "receipt": folder.path("receipt.json").exists(), "unpublished": folder.is_unpublished(),
        })
    };
    let all: Vec<_> = ledger.sessions().iter().map(one).collect();
    pretty(&json!(all))
}

/// Names, sizes and modes, no contents.
fn listing(folder: &Path) -> String {
    fn list(folder: &Path, depth: usize, text: &mut String) {
        let Ok(entries) = std::fs::read_dir(folder) else {
            let _ = writeln!(text, "{} cannot be read", folder.display());
            return;
        };
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let Ok(metadata) = path.symlink_metadata() else {
                continue;
            };
            let (mode, owner, size) = (metadata.mode(), metadata.uid(), metadata.len());
            let _ = writeln!(text, "{mode:06o} {owner:>6} {size:>10} {}", path.display());
            if metadata.is_dir() && depth > 1 {
                list(&path, depth - 1, text);
            }
        }
    }
    let mut text = String::new();
    list(folder, DEPTH, &mut text);
    text
}

/// What a command prints.
async fn output(program: &str, arguments: &[&str]) -> String {
    let command = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(PATIENCE, command).await {
        Ok(Ok(output)) => {
            let from = output.stdout.len().saturating_sub(PRINTED);
            let mut text = String::from_utf8_lossy(&output.stdout[from..]).into_owned();
            text += &String::from_utf8_lossy(&output.stderr);
            text
        }
        Ok(Err(error)) => format!("{program}: {error}\n"),
        Err(_) => format!("{program}: no end within {} s\n", PATIENCE.as_secs()),
    }
}
