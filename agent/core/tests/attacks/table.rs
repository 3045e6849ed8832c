//! The table in the crate's documentation and the tests beside this file name each other.

use std::collections::BTreeSet;

const DOCUMENTATION: &str = include_str!("../../src/lib.rs");

/// Every file of attacks; `every_file_of_attacks_is_listed` keeps it whole.
const FILES: [(&str, &str); 12] = [
    ("chain", include_str!("chain.rs")),
    ("current", include_str!("current.rs")),
    ("documents", include_str!("documents.rs")),
    ("mesh", include_str!("mesh.rs")),
    ("policy", include_str!("policy.rs")),
    ("readiness", include_str!("readiness.rs")),
    ("requests", include_str!("requests.rs")),
    ("sessions", include_str!("sessions.rs")),
    ("signatures", include_str!("signatures.rs")),
    ("sizes", include_str!("sizes.rs")),
    ("state", include_str!("state.rs")),
    ("update", include_str!("update.rs")),
];

/// The tests in those files, as `file::test`.
fn tests() -> BTreeSet<String> {
    let in_file = |(file, source): &(&str, &str)| -> Vec<String> {
        let after_attribute = source.split("#[test]").skip(1);
        let names = after_attribute
            .filter_map(|rest| rest.trim_start().strip_prefix("fn ")?.split('(').next());
        names.map(|name| format!("{file}::{name}")).collect()
    };
    FILES.iter().flat_map(in_file).collect()
}

/// The rows of the table, as cells.
fn rows() -> Vec<Vec<&'static str>> {
    let lines = DOCUMENTATION
        .lines()
        .skip_while(|line| !line.starts_with("//! | attack |"))
        .skip(2);
    let rows = lines.take_while(|line| line.starts_with("//! | "));
    rows.map(|row| {
        row.trim_start_matches("//! |")
            .trim_end_matches('|')
            .split('|')
            .map(str::trim)
            .collect()
    })
    .collect()
}

/// What stands between backquotes.
fn quoted(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}

#[test]
fn every_test_in_the_table_exists_and_every_test_is_in_the_table() {
    let named: Vec<String> = rows()
        .iter()
        .flat_map(|row| quoted(row[4]).collect::<Vec<_>>())
        .collect();
    let unique: BTreeSet<String> = named.iter().cloned().collect();
    assert_eq!(
        unique.len(),
        named.len(),
        "a test stands in the table twice"
    );
    let tests = tests();
    let missing: Vec<_> = unique.difference(&tests).collect();
    assert!(
        missing.is_empty(),
        "the table names tests that do not exist: {missing:?}"
    );
    let unnamed: Vec<_> = tests.difference(&unique).collect();
    assert!(
        unnamed.is_empty(),
        "tests of attacks that the table in src/lib.rs does not name: {unnamed:?}"
    );
}

#[test]
fn every_row_is_whole_and_every_rule_is_attacked() {
    let rows = rows();
    for row in &rows {
        assert_eq!(row.len(), 5, "{row:?}");
        assert!(row.iter().all(|cell| !cell.is_empty()), "{row:?}");
        assert!(row[3].starts_with("[`"), "the code is no link: {row:?}");
        assert!(quoted(row[4]).next().is_some(), "no test: {row:?}");
    }
    let attacked: BTreeSet<u32> = rows
        .iter()
        .flat_map(|row| row[2].split(", "))
        .filter_map(|rule| rule.parse().ok())
        .collect();
    assert_eq!(
        attacked,
        (1..=13).collect(),
        "each of the thirteen rules needs an attack"
    );
}

#[test]
fn every_file_of_attacks_is_listed() {
    let main = include_str!("main.rs");
    let modules: BTreeSet<&str> = main
        .lines()
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    let listed: BTreeSet<&str> = FILES
        .iter()
        .map(|file| file.0)
        .chain(["fixture", "table"])
        .collect();
    assert_eq!(modules, listed);
}
