//! `e3 hub`.

mod beside;
mod relay;
pub mod renew;
pub mod serve;

use crate::args::{Global, HubCommand};
use crate::error::Error;
use crate::output::{Answer, Output};

pub(super) async fn run(
    command: &HubCommand,
    global: &Global,
    output: &Output,
) -> Result<Answer, Error> {
    match command {
        HubCommand::Serve(args) => serve::run(args, global, output).await,
        HubCommand::Renew(args) => renew::run(args, global).await,
    }
}
