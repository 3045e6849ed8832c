//! `e3 demo`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Run a whole fleet on this machine: hub, parties and one session
#[derive(Debug, Args)]
pub struct Demo {
    /// How many parties
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub parties: u16,
    /// An MPyC program of your own: a .py file, or a folder with an entry point
    #[arg(long, value_name = "PATH")]
    pub program: Option<PathBuf>,
    /// Break something on purpose, and see it named
    #[arg(long, value_enum)]
    pub fault: Option<Fault>,
    /// Keep keys, fleet, hub and logs in this folder
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Arguments for the program, after `--`
    #[arg(last = true, value_name = "ARGS")]
    pub args: Vec<String>,
}

/// What `e3 demo --fault` breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// One party's program is killed in the middle
    Kill,
    /// One party has another MPyC than the manifest pins
    Version,
    /// One constant differs in one party's program
    Program,
    /// One party is not there
    Offline,
}
