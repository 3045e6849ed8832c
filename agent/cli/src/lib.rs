//! The owner's command `e3`, as a library.
//!
//! [`args`] says what can be typed, [`commands`] does it, [`output`] shows it, [`error`] says what
//! went wrong and what to do. Every command returns an [`output::Answer`] and prints nothing by
//! itself: so each one works with `--json`, in a test, and inside `e3 demo`. What goes on until
//! Ctrl-C hands its screens to [`output`].

#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod args;
pub mod commands;
pub mod demo;
pub mod error;
pub mod eval;
pub mod fleet_file;
pub mod index;
pub mod manifest;
pub mod output;
pub mod program;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Cli;
use crate::error::Error;
use crate::output::Output;

/// Runs one command line and returns its exit code.
pub fn run(line: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line: Vec<OsString> = line.into_iter().collect();
    let cli = match Cli::try_parse_from(&line) {
        Ok(cli) => cli,
        Err(error) => return Output::usage(&line, &error),
    };
    let output = Output::new(&cli.global);
    e3_client::tls::install();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let answer = match runtime {
        Ok(runtime) => runtime.block_on(interruptible(&cli, &output)),
        Err(source) => Err(Error::Runtime(source)),
    };
    output.finish(answer)
}

/// Ctrl-C drops the command where it waits, so that what it holds is cleaned up. A hub is meant to be
/// stopped that way: it ends by itself, and well.
async fn interruptible(cli: &Cli, output: &Output) -> Result<output::Answer, Error> {
    // And work on images goes on in threads, which are told, and clean up themselves.
    if matches!(
        cli.command,
        args::Command::Hub(args::HubCommand::Serve(_)) | args::Command::Image(_)
    ) {
        return commands::run(cli, output).await;
    }
    // Listened for before anything is begun: what has begun must be able to end well.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Runtime)?;
    tokio::select! {
        answer = commands::run(cli, output) => answer,
        _ = interrupt.recv() => Err(Error::Interrupted),
    }
}
