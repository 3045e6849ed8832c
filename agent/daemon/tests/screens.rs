//! What can be typed to `e3-agent`: its help, its manual pages, and that no document tells of anything else.
//!
//! `E3_BLESS=1 cargo test -p e3-agent --test screens` writes the manual pages anew. They are committed, since the agent is not
//! to carry them and making them would need more than building it.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process;

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
fn committed_manual_pages_are_those_of_the_commands() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/share/man/man1");
    let mut pages = BTreeMap::new();
    for command in commands() {
        let man = clap_mangen::Man::new(command);
        let mut page = Vec::new();
        man.render(&mut page).unwrap();
        pages.insert(man.get_filename(), page);
    }
    if std::env::var_os("E3_BLESS").is_some_and(|value| value == "1") {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        for (name, page) in &pages {
            fs::write(folder.join(name), page).unwrap();
        }
    }
    let committed: BTreeMap<String, Vec<u8>> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect();
    assert!(
        committed == pages,
        "agent/dist/share/man is not what the commands say any more; renew it with: E3_BLESS=1 cargo test -p e3-agent --test screens"
    );
}

#[test]
fn documents_tell_of_commands_and_options_that_there_are() {
    let lines = documents::lines("e3-agent");
    assert!(lines.len() > 30, "only {} were found", lines.len());
    let wrong = documents::wrong(&Args::command(), &lines);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("agent.toml");
    let text = format!("run = {:?}\nstate = {:?}\n", folder.path(), folder.path());
    fs::write(&config, text).unwrap();
    for command in [
        "--help",
        "status",
        "status --json",
        "policy show",
        "policy show --json",
    ] {
        for is_output in [true, false] {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let mut agent = process::Command::new(env!("CARGO_BIN_EXE_e3-agent"));
            agent.arg("--config").arg(&config).args(command.split(' '));
            let agent = if is_output {
                agent.stdout(writer).stderr(process::Stdio::piped())
            } else {
                agent.stderr(writer).stdout(process::Stdio::piped())
            };
            let output = agent.spawn().unwrap().wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!said.contains("panicked"), "{command}: {said}");
            assert!(
                matches!(output.status.code(), Some(0 | 1)),
                "{command}: {output:?}"
            );
        }
    }
}
