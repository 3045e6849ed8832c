//! `e3-link`: the built-in mesh.

use std::process::ExitCode;

use clap::Parser as _;
use e3_link::args::{Args, Command};
use e3_link::error::{LinkError, chain};
use e3_link::run::By;
use e3_link::{control, key, logging, run};

fn main() -> ExitCode {
    let args = Args::parse();
    match act(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("e3-link: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn act(args: Args) -> Result<(), LinkError> {
    match args.command {
        Command::Keygen { out } => {
            println!("{}", key::generate(&out)?);
            Ok(())
        }
        Command::Id { key } => {
            println!("{}", key::read_file(&key)?.id());
            Ok(())
        }
        Command::Status { control } => {
            println!("{}", runtime(PARTY)?.block_on(control::ask(&control))?);
            Ok(())
        }
        Command::Run { config } => {
            logging::start();
            e3_client::tls::install();
            runtime(PARTY)?.block_on(run::run(&config, By::Quic))
        }
        Command::Tor { config, program } => {
            logging::start();
            runtime(PARTY)?.block_on(run::run(&config, By::Tor(&program)))
        }
        #[cfg(feature = "relay")]
        Command::Relay { config, attached } => {
            logging::start();
            e3_client::tls::install();
            runtime(RELAY)?.block_on(e3_link::relay::run(&config, attached))
        }
    }
}

/// For one machine's packets: a message of a round passes some tasks on its way, and is there soonest if no other thread has to be
/// woken for any of them (rounds of 0.33 s instead of 0.40 on two processors, and a whole program of 1.9 s instead of 2.9).
const PARTY: usize = 1;
/// For a relay, which has those of many to pass on: not more than pay off on a large machine.
#[cfg(feature = "relay")]
const RELAY: usize = 4;

/// At most so many threads beside this one.
fn runtime(threads: usize) -> Result<tokio::runtime::Runtime, LinkError> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(processors.min(threads))
        .enable_all()
        .build()
        .map_err(LinkError::Runtime)
}
