//! What can be typed to `e3-agent`: that no document tells of anything else.

use clap::CommandFactory as _;
use e3_agent::args::Args;
use e3_testkit::documents;

#[test]
fn documents_tell_of_commands_and_options_that_there_are() {
    let lines = documents::lines("e3-agent");
    assert!(lines.len() > 30, "only {} were found", lines.len());
    let wrong = documents::wrong(&Args::command(), &lines);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
