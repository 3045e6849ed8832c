//! Every command's help, and the screens that need no hub, as a person sees them.
//!
//! `TRYCMD=overwrite cargo test -p e3-cli --test screens` writes them anew.

use clap::CommandFactory as _;
use e3_cli::args::Cli;
use e3_testkit::documents;

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
