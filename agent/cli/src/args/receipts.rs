//! `e3 receipts`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Judge a session by what its parties have signed
#[derive(Debug, Subcommand)]
pub enum ReceiptsCommand {
    /// Tell whether a session was good for everybody, from its receipts alone
    Verify(ReceiptsVerify),
}

/// `e3 receipts verify`
#[derive(Debug, Args)]
pub struct ReceiptsVerify {
    /// A session's bundle, its manifest's digest, or its name
    #[arg(value_name = "BUNDLE|DIGEST|NAME")]
    pub session: String,
    /// A folder with the receipts as 0.json, 1.json, … [default: ask the hub]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
