//! `e3`, the owner's command: everything is in the library, so that the demo and the tests run the
//! very same code in their own process.

use std::process::ExitCode;

fn main() -> ExitCode {
    e3_cli::run(std::env::args_os())
}
