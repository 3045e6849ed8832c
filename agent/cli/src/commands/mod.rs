//! The commands: one file each. A command takes its arguments and returns an [`Answer`].

mod completions;
mod demo;
pub mod doctor;
pub mod fleet;
pub mod hub;
mod image;
pub mod key;
mod login;
mod man;
mod mesh;
pub mod party;
pub mod receipts;
pub mod release;
pub mod session;

use crate::args::{Cli, Command};
use crate::error::Error;
use crate::output::{Answer, Output};

/// Carries out a command line.
pub async fn run(cli: &Cli, output: &Output) -> Result<Answer, Error> {
    match &cli.command {
        Command::Demo(args) => demo::run(args, &cli.global, output).await,
        Command::Key(command) => key::run(command),
        Command::Fleet(command) => fleet::run(command, &cli.global, output).await,
        Command::Party(command) => party::run(command, &cli.global).await,
        Command::Mesh(command) => mesh::run(command, &cli.global, output).await,
        Command::Session(command) => session::run(command, &cli.global, output).await,
        Command::Receipts(command) => receipts::run(command, &cli.global).await,
        Command::Release(command) => release::run(command, &cli.global, output).await,
        Command::Image(command) => image::run(command, output).await,
        Command::Eval(args) => crate::eval::run(args, &cli.global, output).await,
        Command::Hub(command) => hub::run(command, &cli.global, output).await,
        Command::Doctor(args) => Box::pin(doctor::run(args, &cli.global)).await,
        Command::Login(args) => login::run(args, &cli.global).await,
        Command::Completions(args) => Ok(completions::run(args)),
        Command::Man(args) => man::run(args),
    }
}
