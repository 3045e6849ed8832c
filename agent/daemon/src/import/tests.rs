//! Media of every kind in a folder, good ones and those of the list of bad inputs, looked at by the real importer.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use e3_core::document::{Invite, Token};
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;
use e3_core::time::Time;

use super::*;

const PASSWORD: &str = "correct horse";

/// A machine's disk and media.
struct Machine {
    folder: tempfile::TempDir,
    settings: Settings,
}

impl Machine {
    /// One with a card, a cloud, a computer with users, and an owner.
    fn new() -> Self {
        e3_client::tls::install();
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["state", "card", "users/alice", "users/bob", "etc"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        let mut text = format!(
            "state = {:?}\nrun = {:?}\npolicy = {:?}\nwifi = \"wpa-supplicant\"\nssh = true\n",
            at("state"),
            at("run"),
            at("policy.toml")
        );
        for path in ["card/e3.toml", "users/*/e3.toml"] {
            let _ = write!(text, "[[import]]\nkind = \"file\"\npath = {:?}\n", at(path));
        }
        let _ = write!(
            text,
            "[[import]]\nkind = \"user-data\"\npath = {:?}\nfield = \"user_data\"\n[[import]]\nkind = \"file\"\npath = {:?}\n",
            at("metadata.json"),
            at("etc/e3.toml")
        );
        let config = at("agent.toml");
        fs::write(&config, text).unwrap();
        let settings = Settings::load(&config).unwrap();
        Self { folder, settings }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn look(&self) -> Report {
        let report = run(&self.settings);
        // Whatever happens: nothing secret is told, and nothing acts on the console.
        for text in [
            self.read("run-import/report.json"),
            self.read("run-import/issue"),
        ] {
            // The word stands in an explanation, too.
            let text = text.replace("starts with e3-join- and", "");
            assert!(
                !text.contains("e3-join-") && !text.contains(PASSWORD),
                "{text}"
            );
            assert!(!text.contains(['\x1b', '\u{9b}', '\u{202e}']), "{text:?}");
        }
        report
    }

    /// What the agent reads.
    fn copy(&self) -> Option<Join> {
        Join::find(&self.settings.join)
            .unwrap()
            .map(|(_, join)| join)
    }

    fn name(&self) -> Option<String> {
        self.copy().map(|join| join.name.to_string())
    }

    fn problems(&self) -> Vec<String> {
        let report = self.look();
        let problems = report.notes.iter().filter(|note| note.is_problem);
        problems
            .map(|note| format!("{} {}", note.text, note.remedy))
            .collect()
    }
}

/// The join file of a party.
fn join_file(name: &str) -> String {
    let [owner, once] = [1, 2].map(|n| SecretKey::from_seed(&[n; 32]));
    let invite = Invite {
        fleet: "demo".parse().unwrap(),
        name: name.parse().unwrap(),
        owner: owner.public(),
        key: once.public(),
        expires: Time::from_unix(2_000_000_000),
    };
    let invite = Envelope::sign(&invite, &[&owner]).unwrap();
    let token = Token { invite, key: once }.to_text();
    let root = Digest::of(b"root");
    format!(
        "# mine\nfleet = \"demo\"\nname = \"{name}\"\nhub = \"https://hub.example\"\nroot = \"{root}\"\nowner = \"{}\"\ntoken = \"{}\"\n",
        owner.public(),
        *token
    )
}

fn with_wifi(name: &str) -> String {
    format!(
        "{}\n[wifi]\nssid = \"home\"\npassword = \"{PASSWORD}\"\n",
        join_file(name)
    )
}

#[test]
fn a_card_joins_its_network_and_its_fleet_and_has_no_secrets_afterwards() {
    let machine = Machine::new();
    let text = with_wifi("alice").replace('\n', "\r\n");
    machine.put("card/e3.toml", format!("\u{feff}{text}"));
    let report = machine.look();
    assert_eq!(
        report.taken.unwrap(),
        machine.path("card/e3.toml").display().to_string()
    );
    let copy = machine.copy().unwrap();
    assert!(copy.token.is_some(), "the agent needs it");
    assert!(
        !machine.read("state/e3.toml").contains(PASSWORD),
        "it does not need that"
    );
    let mode = |name: &str| {
        fs::metadata(machine.path(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("state/e3.toml"), 0o600);
    let wifi = machine.read("state-import/wifi/wpa_supplicant.conf");
    assert!(wifi.contains(&format!("psk=\"{PASSWORD}\"")), "{wifi}");
    assert_eq!(mode("state-import/wifi/wpa_supplicant.conf"), 0o600);
    let card = machine.read("card/e3.toml");
    assert_eq!(card.len(), text.len() + 3, "written over where it lay");
    assert!(
        !card.contains("e3-join-") && !card.contains(PASSWORD),
        "{card}"
    );
    assert!(
        card.contains("# mine") && card.contains("ssid = \"home\""),
        "{card}"
    );
    assert!(
        !machine
            .read("state-import/record.json")
            .contains("e3-join-")
    );
    // Looked at again, nothing happens; the password that is left stays.
    let before = machine.read("state-import/record.json");
    assert_eq!(machine.look().notes, []);
    assert_eq!(machine.read("state-import/record.json"), before);
    assert_eq!(machine.read("state-import/wifi/wpa_supplicant.conf"), wifi);
}

#[test]
fn a_burn_that_the_power_cut_is_finished_at_the_next_boot() {
    let machine = Machine::new();
    machine.put("card/e3.toml", with_wifi("alice"));
    let whole = machine.read("card/e3.toml");
    machine.look();
    let burnt = machine.read("card/e3.toml");
    // The record of the moment before the first byte was burnt, and a card with some bytes of both.
    let pending = Pending::new(machine.path("card/e3.toml"), &whole, &secrets::all(&whole));
    let path = record::path(&machine.path("state-import"));
    let mut record: Record = ledger::load(&path).unwrap().unwrap();
    record.pending.push(pending);
    ledger::save(&path, &record).unwrap();
    let half = whole.find("token").unwrap() + 40;
    machine.put(
        "card/e3.toml",
        [&burnt.as_bytes()[..half], &whole.as_bytes()[half..]].concat(),
    );
    assert_eq!(machine.problems(), [] as [String; 0]);
    assert_eq!(machine.read("card/e3.toml"), burnt);
    assert!(machine.copy().unwrap().token.is_some());
}

#[test]
fn every_bad_file_is_named_with_a_remedy_and_the_good_one_counts() {
    let machine = Machine::new();
    machine.put("etc/e3.toml", join_file("alice"));
    let good = join_file("bob");
    let line = |from: &str, to: &str| good.replacen(from, to, 1).into_bytes();
    let mut wrong_token = good.lines().map(str::to_owned).collect::<Vec<_>>();
    wrong_token[6] = "token = \"e3-join-nonsense\"".to_owned();
    let bad: Vec<(Vec<u8>, &str)> = vec![
        (
            line("fleet =", "fleat ="),
            "line 2, column 1: unknown field `fleat`",
        ),
        (line("name = \"bob\"", "name = \"bob"), "line 3, column 12"),
        (
            line("https://hub.example", "ftp://hub.example"),
            "is broken",
        ),
        (wrong_token.join("\n").into_bytes(), "line 7, column 9"),
        (
            format!("{good}[policy]\npublish = 7\n").into_bytes(),
            "line 8, column 1",
        ),
        (
            format!("{good}[wifi]\nssid = \"a\"\npassword = \"short\"\n").into_bytes(),
            "line 8, column 1: `password` must",
        ),
        (
            format!("{good}wifi = \"{PASSWORD}\"\n").into_bytes(),
            "line 8",
        ),
        (
            format!("{good}\"\x1b[2J\u{202e}\\\" = 1\n").into_bytes(),
            "line 8",
        ),
        (
            format!("{good}{}", "#".repeat(e3_client::join::LIMIT)).into_bytes(),
            "more than 524288 bytes",
        ),
        (b"\x7fELF\x02\x01\x01\0\0".to_vec(), "no UTF-8 text"),
        (
            "fleet".encode_utf16().flat_map(u16::to_le_bytes).collect(),
            "no UTF-8 text",
        ),
        (Vec::new(), "missing field `fleet`"),
        (
            format!("a = {}", "[".repeat(100_000)).into_bytes(),
            "is broken",
        ),
    ];
    for (bytes, words) in bad {
        machine.put("card/e3.toml", &bytes);
        let problems = machine.problems();
        assert_eq!(problems.len(), 1, "{words}: {problems:?}");
        assert!(problems[0].contains(words), "{words}: {problems:?}");
        assert!(problems[0].contains("card/e3.toml"), "{problems:?}");
        assert!(
            problems[0].contains(" Correct the file, or "),
            "{problems:?}"
        );
        assert_eq!(machine.name().as_deref(), Some("alice"), "{words}");
        assert_eq!(
            fs::read(machine.path("card/e3.toml")).unwrap(),
            bytes,
            "left as it is"
        );
    }
    assert!(
        machine
            .read("run-import/issue")
            .starts_with("E3 join file:\n")
    );
    // It is corrected, and picked up. The machine has not joined, so what is new counts.
    machine.put("card/e3.toml", &good);
    assert_eq!(machine.name().as_deref(), Some("alice"));
    let problems = machine.problems();
    assert_eq!(machine.name().as_deref(), Some("bob"));
    assert_eq!(
        problems,
        [] as [String; 0],
        "the one that had its time says nothing"
    );
}

#[test]
fn what_is_no_plain_file_is_not_followed_and_not_waited_for() {
    let machine = Machine::new();
    let card = machine.path("card/e3.toml");
    let secret = machine.path("secret.toml");
    fs::write(&secret, join_file("mallory")).unwrap();
    std::os::unix::fs::symlink(&secret, &card).unwrap();
    assert!(machine.problems()[0].contains("card/e3.toml is a symbolic link"));
    fs::remove_file(&card).unwrap();
    nix::unistd::mkfifo(&card, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(machine.problems()[0].contains("card/e3.toml is a pipe"));
    assert_eq!(machine.copy().map(|join| join.name), None);
    assert!(
        fs::read_to_string(secret).unwrap().contains("e3-join-"),
        "nothing was burnt"
    );
}

#[test]
fn user_data_that_are_not_ours_are_left_alone_and_ours_join() {
    let machine = Machine::new();
    let data = |text: &str| {
        machine.put(
            "metadata.json",
            serde_json::json!({ "user_data": text }).to_string(),
        );
    };
    for (text, name) in [
        ("#!/bin/sh\necho", "a script"),
        ("{ config, ... }: { }", "a Nix expression"),
        ("#cloud-config\n", "a configuration of cloud-init"),
    ] {
        data(text);
        let report = machine.look();
        assert_eq!(report.notes.len(), 1);
        let note = &report.notes[0];
        assert!(!note.is_problem && note.text.contains(name), "{note:?}");
    }
    machine.put("metadata.json", "{");
    assert!(machine.problems()[0].contains("it is not JSON"));
    machine.put("metadata.json", "{}");
    assert_eq!(machine.look().notes, []);
    data(&join_file("alice"));
    let report = machine.look();
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.text.contains("cannot be burnt")),
        "{report:?}"
    );
    assert_eq!(machine.name().as_deref(), Some("alice"));
    assert_eq!(machine.look().notes, [], "said once, not at each boot");
}

#[test]
fn two_that_disagree_are_both_named_and_the_order_decides() {
    let machine = Machine::new();
    machine.put("card/e3.toml", join_file("alice"));
    machine.put("etc/e3.toml", join_file("bob"));
    for _ in 0..2 {
        let problems = machine.problems();
        assert_eq!(machine.name().as_deref(), Some("alice"));
        let [problem] = &problems[..] else {
            panic!("{problems:?}")
        };
        assert!(
            problem.contains("card/e3.toml") && problem.contains("etc/e3.toml disagrees"),
            "{problem}"
        );
    }
    assert!(
        machine.read("etc/e3.toml").contains("e3-join-"),
        "what was not taken is not burnt"
    );
    fs::remove_file(machine.path("card/e3.toml")).unwrap();
    assert_eq!(machine.problems(), [] as [String; 0]);
    assert_eq!(machine.name().as_deref(), Some("bob"));
}

#[test]
fn twins_are_one_and_both_are_burnt() {
    let machine = Machine::new();
    for place in ["card/e3.toml", "etc/e3.toml"] {
        machine.put(place, join_file("alice"));
    }
    assert_eq!(machine.problems(), [] as [String; 0]);
    for place in ["card/e3.toml", "etc/e3.toml"] {
        assert!(!machine.read(place).contains("e3-join-"), "{place}");
    }
}

#[test]
fn users_of_one_computer_who_disagree_are_named_and_nobody_wins() {
    let machine = Machine::new();
    machine.put("users/alice/e3.toml", join_file("alice"));
    machine.put("users/bob/e3.toml", join_file("bob"));
    let problems = machine.problems();
    assert!(
        problems[0].contains("users/alice/e3.toml") && problems[0].contains("users/bob/e3.toml"),
        "{problems:?}"
    );
    assert_eq!(machine.name(), None);
    fs::remove_file(machine.path("users/alice/e3.toml")).unwrap();
    assert_eq!(machine.problems(), [] as [String; 0]);
    assert_eq!(machine.name().as_deref(), Some("bob"));
}

#[test]
fn a_machine_that_has_joined_is_not_moved_by_whoever_may_write_somewhere() {
    let machine = Machine::new();
    machine.put("card/e3.toml", join_file("alice"));
    machine.look();
    machine.put("state/joined.json", "{}");
    machine.put(
        "users/bob/e3.toml",
        join_file("alice") + "[policy]\npublish = true\n",
    );
    let problems = machine.problems();
    assert!(
        problems[0].contains("users/bob/e3.toml disagrees"),
        "{problems:?}"
    );
    assert!(machine.copy().unwrap().policy.is_none());
    // From where it was joined it can be.
    machine.put(
        "card/e3.toml",
        join_file("alice") + "[policy]\nthreshold = 2\n",
    );
    machine.look();
    assert!(machine.copy().unwrap().policy.is_some());
}

#[test]
fn a_lost_record_or_a_lost_copy_makes_no_new_party() {
    let machine = Machine::new();
    machine.put("card/e3.toml", join_file("alice"));
    machine.look();
    machine.put("state-import/record.json", "{");
    machine.look();
    assert_eq!(machine.name().as_deref(), Some("alice"));
    fs::remove_file(machine.path("state/e3.toml")).unwrap();
    machine.look();
    assert_eq!(
        machine.copy().unwrap().token,
        None,
        "the token was burnt on the card"
    );
}

#[test]
fn a_full_or_missing_disk_is_said_and_nothing_is_burnt() {
    let machine = Machine::new();
    machine.put("card/e3.toml", join_file("alice"));
    fs::remove_dir(machine.path("state")).unwrap();
    let problems = machine.problems();
    assert!(
        problems[0].contains("cannot be taken") && problems[0].contains("Make room"),
        "{problems:?}"
    );
    assert!(machine.read("card/e3.toml").contains("e3-join-"));
    fs::create_dir(machine.path("state")).unwrap();
    assert_eq!(machine.problems(), [] as [String; 0]);
    assert_eq!(machine.name().as_deref(), Some("alice"));
}

const SSH: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBAcQFIbHsTzTGiKCNSJlSqk4CHvp8UEAGGHHfkxzRSu alice";

fn with_ssh(name: &str) -> String {
    format!("ssh_keys = [\"{SSH}\"]\n{}", join_file(name))
}

#[test]
fn who_may_log_in_is_what_the_join_file_says_that_is_followed() {
    let machine = Machine::new();
    let keys = machine.path("state-import/ssh/root");
    machine.put("card/e3.toml", with_ssh("alice"));
    assert_eq!(machine.problems(), [] as [String; 0]);
    assert_eq!(fs::read_to_string(&keys).unwrap(), format!("{SSH}\n"));
    // sshd takes no keys that somebody else could have written.
    for path in [&keys, keys.parent().unwrap()] {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
    // It stays when the file is looked at again, and goes with a file that names nobody.
    machine.look();
    assert!(keys.exists());
    machine.put("card/e3.toml", join_file("alice"));
    machine.look();
    assert!(!keys.exists());
}

#[test]
fn a_file_that_does_not_count_lets_nobody_in() {
    let machine = Machine::new();
    machine.put("card/e3.toml", join_file("alice"));
    machine.look();
    fs::write(Ledger::at(&machine.settings.state).joined(), "{}").unwrap();
    // The users of the computer are not its owner.
    machine.put("users/bob/e3.toml", with_ssh("alice"));
    let problems = machine.problems();
    assert!(problems[0].contains("disagrees"), "{problems:?}");
    assert!(!machine.path("state-import/ssh/root").exists());
}

#[test]
fn an_image_without_ssh_says_that_it_takes_no_keys() {
    let mut machine = Machine::new();
    machine.settings.ssh = false;
    machine.put("card/e3.toml", with_ssh("alice"));
    let notes = machine.look().notes;
    let says = |note: &report::Note| note.text.contains("does not take from a join file");
    assert!(notes.iter().any(says), "{notes:?}");
    assert!(!machine.path("state-import/ssh/root").exists());
}

#[test]
fn keys_that_are_none_or_act_are_refused_with_their_line() {
    for (key, says) in [
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "private key"),
        ("command=\\\"rm\\\" ssh-ed25519 AAAA", "begins with"),
        ("ssh-ed25519 AAAA", "damaged"),
    ] {
        let machine = Machine::new();
        let text = format!("ssh_keys = [\"{key}\"]\n{}", join_file("alice"));
        machine.put("card/e3.toml", text);
        let problems = machine.problems();
        assert!(
            problems[0].contains("line 1") && problems[0].contains(says),
            "{problems:?}"
        );
        assert_eq!(machine.name(), None);
    }
}
