//! Releases from built agents to the head: several release keys, offline copies, and what is refused.

mod common;

use std::path::{Path, PathBuf};
use std::process::Output;

use common::World;
use e3_cli::commands::fleet::publish::{LIFETIME, publish};
use e3_client::files::{read_bounded, write_atomic, write_secret};
use e3_core::digest::Blob;
use e3_core::document::{Role, RootRef};
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;
use serde_json::Value;
use tokio::process::Command;

/// A static program for this processor that does nothing: a bare ELF header.
fn agent(machine: u16, mark: u8) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    bytes[18..20].copy_from_slice(&machine.to_le_bytes());
    bytes.push(mark);
    bytes
}

/// The command, in the fleet's folder.
async fn e3(world: &World, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_e3"))
        .args(args)
        .arg("--fleet")
        .arg(world.path())
        .env_clear()
        .env("E3_KEY", world.path().join("owner.pem"))
        .current_dir(world.folder.path())
        .output()
        .await
        .unwrap()
}

fn text(output: &Output) -> (Option<i32>, String) {
    let shown = [&output.stdout[..], &output.stderr[..]].concat();
    (
        output.status.code(),
        mask(&String::from_utf8(shown).unwrap()),
    )
}

/// The same without what differs from run to run.
fn mask(text: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_end_matches([':', ',']);
        let is_time = bare.len() == 20 && bare.ends_with('Z') && bare.contains('T');
        let masked = match bare {
            _ if bare.starts_with("sha256:") => "[digest]",
            _ if bare.starts_with("did:key:") => "[key]",
            _ if is_time => "[time]",
            _ => return word.to_owned(),
        };
        word.replace(bare, masked)
    };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join(
        "
",
    ) + "
"
}

async fn json(world: &World, args: &[&str]) -> Value {
    let output = e3(world, &[args, &["--json"]].concat()).await;
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{args:?}: {output:?}"))
}

/// A fleet whose releases need two of two keys, and the files of those.
async fn two_keys() -> (World, [PathBuf; 2]) {
    let world = World::new().await;
    write_secret(
        &world.path().join("owner.pem"),
        world.owner.to_pem().as_bytes(),
    )
    .unwrap();
    let keys = [5, 6].map(common::key);
    let mut fleet = world.open().await;
    fleet
        .sync(e3_cli::commands::fleet::Stale::Refuse)
        .await
        .unwrap();
    let mut root = fleet.trust.root.clone();
    root.version = 2;
    root.release = Role {
        keys: keys.iter().map(SecretKey::public).collect(),
        threshold: 2,
    };
    let root = Envelope::sign(&root, &[&world.owner]).unwrap();
    fleet.hub.put_root(2, root.to_bytes()).await.unwrap();
    publish(&mut fleet, &world.owner, LIFETIME, |head| {
        head.root = RootRef {
            version: 2,
            digest: root.digest(),
        };
        Ok(true)
    })
    .await
    .unwrap();
    let files = ["a.pem", "b.pem"].map(|name| world.folder.path().join(name));
    for (key, file) in keys.iter().zip(&files) {
        write_secret(file, key.to_pem().as_bytes()).unwrap();
    }
    for (name, machine) in [("x86", 62), ("arm", 183)] {
        write_atomic(&world.folder.path().join(name), &agent(machine, 1)).unwrap();
    }
    (world, files)
}

fn copy(from: &Path, to: &Path) {
    let bytes = read_bounded(from, 1 << 20).unwrap();
    write_atomic(to, &bytes).unwrap();
}

#[tokio::test]
async fn two_holders_of_release_keys_sign_copies_and_the_owner_publishes() {
    let (world, [a, b]) = two_keys().await;
    let [a, b] = [a.to_str().unwrap(), b.to_str().unwrap()];
    let made = e3(
        &world,
        &[
            "release",
            "sign",
            "new.release",
            "--binary",
            "x86",
            "--binary",
            "arm",
            "--version",
            "0.2.0",
            "--counter",
            "7",
            "--key",
            a,
        ],
    )
    .await;
    insta::assert_snapshot!("sign", text(&made).1);
    assert_eq!(made.status.code(), Some(0));
    // One key is not enough to publish.
    let early = e3(&world, &["release", "push", "new.release"]).await;
    insta::assert_snapshot!("push-early", text(&early).1);
    assert_eq!(early.status.code(), Some(4));
    // The other holder has the envelope alone, on another machine.
    let envelope = world.folder.path().join("copy.json");
    copy(
        &world.folder.path().join("new.release/release.json"),
        &envelope,
    );
    let other = json(&world, &["release", "sign", "copy.json", "--key", b]).await;
    assert_eq!(other["signatures"]["complete"], true, "{other}");
    let merged = json(
        &world,
        &[
            "release",
            "sign",
            "new.release",
            "--merge",
            "copy.json",
            "--no-sign",
        ],
    )
    .await;
    assert_eq!(
        (&merged["merged"], &merged["signatures"]["complete"]),
        (&1.into(), &true.into())
    );
    let pushed = json(&world, &["release", "push", "new.release"]).await;
    assert_eq!(
        (&pushed["published"], &pushed["counter"]),
        (&true.into(), &7.into())
    );
    let again = json(&world, &["release", "push", "new.release"]).await;
    assert_eq!(again["published"], false);
    // What the machines will find.
    let fleet = world.open().await;
    for machine in [62, 183] {
        let bytes = agent(machine, 1);
        assert_eq!(fleet.hub.blob(&Blob::of(&bytes)).await.unwrap(), bytes);
    }
    let shown = e3(&world, &["release", "show"]).await;
    insta::assert_snapshot!("show", text(&shown).1);
    // An older one is refused here, before any machine sees it.
    for key in [a, b] {
        let mut args = vec!["release", "sign", "old.release", "--key", key];
        if key == a {
            args.extend(["--binary", "x86", "--version", "0.1.9", "--counter", "6"]);
        }
        assert_eq!(e3(&world, &args).await.status.code(), Some(0));
    }
    let old = e3(&world, &["release", "push", "old.release"]).await;
    insta::assert_snapshot!("push-old", text(&old).1);
    assert_eq!(old.status.code(), Some(4));
}

#[tokio::test]
async fn what_is_no_release_is_not_signed() {
    let (world, [a, _]) = two_keys().await;
    let a = a.to_str().unwrap();
    write_atomic(&world.folder.path().join("script"), b"#!/bin/sh\n").unwrap();
    std::fs::copy("/proc/self/exe", world.folder.path().join("dynamic")).unwrap();
    let owner = world.path().join("owner.pem");
    let new = async |binary, version, key| {
        text(
            &e3(
                &world,
                &[
                    "release",
                    "sign",
                    "bad.release",
                    "--binary",
                    binary,
                    "--version",
                    version,
                    "--key",
                    key,
                ],
            )
            .await,
        )
    };
    let screens = [
        new("script", "0.2.0", a).await,
        new("dynamic", "0.2.0", a).await,
        new("nowhere", "0.2.0", a).await,
        new("x86", "newest", a).await,
        new("x86", "0.2.0", owner.to_str().unwrap()).await,
        text(&e3(&world, &["release", "sign", "nowhere.release", "--key", a]).await),
    ];
    let mut all = String::new();
    for (code, screen) in screens {
        assert_ne!(code, Some(0), "{screen}");
        all.extend([screen, format!("(exit {})\n\n", code.unwrap())]);
    }
    insta::assert_snapshot!("refused", all);
    assert!(!world.folder.path().join("bad.release").exists());
    // A binary that was exchanged after the first signature is neither shown, signed nor published.
    let made = e3(
        &world,
        &[
            "release",
            "sign",
            "new.release",
            "--binary",
            "x86",
            "--version",
            "0.2.0",
            "--key",
            a,
        ],
    )
    .await;
    assert_eq!(made.status.code(), Some(0));
    let inside = world
        .folder
        .path()
        .join("new.release/e3-agent-x86_64-unknown-linux-musl");
    write_atomic(&inside, &agent(62, 2)).unwrap();
    for args in [
        &["release", "show", "new.release"][..],
        &["release", "sign", "new.release", "--key", a],
    ] {
        let (code, screen) = text(&e3(&world, args).await);
        assert!(
            code == Some(2) && screen.contains("is not the binary"),
            "{screen}"
        );
    }
}
