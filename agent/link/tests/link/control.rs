//! The control socket, reloads, and what the process leaves behind.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use e3_core::mesh::link::{Answer, Problem, Relay};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::world::{Machine, Service, dial, pair, tcp_port, until};

#[test]
fn a_reload_that_cannot_be_is_refused_and_changes_nothing() {
    let (mut near, mut far) = pair(tcp_port());
    near.start();
    far.start();
    near.until_connected(&far);
    near.config.relays.push(Relay {
        url: "https://relay.example".to_owned(),
        discovery_port: 7842,
    });
    let Answer::Refused(why) = near.reload() else {
        panic!("it was taken");
    };
    assert!(why.contains("`relays`") && why.contains("restart"), "{why}");
    let status = near.status();
    assert_eq!(status.generation, 1);
    assert!(matches!(
        status.problems[..],
        [Problem::ConfigRefused { .. }]
    ));
    near.until_connected(&far);
    near.config.relays.clear();
    assert_eq!(near.reload(), Answer::Reloaded(3));
    assert!(near.status().problems.is_empty());
}

#[test]
fn a_configuration_that_is_sent_takes_effect_and_a_wrong_one_does_not() {
    let service = Service::new();
    let (mut near, mut far) = pair(service.port());
    let serves = far.config.peers[0].serve.split_off(0);
    near.start();
    far.start();
    // What is not served yet is waited for.
    let mut client = dial(&near, 0, 0);
    far.config.generation = 7;
    far.config.peers[0].serve = serves;
    assert_eq!(far.apply(), Answer::Reloaded(7));
    let (mut served, _) = service.accept();
    client.write_all(b"x").unwrap();
    served.read_exact(&mut [0]).unwrap();
    far.config.peers[0].serve[0].target = Some(([192, 0, 2, 1], 80).into());
    let Answer::Refused(why) = far.apply() else {
        panic!("it was taken");
    };
    assert!(why.contains("192.0.2.1"), "{why}");
    assert_eq!(far.status().generation, 7);
}

#[test]
fn sighup_reads_the_configuration_again() {
    let mut machine = Machine::new();
    machine.start();
    machine.config.generation = 9;
    machine.write_config();
    kill(Pid::from_raw(machine.pid()), Signal::SIGHUP).unwrap();
    until("it is read", || {
        (machine.status().generation == 9).then_some(())
    });
}

#[test]
fn the_control_socket_answers_sense_and_refuses_nonsense() {
    let mut machine = Machine::new();
    machine.start();
    let file = std::fs::metadata(&machine.config.control).unwrap();
    assert_eq!(file.mode() & 0o777, 0o660);
    for nonsense in ["shell\n", "\n", &"x".repeat(300_000)] {
        // A line that is too long may be cut off while it is sent.
        let answer = std::panic::catch_unwind(|| machine.ask(nonsense)).unwrap_or_default();
        assert!(!answer.contains("status\":{"), "{answer}");
    }
    assert_eq!(machine.status().id, machine.id);
    let output = Command::new(env!("CARGO_BIN_EXE_e3-link"))
        .arg("status")
        .arg("--control")
        .arg(&machine.config.control)
        .output()
        .unwrap();
    let shown: Answer = serde_json::from_slice(&output.stdout).unwrap();
    assert!(matches!(shown, Answer::Status(status) if status.id == machine.id));
    machine.stop();
    assert!(!machine.config.control.exists());
}

#[test]
fn one_that_was_killed_leaves_nothing_in_the_way_of_the_next() {
    let mut machine = Machine::new();
    machine.start();
    machine.kill();
    assert!(machine.config.control.exists());
    machine.start();
    assert_eq!(machine.status().id, machine.id);
}

#[test]
fn what_is_wrong_at_the_start_is_said() {
    let machine = Machine::new();
    machine.write_config();
    let run = |config: &str| {
        let path = machine.folder.path().join("wrong.json");
        e3_client::files::write_volatile(&path, config.as_bytes()).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_e3-link"))
            .args(["run", "--config"])
            .arg(path)
            .env_remove("CREDENTIALS_DIRECTORY")
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let control = machine.config.control.display();
    let said = run(&format!(
        r#"{{"key":{{"credential":"link.key"}},"control":"{control}"}}"#
    ));
    assert!(said.contains("LoadCredential=link.key"), "{said}");
    let said = run(&format!(
        r#"{{"key":{{"file":"/nowhere"}},"control":"{control}"}}"#
    ));
    assert!(said.contains("cannot open /nowhere"), "{said}");
    let said = run("{}");
    assert!(
        said.contains("is refused") && said.contains("missing field"),
        "{said}"
    );
}
