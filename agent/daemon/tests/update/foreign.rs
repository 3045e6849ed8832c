//! Releases and binaries that are not what enough release keys have signed, or not for this machine.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use e3_core::digest::Blob;
use e3_core::update::Trouble;

use crate::fleet::{Fleet, agent, installed};
use crate::init::Init;

/// The installed agent is up, and nothing of a release has come to the machine.
fn is_untouched(fleet: &Fleet, init: &Init) {
    assert_eq!((init.runs(), init.starts()), (Some(installed()), 1));
    assert!(fleet.binaries().is_empty());
    assert_eq!(fleet.state().candidate, None);
}

#[test]
fn a_release_that_too_few_release_keys_have_signed_is_refused() {
    let mut fleet = Fleet::new();
    let init = fleet.boot();
    let file = fleet.put(&agent(1));
    let signers: [&[&str]; 4] = [
        &["release-a"],
        &["release-a", "release-a"],
        &["release-b", "owner", "head", "root"],
        &["mallory", "release-a"],
    ];
    for (counter, by) in (1..).zip(signers) {
        let release = fleet.draft(counter, "0.2.0", file);
        fleet.publish_signed(&release, by);
        let refused = usize::try_from(counter).unwrap();
        fleet.until("it is refused", || {
            let text = fs::read_to_string(fleet.path("state/journal.jsonl")).unwrap_or_default();
            text.matches("\"subject\":\"release\"").count() == refused
        });
        assert!(matches!(fleet.trouble(), Some(Trouble::Refused { .. })));
        is_untouched(&fleet, &init);
    }
    assert_eq!(fleet.journal()["release refused"], signers.len());
    // The machine is none the worse for it.
    let release = fleet.draft(1, "0.2.0", file);
    fleet.publish_signed(&release, &["release-b", "release-a"]);
    fleet.until_committed(&init, &file.digest);
}

#[test]
fn an_older_release_is_refused() {
    let mut fleet = Fleet::new();
    let init = fleet.boot();
    let good = fleet.release(5, "0.5.0", &agent(5));
    fleet.until_committed(&init, &good);
    fleet.release(4, "0.9.0", &agent(4));
    fleet.until("it is refused", || {
        matches!(fleet.trouble(), Some(Trouble::Refused { detail }) if detail.contains("rollback"))
    });
    assert_eq!(init.runs(), Some(fleet.binary(&good)));
    assert_eq!(fleet.binaries(), [good.hex()]);
}

#[test]
fn a_release_that_has_expired_is_refused() {
    let mut fleet = Fleet::new();
    let init = fleet.boot();
    let file = fleet.put(&agent(1));
    let mut release = fleet.draft(1, "0.2.0", file);
    release.signed = e3_core::time::Time::from_unix(release.signed.unix() - 100);
    release.expires = release.signed.plus(50);
    fleet.publish_signed(&release, &["release-a", "release-b"]);
    fleet.until("it is refused", || {
        matches!(fleet.trouble(), Some(Trouble::Refused { detail }) if detail.contains("expired"))
    });
    is_untouched(&fleet, &init);
}

#[test]
fn a_binary_that_is_cut_or_changed_or_endless_on_the_hub_is_not_executed() {
    let mut fleet = Fleet::new();
    let init = fleet.boot();
    let good = agent(1);
    let mut changed = good.clone();
    *changed.last_mut().unwrap() ^= 1;
    let endless = [&good[..], &good[..1]].concat();
    let blob = fleet.put(&good);
    for (counter, (bytes, why)) in (1..).zip([
        (&good[..good.len() - 1], "bytes, not"),
        (&[][..], "bytes, not"),
        (&changed[..], "hashes to"),
        (&endless[..], "sends more than"),
    ]) {
        fleet.put_as(&blob.digest, bytes);
        let release = fleet.draft(counter, &format!("0.2.{counter}"), blob);
        fleet.publish_signed(&release, &["release-a", "release-b"]);
        let said = |trouble: Option<Trouble>| match trouble {
            Some(Trouble::NotFetched { version, detail }) => {
                version == format!("0.2.{counter}") && detail.contains(why)
            }
            _ => false,
        };
        fleet.until(why, || said(fleet.trouble()));
        assert_eq!((init.runs(), init.starts()), (Some(installed()), 1));
        fleet.until("nothing of it stays", || fleet.binaries().is_empty());
    }
    // The hub has mended it: no new release is needed.
    fleet.put_as(&blob.digest, &good);
    fleet.until_committed(&init, &blob.digest);
}

#[test]
fn a_binary_for_another_machine_is_not_tried() {
    let mut fleet = Fleet::new();
    let init = fleet.boot();
    let file = fleet.put(&agent(1));
    let mut release = fleet.draft(1, "0.2.0", file);
    release.binaries[0].target = "riscv64gc-unknown-linux-musl".to_owned();
    fleet.publish_signed(&release, &["release-a", "release-b"]);
    fleet.until("it says so", || {
        matches!(fleet.trouble(), Some(Trouble::NoBinary { .. }))
    });
    is_untouched(&fleet, &init);
    // One that was put under the wrong name: the header says another processor.
    let mut other = agent(2);
    other[18..20].copy_from_slice(&243_u16.to_le_bytes());
    let file = fleet.release(2, "0.3.0", &other);
    fleet.until("it does not pass", || {
        matches!(fleet.trouble(), Some(Trouble::Unfit { .. }))
    });
    assert!(fleet.state().bad.contains_key(&file));
    is_untouched(&fleet, &init);
}

#[test]
fn a_binary_that_was_changed_on_the_disk_does_not_run_and_is_fetched_again() {
    let mut fleet = Fleet::new();
    let init = fleet.boot();
    let first = fleet.release(1, "0.2.0", &agent(1));
    fleet.until_committed(&init, &first);
    let second = fleet.release(2, "0.3.0", &agent(2));
    fleet.until_committed(&init, &second);
    let spoil = |file, how: &dyn Fn(&std::path::Path)| {
        let path = fleet.binary(file);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        how(&path);
    };
    init.stop();
    // The hub is away, so that nothing mends itself yet.
    let [hub, away] = ["hub/head.json", "hub/away"].map(|part| fleet.path(part));
    fs::rename(&hub, &away).unwrap();
    spoil(&second, &|path| {
        let mut bytes = fs::read(path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(path, bytes).unwrap();
    });
    let init = fleet.boot();
    fleet.until("the one before runs", || {
        init.runs() == Some(fleet.binary(&first))
    });
    fleet.until("it says so", || {
        matches!(fleet.trouble(), Some(Trouble::Spoilt { .. }))
    });
    init.stop();
    // Its release is not beside it any more: what nobody signed is not run.
    fs::remove_file(
        fleet
            .path("state/bin")
            .join(first.hex())
            .join("release.json"),
    )
    .unwrap();
    let init = fleet.boot();
    fleet.until("the installed one runs", || fleet.status().is_some());
    assert_eq!(init.runs(), Some(installed()));
    fs::rename(&away, &hub).unwrap();
    fleet.until_committed(&init, &second);
    init.stop();
    assert_eq!(fleet.journal()["update spoilt"], 2);
}

#[test]
fn a_binary_whose_release_keys_were_replaced_does_not_run_until_the_new_ones_have_signed_it() {
    let mut fleet = Fleet::new();
    let init = fleet.boot();
    let binary = agent(1);
    let file = fleet.release(1, "0.2.0", &binary);
    fleet.until_committed(&init, &file);
    fleet.rotate(&["release-c"]);
    fleet.until("the new root is held", || {
        fleet.status().is_some_and(|status| status["root"] == 2)
    });
    // What runs goes on; what starts is asked who has signed it.
    assert_eq!(init.runs(), Some(fleet.binary(&file)));
    init.kill();
    fleet.until("it says so", || {
        matches!(fleet.trouble(), Some(Trouble::Spoilt { .. }))
    });
    assert_eq!(init.runs(), Some(installed()));
    let release = fleet.draft(2, "0.2.0", Blob::of(&binary));
    fleet.publish_signed(&release, &["release-a", "release-b"]);
    fleet.until("the old keys are refused", || {
        matches!(fleet.trouble(), Some(Trouble::Refused { .. }))
    });
    assert_eq!(init.runs(), Some(installed()));
    fleet.publish_signed(&release, &["release-c"]);
    fleet.until_committed(&init, &file);
}

#[test]
fn a_state_that_cannot_be_read_leaves_the_installed_agent_with_a_reason() {
    let mut fleet = Fleet::new();
    let init = fleet.boot();
    let file = fleet.release(1, "0.2.0", &agent(1));
    fleet.until_committed(&init, &file);
    init.stop();
    let damaged = b"{\"committed\": 7";
    fs::write(fleet.path("state/update.json"), damaged).unwrap();
    let init = fleet.boot();
    fleet.until("it says so", || {
        matches!(fleet.trouble(), Some(Trouble::State { .. }))
    });
    assert_eq!(init.runs(), Some(installed()));
    // It may know of bad binaries, so it is not written anew.
    fleet.release(2, "0.3.0", &agent(2));
    fleet.until("the head is taken", || {
        fleet.status().is_some_and(|status| status["head"] == 3)
    });
    assert_eq!(fs::read(fleet.path("state/update.json")).unwrap(), damaged);
    assert!(matches!(fleet.trouble(), Some(Trouble::State { .. })));
    assert_eq!(fleet.binaries(), [file.hex()]);
    // Its owner takes it away.
    init.stop();
    fs::remove_file(fleet.path("state/update.json")).unwrap();
    let init = fleet.boot();
    fleet.until("it is updated", || fleet.state().committed.is_some());
    init.stop();
}

/// The agent under a bound for files, so that writing fails where a disk would be full.
fn bounded(fleet: &Fleet, bytes: usize) -> Init {
    let mut shell = Command::new("/bin/sh");
    // Without the signal that would end it: a full disk sends none.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", bytes / 512);
    shell.args(["-c", &script, "sh"]).arg(installed());
    shell.arg("--config").arg(fleet.path("agent.toml"));
    shell.env_clear().env("TMPDIR", fleet.path("tmp"));
    Init::start(shell, &fleet.path("init"))
}

#[test]
fn a_disk_without_room_for_the_binary_leaves_everything_as_it_was() {
    let mut fleet = Fleet::new();
    let init = bounded(&fleet, 1 << 20);
    let file = fleet.release(1, "0.2.0", &agent(1));
    fleet.until("it says so", || {
        matches!(fleet.trouble(), Some(Trouble::NotFetched { .. }))
    });
    assert_eq!(init.runs(), Some(installed()));
    fleet.until("nothing of it stays", || fleet.binaries().is_empty());
    init.stop();
    assert_eq!(fs::read_dir(fleet.path("tmp")).unwrap().count(), 0);
    // There is room now.
    let init = fleet.boot();
    fleet.until_committed(&init, &file);
}

#[test]
fn a_trial_that_cannot_be_noted_does_not_begin() {
    let mut fleet = Fleet::with("trial_seconds = 600");
    let init = fleet.boot();
    let file = fleet.release(1, "0.2.0", &agent(1));
    fleet.until("it is on trial", || {
        init.runs() == Some(fleet.binary(&file))
    });
    init.kill();
    fleet.until("it is on trial again", || {
        init.starts() == 2 && init.runs() == Some(fleet.binary(&file))
    });
    init.kill();
    init.stop();
    let before = fleet.state();
    let init = bounded(&fleet, 0);
    let log = || fs::read_to_string(fleet.path("init/log")).unwrap();
    fleet.until("it says why", || {
        log().contains("a trial cannot be noted on the disk")
    });
    init.stop();
    assert_eq!(
        fleet.state(),
        before,
        "a trial that did not begin was not counted"
    );
    assert_eq!(fleet.binaries(), [file.hex()]);
}

#[test]
fn a_file_of_the_same_name_elsewhere_is_no_binary() {
    // What a link in the place of a binary points to is not executed, whatever it is.
    let mut fleet = Fleet::new();
    let init = fleet.boot();
    let file = fleet.release(1, "0.2.0", &agent(1));
    fleet.until_committed(&init, &file);
    init.stop();
    fs::remove_file(fleet.path("hub/head.json")).unwrap();
    let elsewhere = fleet.path("elsewhere");
    fs::rename(fleet.binary(&file), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, fleet.binary(&file)).unwrap();
    assert_eq!(Blob::of(&fs::read(&elsewhere).unwrap()).digest, file);
    let init = fleet.boot();
    fleet.until("the installed one runs", || fleet.status().is_some());
    assert_eq!(init.runs(), Some(installed()));
}
