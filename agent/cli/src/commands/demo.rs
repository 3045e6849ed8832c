//! `e3 demo`.

use crate::args::{Demo, Global};
use crate::error::Error;
use crate::output::{Answer, Output};

/// Runs the demo.
pub(super) async fn run(args: &Demo, global: &Global, output: &Output) -> Result<Answer, Error> {
    crate::demo::run(args, global, output).await
}
