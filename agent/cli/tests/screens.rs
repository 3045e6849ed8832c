//! Every command's help, and the screens that need no hub, as a person sees them.
//!
//! `TRYCMD=overwrite cargo test -p e3-cli --test screens` writes them anew.

use clap::CommandFactory as _;
use e3_cli::args::Cli;
use e3_testkit::documents;

#[test]
fn every_command_has_its_help_among_the_screens() {
    fn walk(command: &clap::Command, name: &str, missing: &mut Vec<String>) {
        let line = format!("$ {name} --help\n");
        if !include_str!("screens/help.trycmd").contains(&line) {
            missing.push(line);
        }
        for sub in command.get_subcommands() {
            walk(sub, &format!("{name} {}", sub.get_name()), missing);
        }
    }
    let mut missing = Vec::new();
    walk(&Cli::command(), "e3", &mut missing);
    assert!(
        missing.is_empty(),
        "add to tests/screens/help.trycmd:\n{}",
        missing.concat()
    );
}

#[test]
fn documents_tell_of_commands_and_options_that_there_are() {
    let lines = documents::lines("e3");
    assert!(lines.len() > 300, "only {} were found", lines.len());
    let wrong = documents::wrong(&Cli::command(), &lines);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn screens_are_as_shown() {
    let cases = trycmd::TestCases::new();
    // Nothing of the person who runs the tests may show: no key, no fleet, no index, no width.
    cases
        .env("HOME", "/nonexistent/home")
        .env("XDG_CONFIG_HOME", "")
        .env("XDG_CACHE_HOME", "");
    cases
        .env("E3_KEY", "key.pem")
        .env("E3_IMAGES", "")
        .env("E3_IMAGES_KEY", "")
        .env("COLUMNS", "100")
        .env("NO_COLOR", "1");
    cases.case("tests/screens/*.trycmd");
}
