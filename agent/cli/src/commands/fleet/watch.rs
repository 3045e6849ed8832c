//! `e3 fleet status --watch`: the fleet as it changes, until Ctrl-C.
//!
//! The hub pushes what is new, and is asked now and then all the same. A hub that goes away ends nothing: what was known last stays,
//! with a word of when that was.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{OpenFleet, Stale, status};
use crate::args::Global;
use crate::commands::session::stream::{Stream, jitter};
use crate::error::Error;
use crate::fleet_file::Fleet;
use crate::output::table::seconds;
use crate::output::{Answer, Output};

/// Between two looks while the hub pushes: ages grow, and files of the folder change.
const LOOK_PUSHED: Duration = Duration::from_secs(5);
/// The same while it does not.
const LOOK_ALONE: Duration = Duration::from_secs(2);
/// What comes in together is looked at together, and a busy fleet no more often.
const GATHER: Duration = Duration::from_millis(250);
/// To the beginning, and nothing below: ECMA-48's CUP and ED.
const CLEAR: &str = "\x1b[H\x1b[J";

/// What there is to show.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The whole screen.
    pub text: String,
    /// What has changed since the last one: one object each.
    pub changes: Vec<Value>,
}

/// Follows the fleet until `tell` returns false. It is told at the beginning, and whenever something is new, or older by a few seconds.
pub async fn watch(
    fleet: &mut OpenFleet,
    tell: &mut (dyn FnMut(Shown) -> bool + Send),
) -> Result<(), Error> {
    let mut stream = Stream::default();
    let (mut last, mut known) = (None, BTreeMap::new());
    let mut gone: Option<Instant> = None;
    loop {
        stream.connect(fleet).await;
        // `e3 fleet accept` may have changed it; one that cannot be read now keeps what was read before.
        if let Ok(file) = Fleet::open(&fleet.file.folder) {
            fleet.file = file;
        }
        let shown = match status::look(fleet).await {
            Ok(answer) => {
                let mut changes = differences(&mut known, &answer.json);
                if let Some(since) = gone.take() {
                    let back = json!({"change": "hub", "reachable": true, "after": since.elapsed().as_secs()});
                    changes.insert(0, back);
                }
                let text = answer.text.clone();
                last = Some(answer);
                Shown { text, changes }
            }
            Err(Error::Hub(error)) if error.is_passing() => {
                let is_new = gone.is_none();
                let since = gone.get_or_insert_with(Instant::now).elapsed().as_secs();
                let since = seconds(i64::try_from(since).unwrap_or(i64::MAX));
                let mut text =
                    format!("{error}\nThis is so for {since}; it is tried again by itself.\n");
                if let Some(answer) = &last {
                    text = format!(
                        "{text}What follows is what was known before.\n\n{}",
                        answer.text
                    );
                }
                let lost = json!({"change": "hub", "reachable": false, "error": error.to_string()});
                let changes = if is_new { vec![lost] } else { Vec::new() };
                Shown { text, changes }
            }
            Err(error) => return Err(error),
        };
        if !tell(shown) {
            return Ok(());
        }
        let look = if stream.is_open() {
            LOOK_PUSHED
        } else {
            jitter(LOOK_ALONE)
        };
        let due = Instant::now() + look;
        let due = stream.retry.map_or(due, |retry| retry.min(due));
        tokio::select! {
            _ = stream.next() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep_until(due) => {}
        }
    }
}

/// What is different from what is `known`, which it becomes: each party, invite and the head, without what changes all the time.
fn differences(known: &mut BTreeMap<String, Value>, now: &Value) -> Vec<Value> {
    let mut found = BTreeMap::new();
    let mut head = json!({"change": "head", "root": now["root"], "head": now["head"]});
    // It grows by itself, without anything that happens.
    if let Some(head) = head["head"].as_object_mut() {
        head.remove("signed");
    }
    found.insert("head".to_owned(), head);
    found.insert(
        "warnings".to_owned(),
        json!({"change": "warnings", "warnings": now["warnings"]}),
    );
    for (kind, list) in [("party", &now["parties"]), ("invite", &now["invites"])] {
        for one in list.as_array().into_iter().flatten() {
            let mut one = one.clone();
            let presence = one["presence"].as_object().cloned().unwrap_or_default();
            if let Some(fields) = one.as_object_mut() {
                for volatile in ["seen", "presence", "clock_ahead"] {
                    fields.remove(volatile);
                }
                // What it says of itself, but not when.
                for said in [
                    "agent",
                    "addresses",
                    "meshes",
                    "degraded",
                    "update",
                    "root",
                    "head",
                    "sessions",
                ] {
                    if let Some(value) = presence.get(said) {
                        fields.insert(said.to_owned(), value.clone());
                    }
                }
            }
            let which = if kind == "party" {
                &one["key"]
            } else {
                &one["name"]
            };
            let key = format!("{kind} {}", which.as_str().unwrap_or_default());
            found.insert(key, json!({"change": kind, kind: one}));
        }
    }
    let mut changes: Vec<Value> = found
        .iter()
        .filter(|(key, value)| known.get(*key) != Some(*value))
        .map(|(_, value)| value.clone())
        .collect();
    for (key, value) in &*known {
        if !found.contains_key(key) {
            let kind = value["change"].as_str().unwrap_or_default();
            changes.push(json!({"change": "gone", kind: value[kind]["name"]}));
        }
    }
    *known = found;
    changes
}

pub(super) async fn run(global: &Global, output: &Output) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    // The first look says what is wrong; later ones wait until it is not.
    fleet.sync(Stale::Allow).await?;
    let (json, screen) = (output.is_json(), output.is_screen());
    let mut tell = |shown: Shown| {
        if json {
            let lines = shown.changes.iter().fold(String::new(), |lines, change| {
                lines
                    + &change.to_string()
                    + "
"
            });
            output.show(&lines)
        } else if screen {
            output.show(&format!("{CLEAR}{}\nUntil Ctrl-C.\n", shown.text))
        } else if shown.changes.is_empty() {
            true
        } else {
            output.show(&format!("{}\n", shown.text))
        }
    };
    watch(&mut fleet, &mut tell).await?;
    Ok(Answer::new("", json!({})))
}
