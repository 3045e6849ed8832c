//! `e3 completions`: what a shell needs to complete `e3`'s words.

use clap::CommandFactory as _;
use serde_json::json;

use crate::args::{Cli, Completions};
use crate::output::Answer;

/// Generates the script.
pub(super) fn run(args: &Completions) -> Answer {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "e3", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    let json = json!({"shell": args.shell.to_string(), "script": script});
    Answer::new(script, json)
}
