//! `e3 doctor` where something is really wrong: each thing it looks at is told with what to do. A hub's clock, its name and a hub
//! that is not there are in `live.rs`, what both doctors look at is in `e3_client::looks`.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use clap::Parser as _;
use common::{World, e3};
use e3_cli::args::Cli;
use e3_cli::output::{Answer, Output};
use e3_client::{clock, files};
use e3_core::checkup::{Check, State};
use e3_core::limits;
use e3_core::time::Time;
use e3_hub::{Location, Tls};

/// Tests ask nobody on the internet.
const NO_INDEX: [&str; 2] = ["--index", "http://127.0.0.1:1/simple"];
const DAY: u64 = 86_400;

/// That `what` is as it should not be, with these words in what was found and in the remedy.
fn told(answer: &Answer, what: &str, state: State, found: &str, remedy: &str) {
    let checks: Vec<Check> = serde_json::from_value(answer.json["checks"].clone()).unwrap();
    let is_it = |check: &Check| {
        let words = check.remedy.as_deref().unwrap_or_default();
        check.what == what
            && check.state == state
            && check.found.contains(found)
            && words.contains(remedy)
    };
    assert!(
        checks.iter().any(is_it),
        "{what}, {found}, {remedy}: {checks:#?}"
    );
}

/// What it says of `world`'s fleet.
async fn doctor(world: &World, more: &[&str]) -> Answer {
    e3(world, &[&["doctor"], &NO_INDEX[..], more].concat()).await
}

/// What it says where there is this fleet.
async fn elsewhere(fleet: &Path) -> Answer {
    let fleet = fleet.display().to_string();
    let line = [&["e3", "doctor", "--fleet", &fleet], &NO_INDEX[..]].concat();
    let cli = Cli::try_parse_from(line).unwrap();
    let output = Output::new(&cli.global);
    e3_cli::commands::run(&cli, &output).await.unwrap()
}

/// A Python that says this of itself.
fn python(folder: &Path, says: &str) -> String {
    let file = folder.join("python");
    fs::write(&file, format!("#!/bin/sh\necho '{says}'\n")).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
    file.display().to_string()
}

#[tokio::test]
async fn a_python_that_is_missing_old_or_none_is_told() {
    let world = World::made(|_| {}, clock::now());
    let missing = doctor(&world, &["--python", "/nonexistent/python"]).await;
    told(
        &missing,
        "python",
        State::Fail,
        "is not there",
        "Install Python 3.10",
    );
    let folder = tempfile::tempdir().unwrap();
    let old = python(
        folder.path(),
        r#"{"version": [3, 9, 2], "bits": 64, "executable": "/usr/bin/python3", "modules": {}}"#,
    );
    let old = doctor(&world, &["--python", &old]).await;
    told(&old, "python", State::Fail, "Python 3.9.2", "3.10 or newer");
    let bare = python(
        folder.path(),
        r#"{"version": [3, 12, 3], "bits": 64, "executable": "/usr/bin/python3", "modules": {}}"#,
    );
    let bare = doctor(&world, &["--python", &bare, "--module", "scipy"]).await;
    told(
        &bare,
        "module",
        State::Fail,
        "scipy is not installed",
        "pip install scipy",
    );
    told(
        &bare,
        "module",
        State::Warn,
        "gmpy2 is not installed",
        "MPyC also runs faster",
    );
}

#[tokio::test]
async fn keys_that_are_missing_or_lie_open_are_told() {
    let world = World::made(|_| {}, clock::now());
    let key = world.key_file();
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let open = doctor(&world, &["--key", &key]).await;
    told(&open, "key", State::Fail, "run `chmod 600", "");
    let missing = doctor(&world, &["--key", "/nonexistent/key.pem"]).await;
    told(&missing, "key", State::Warn, "no secret key", "e3 key new");
    let release = world.path().join("keys/release.pem");
    fs::create_dir_all(release.parent().unwrap()).unwrap();
    let pem = common::key(9).to_pem();
    let _ = fs::remove_file(&release);
    files::write_secret(&release, pem.as_bytes()).unwrap();
    let here = doctor(&world, &[]).await;
    told(
        &here,
        "release key",
        State::Warn,
        "is on this machine",
        "offline",
    );
}

#[tokio::test]
async fn a_fleet_that_is_missing_or_broken_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let missing = elsewhere(folder.path()).await;
    told(&missing, "fleet", State::Fail, "is no fleet folder", "");
    fs::write(folder.path().join("fleet.toml"), "name = 1\n").unwrap();
    let broken = elsewhere(folder.path()).await;
    told(&broken, "fleet", State::Fail, "fleet.toml", "");
}

#[tokio::test]
async fn a_hub_an_index_and_a_relay_that_cannot_be_reached_are_told() {
    let nobody = World::made(|_| {}, clock::now());
    let answer = doctor(&nobody, &[]).await;
    told(
        &answer,
        "hub",
        State::Fail,
        "http://127.0.0.1:1 cannot be reached",
        "",
    );
    told(
        &answer,
        "python index",
        State::Warn,
        "cannot be reached",
        "E3_INDEX",
    );
    let relay = "https://127.0.0.1:1".to_owned();
    let world = World::with(|plan| plan.relay = Some(relay), Tls::None).await;
    told(
        &doctor(&world, &[]).await,
        "mesh",
        State::Warn,
        "the relay https://127.0.0.1:1",
        "firewall",
    );
}

#[tokio::test]
async fn a_head_that_has_expired_or_soon_will_is_told() {
    for (age, state, found) in [
        (30 * DAY, State::Fail, "expired at"),
        (13 * DAY + DAY / 2, State::Warn, "expires in"),
    ] {
        // Made so long ago, and its only head was good for 14 days.
        let seconds = i64::try_from(age).unwrap();
        let made = Time::from_unix(clock::now().unix() - seconds);
        let mut world = World::made(|_| {}, made);
        let file = world.file();
        let [root, head] = [file.root_path(1), file.folder.join("head.json")]
            .map(|path| files::read_bounded(&path, limits::ENVELOPE).unwrap());
        let store = Location::Folder(world.store());
        e3_hub::init(&store, &root, Some(&head), made)
            .await
            .unwrap();
        world.start(Tls::None).await.unwrap();
        let answer = doctor(&world, &[]).await;
        told(&answer, "head", state, found, "e3 hub renew");
    }
}
