//! `e3 party`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use e3_core::document::LINES;

/// See from afar which machine a party is, what is wrong with it, what it has logged
#[derive(Debug, Subcommand)]
pub enum PartyCommand {
    /// Have a machine show that it is the one: its banner says so and rings, a Raspberry Pi's light blinks, for a minute
    Identify(PartyIdentify),
    /// Have a machine look for what is missing or wrong on it
    Doctor(PartyDoctor),
    /// Show the last lines of a machine's agent's log; what programs read and print never leaves it
    Logs(PartyLogs),
}

/// What every question to a machine needs.
#[derive(Debug, Args)]
pub struct Question {
    /// The machine: its name in the fleet, or its did:key
    #[arg(value_name = "NAME")]
    pub party: String,
    /// Seconds to wait for its answer
    #[arg(long, value_name = "SECONDS", default_value_t = 45, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub timeout: u64,
    /// Your secret key; a machine answers its owner [default: ~/.config/e3/key.pem]
    #[arg(long, value_name = "FILE", env = "E3_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
}

/// `e3 party identify`
#[derive(Debug, Args)]
pub struct PartyIdentify {
    /// Whom to ask.
    #[command(flatten)]
    pub question: Question,
}

/// `e3 party doctor`
#[derive(Debug, Args)]
pub struct PartyDoctor {
    /// Whom to ask.
    #[command(flatten)]
    pub question: Question,
}

/// `e3 party logs`
#[derive(Debug, Args)]
pub struct PartyLogs {
    /// Whom to ask.
    #[command(flatten)]
    pub question: Question,
    /// How many lines
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=i64::from(LINES)))]
    pub lines: u16,
}
