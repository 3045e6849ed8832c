//! The command line of `e3-agent`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Carries out this machine's part of secure multiparty computations, by itself.
#[derive(Debug, Parser)]
#[command(name = "e3-agent", version, arg_required_else_help = true)]
pub struct Args {
    /// The configuration; all defaults if the file is not there.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "/etc/e3/agent.toml"
    )]
    pub config: PathBuf,
    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the agent can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run until told to stop.
    Run {
        /// Stop when standard input ends, too: for whoever starts agents as children.
        #[arg(long)]
        while_stdin: bool,
    },
    /// Bring the join file from where its user has put it to where the agent reads it, and burn its secrets there. For root;
    /// the places are `[[import]]` in the configuration.
    Import,
    /// Show how the running agent stands.
    Status,
    /// Look at the journal of what was accepted and refused.
    #[command(subcommand)]
    Journal(Journal),
    /// Look after what this machine knows to be true.
    #[command(subcommand)]
    Trust(Trust),
    /// Look at the owner's policy.
    #[command(subcommand)]
    Policy(Policy),
    /// Print what the program of a session printed on this machine.
    Result {
        /// The session's name, or its manifest's digest.
        session: String,
    },
    /// Look for what is missing or wrong on this machine, and say what to do. For root, or whoever sits before it.
    Doctor {
        /// A Python module that your programs need, besides MPyC (repeatable).
        #[arg(long = "module", value_name = "NAME")]
        modules: Vec<String>,
    },
    /// Collect what somebody who helps needs to know, without secrets, in one tar file.
    SupportBundle {
        /// The file, which must not exist.
        #[arg(default_value = "e3-support.tar")]
        file: PathBuf,
    },
    /// Check that this binary works on this machine: keys, signatures, TLS, files.
    SelfCheck,
}

/// `e3-agent journal …`
#[derive(Debug, Subcommand)]
pub enum Journal {
    /// Check that no line was changed, dropped or cut off.
    Verify,
}

/// `e3-agent trust …`
#[derive(Debug, Subcommand)]
pub enum Trust {
    /// Begin again where the trust state is gone or damaged. Says what that means, and asks for more.
    Reset {
        /// This machine's identity, to show that this was read.
        #[arg(long, value_name = "DID")]
        confirm: Option<String>,
    },
}

/// `e3-agent policy …`
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Show what the owner allows, with all defaults.
    Show,
}
