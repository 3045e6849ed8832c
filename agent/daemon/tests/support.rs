//! The support bundle of a machine whose files and log are full of secrets.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use e3_core::key::SecretKey;

/// Every planted secret, with what it is.
struct Planted(Vec<(&'static str, Vec<u8>)>);

impl Planted {
    /// Fails if one of them is in `bundle`: as it is, or inside base64, at any shift.
    fn are_not_in(&self, bundle: &[u8]) {
        let mut texts = vec![bundle.to_vec()];
        // Everything in it that reads as base64, from each of four beginnings.
        let letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
        for run in bundle
            .split(|byte| !letter(byte))
            .filter(|run| run.len() >= 8)
        {
            for from in 0..4 {
                let run: Vec<u8> = run[from..]
                    .iter()
                    .map(|byte| match byte {
                        b'+' => b'-',
                        b'/' => b'_',
                        other => *other,
                    })
                    .collect();
                let whole = run.len() / 4 * 4;
                if let Ok(decoded) = URL_SAFE_NO_PAD.decode(&run[..whole]) {
                    texts.push(decoded);
                }
            }
        }
        for (what, secret) in &self.0 {
            for text in &texts {
                let found = text.windows(secret.len()).any(|window| window == secret);
                assert!(!found, "{what} is in the bundle");
            }
        }
    }

    /// One line for each: as it is, in base64, and in base64 with something before it.
    fn as_log(&self) -> String {
        let mut log = String::new();
        for (_, secret) in &self.0 {
            let text = String::from_utf8_lossy(secret);
            let shifted = STANDARD.encode([b"{\"x\":\"".as_slice(), secret, b"\"}"].concat());
            let _ = write!(
                log,
                "agent: {text}\nagent: {}\nagent: {shifted}\n",
                STANDARD.encode(secret)
            );
            let _ = writeln!(
                log,
                "agent: {}",
                URL_SAFE_NO_PAD.encode([b"?".as_slice(), secret].concat())
            );
        }
        log
    }
}

fn write(path: &Path, text: impl AsRef<[u8]>, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn no_planted_secret_is_in_the_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let key = SecretKey::from_seed(&[0x5a; 32]);
    let pem = key.to_pem().to_string();
    let body = pem.lines().nth(1).unwrap().to_owned();
    let text = |text: &str| text.as_bytes().to_vec();
    let planted = Planted(vec![
        (
            "the join token",
            text("e3-join-c2VjcmV0dG9rZW5zZWNyZXR0b2tlbg"),
        ),
        ("the identity's seed", key.seed().to_vec()),
        ("the identity's PEM", body.into_bytes()),
        ("an input", text("salary-of-4242424242")),
        ("an input of a session", text("bid-of-1717171717")),
        ("an output", text("the-average-is-993377")),
        (
            "the key of an output",
            b"output-key-output-key-output-key".to_vec(),
        ),
        (
            "a TLS key",
            text("MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHsecret"),
        ),
        ("the index's password", text("index-hunter2-index")),
        ("the hub's password", text("hub-hunter3-hub")),
        ("the Wi-Fi password", text("wifi hunter4 wifi")),
    ]);
    let get = |n: usize| String::from_utf8(planted.0[n].1.clone()).unwrap();
    let manifest = "ab".repeat(32);
    let session = format!("state/sessions/{manifest}");
    write(&at("state/identity.pem"), &pem, 0o600);
    write(&at("salary"), get(3), 0o600);
    write(&at(&format!("{session}/inputs/bid")), get(4), 0o600);
    write(
        &at(&format!("{session}/stdout")),
        format!("{}\n", get(5)),
        0o600,
    );
    write(
        &at(&format!("{session}/output.key")),
        &planted.0[6].1,
        0o600,
    );
    let tls = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        get(7)
    );
    write(&at("state/jobs/x/.config/party_0.key"), tls, 0o600);
    let owner = SecretKey::from_seed(&[1; 32]).public();
    let join = format!(
        "fleet = \"demo\"\nhub = \"https://user:{}@hub.example\"\nroot = \"sha256:{manifest}\"\nname = \"alice\"\nowner = \"{owner}\"\ntoken = \"{}\"\n[wifi]\nssid = \"home\"\npassword = \"{}\"\n",
        get(9),
        get(0),
        get(10)
    );
    write(&at("e3.toml"), join, 0o600);
    let policy = format!("[inputs.salary]\nfile = {:?}\n", at("salary"));
    write(&at("policy.toml"), policy, 0o600);
    let config = format!(
        "state = {:?}\nrun = {:?}\njoin = [{:?}]\npolicy = {:?}\nindex = \"https://user:{}@index.example/simple\"\n",
        at("state"),
        at("run"),
        at("e3.toml"),
        at("policy.toml"),
        get(8)
    );
    write(&at("agent.toml"), config, 0o644);
    // A log that says everything that it should not.
    write(
        &at("log"),
        format!("a harmless line\n{}", planted.as_log()),
        0o644,
    );
    for tool in ["journalctl", "systemctl"] {
        let script = format!("#!/bin/sh\nexec cat {:?}\n", at("log"));
        write(&at(&format!("bin/{tool}")), script, 0o755);
    }
    let run = |config: &str, file: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_e3-agent"))
            .args(["support-bundle", "--config"])
            .args([at(config), at(file)])
            .env("PATH", format!("{}:/usr/bin:/bin", at("bin").display()))
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&said)
        );
        planted.are_not_in(&said);
        fs::read(at(file)).unwrap()
    };
    let bundle = run("agent.toml", "bundle.tar");
    planted.are_not_in(&bundle);
    let text = String::from_utf8_lossy(&bundle);
    for there in [
        "a harmless line",
        "https://hub.example",
        "https://index.example/simple",
        "alice",
        "e3-support/log.txt",
        "e3-support/units.txt",
        "e3-support/decisions.jsonl",
        "no agent answers",
        &manifest,
    ] {
        assert!(text.contains(there), "{there} is missing");
    }
    let mode = fs::metadata(at("bundle.tar")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // The test would notice: the log itself fails it.
    let noticed = std::panic::catch_unwind(|| planted.are_not_in(&fs::read(at("log")).unwrap()));
    assert!(noticed.is_err());
    // Broken settings, which hold a password, too, are a reason for a bundle and no way around.
    let broken = fs::read_to_string(at("agent.toml")).unwrap() + "nonsense\n";
    write(&at("broken.toml"), broken, 0o644);
    write(&at("log"), "nothing\n", 0o644);
    planted.are_not_in(&run("broken.toml", "broken.tar"));
}
