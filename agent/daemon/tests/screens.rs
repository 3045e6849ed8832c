//! What can be typed to `e3-agent`: its help, and that no document tells of anything else.

use std::fmt::Write as _;

use clap::{Command, CommandFactory as _};
use e3_agent::args::Args;
use e3_testkit::documents;

/// The program and each of its commands.
fn commands() -> Vec<Command> {
    let mut program = Args::command().disable_help_subcommand(true);
    program.build();
    let (mut all, mut next) = (Vec::new(), vec![program]);
    while let Some(command) = next.pop() {
        let subcommands: Vec<Command> = command.get_subcommands().cloned().collect();
        next.extend(subcommands.into_iter().rev());
        all.push(command);
    }
    all
}

#[test]
fn every_help_screen_is_as_shown() {
    let mut screens = String::new();
    for command in commands() {
        // Whether lines are wrapped is up to what else is built with it.
        let mut command = command.term_width(0);
        let name = command.get_bin_name().unwrap_or("e3-agent").to_owned();
        let _ = writeln!(screens, "$ {name} --help\n{}", command.render_long_help());
    }
    insta::assert_snapshot!(screens);
}

#[test]
fn documents_tell_of_commands_and_options_that_there_are() {
    let lines = documents::lines("e3-agent");
    assert!(lines.len() > 30, "only {} were found", lines.len());
    let wrong = documents::wrong(&Args::command(), &lines);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
