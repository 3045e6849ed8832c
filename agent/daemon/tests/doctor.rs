//! `e3-agent doctor` on machines that have really something wrong with them.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use e3_agent::config::Settings;
use e3_agent::import::Folders;
use e3_agent::import::report::Report;
use e3_core::checkup::{self, Check, State};
use e3_core::key::SecretKey;

/// A machine: settings, and a join file for a hub.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new(hub: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let owner = SecretKey::from_seed(&[1; 32]).public();
        let root = "0".repeat(64);
        let join = format!(
            "fleet = \"demo\"\nhub = \"{hub}\"\nroot = \"sha256:{root}\"\nname = \"alice\"\nowner = \"{owner}\"\n"
        );
        fs::write(at("e3.toml"), join).unwrap();
        let config = format!(
            "state = {:?}\nrun = {:?}\njoin = [{:?}]\npolicy = {:?}\n",
            at("state"),
            at("run"),
            at("e3.toml"),
            at("policy.toml")
        );
        fs::write(at("agent.toml"), config).unwrap();
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Adds a line to the settings.
    fn set(&self, line: &str) {
        let path = self.path().join("agent.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{text}{line}\n")).unwrap();
    }

    /// What is found, by the real program.
    fn doctor(&self, before: &[&str], more: &[&str]) -> Vec<Check> {
        let config = self.path().join("agent.toml");
        let words = [
            env!("CARGO_BIN_EXE_e3-agent"),
            "--json",
            "--config",
            config.to_str().unwrap(),
            "doctor",
        ];
        let line = [before, &words, more].concat();
        let output = Command::new(line[0]).args(&line[1..]).output();
        read(&output.unwrap_or_else(|error| panic!("{line:?}: {error}")))
    }
}

fn read(output: &Output) -> Vec<Check> {
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {output:?}");
    });
    let checks: Vec<Check> = serde_json::from_value(json["checks"].clone()).unwrap();
    let is_well = checkup::count(&checks, State::Fail) == 0;
    assert_eq!(
        (output.status.success(), json["ok"].as_bool()),
        (is_well, Some(is_well))
    );
    checks
}

/// What was found about `what`.
fn of(checks: &[Check], what: &str) -> Vec<Check> {
    checks
        .iter()
        .filter(|check| check.what == what)
        .cloned()
        .collect()
}

/// The screen of some of the checks, as it is on every machine.
fn screen(machine: &Machine, checks: &[Check]) -> String {
    checkup::screen(checks).replace(machine.path().to_str().unwrap(), "MACHINE")
}

/// A hub that answers everything with this date, or holds its tongue.
fn hub(date: Option<String>) -> String {
    answering("200 OK", date)
}

/// The same with another status.
fn answering(status: &'static str, date: Option<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some(date) = &date else {
                held.push(stream);
                continue;
            };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let answer = format!(
                "HTTP/1.1 {status}\r\ndate: {date}\r\netag: \"x\"\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}"
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

/// So many seconds from now, as HTTP writes it.
fn date(seconds: i64) -> String {
    let at = e3_client::clock::now().unix() + seconds;
    let output = Command::new("date")
        .args(["-u", &format!("--date=@{at}"), "+%a, %d %b %Y %H:%M:%S GMT"])
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_machine_whose_agent_does_not_run_is_told_from_its_network() {
    let machine = Machine::new(&hub(Some(date(0))));
    let checks = machine.doctor(&[], &[]);
    insta::assert_snapshot!(screen(&machine, &of(&checks, "agent")));
    for what in ["hub", "time", "disk", "python"] {
        let state = of(&checks, what)
            .iter()
            .map(|check| check.state)
            .max_by_key(|state| *state as u8);
        assert_eq!(state, Some(State::Ok), "{what}: {checks:?}");
    }
    // An address needs no name server, and a laptop no systemd.
    assert!(of(&checks, "dns").is_empty() && of(&checks, "systemd").is_empty());
}

#[test]
fn a_clock_that_differs_from_the_hubs_is_told() {
    for (seconds, state, words) in [
        (300, State::Warn, "behind the hub's"),
        (-300, State::Warn, "ahead of the hub's"),
        (7 * 86_400, State::Fail, "behind the hub's"),
        (-7 * 86_400, State::Fail, "ahead of the hub's"),
    ] {
        let checks = Machine::new(&hub(Some(date(seconds)))).doctor(&[], &[]);
        let [time] = &of(&checks, "time")[..] else {
            panic!("{checks:?}");
        };
        assert_eq!(time.state, state, "{time:?}");
        assert!(
            time.found.ends_with(words) && time.remedy.is_some(),
            "{time:?}"
        );
    }
}

#[test]
fn a_hub_that_is_not_there_and_one_that_says_nothing_are_told_in_time() {
    // Nobody listens on port 1.
    let machine = Machine::new("http://127.0.0.1:1");
    let checks = machine.doctor(&[], &[]);
    insta::assert_snapshot!(screen(&machine, &of(&checks, "hub")));
    let machine = Machine::new(&hub(None));
    let begin = Instant::now();
    let checks = machine.doctor(&[], &[]);
    assert!(
        begin.elapsed() < Duration::from_secs(30),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(of(&checks, "hub")[0].state, State::Fail, "{checks:?}");
    // The others were not held up.
    assert_eq!(of(&checks, "python")[0].state, State::Ok, "{checks:?}");
}

#[test]
fn a_name_that_no_name_server_knows_is_told() {
    // RFC 6761: nobody will ever have that name.
    let checks = Machine::new("http://hub.invalid:8420").doctor(&[], &[]);
    let dns = &of(&checks, "dns")[0];
    assert_eq!(dns.state, State::Fail, "{dns:?}");
    assert!(dns.found.contains("hub.invalid"), "{dns:?}");
}

#[test]
fn a_disk_that_is_full_or_read_only_is_told() {
    let machine = Machine::new("http://127.0.0.1:1");
    let state = machine.path().join("state");
    fs::create_dir(&state).unwrap();
    // In a mount namespace of its own, which needs no root but the kernel's leave.
    let own = if nix::unistd::geteuid().is_root() {
        "-m"
    } else {
        "-rm"
    };
    let mount = |options: &str| {
        format!(
            "mount -t tmpfs -o {options} e3-doctor {} && exec \"$@\"",
            state.display()
        )
    };
    let look = |options: &str| {
        let script = mount(options);
        let checks = machine.doctor(&["unshare", own, "sh", "-c", &script, "sh"], &[]);
        let is_state = |check: &Check| check.found.contains("/state");
        of(&checks, "disk")
            .into_iter()
            .filter(is_state)
            .collect::<Vec<_>>()
    };
    let checks = [
        look("size=8m"),
        look("size=100m"),
        look("size=4g,nr_inodes=10"),
        look("size=4g,ro"),
    ];
    insta::assert_snapshot!(screen(&machine, &checks.concat()));
}

#[test]
fn a_machine_without_a_network_or_without_a_way_out_is_told() {
    let machine = Machine::new("http://127.0.0.1:1");
    // In a network namespace of its own, where nothing is but what the script makes.
    let own = if nix::unistd::geteuid().is_root() {
        "-n"
    } else {
        "-rn"
    };
    let look = |script: &str| {
        let script = format!("{script} exec \"$@\"");
        let checks = machine.doctor(&["unshare", own, "sh", "-ec", &script, "sh"], &[]);
        of(&checks, "network")
    };
    let link = "ip link add name e3a type veth peer name e3b; ip address add 192.0.2.7/24 dev e3a; ip link set e3a up; ip link set e3b up;";
    insta::assert_snapshot!(screen(&machine, &[look(""), look(link)].concat()));
}

#[test]
fn a_problem_of_the_importer_is_told() {
    let machine = Machine::new("http://127.0.0.1:1");
    let settings = Settings::load(&machine.path().join("agent.toml")).unwrap();
    let folder = Folders::of(&settings).run;
    fs::create_dir_all(&folder).unwrap();
    let mut report = Report::default();
    report.problem("there is no medium", "Put the card in.");
    report.hint("this is no problem");
    report.write(&folder).unwrap();
    let checks = of(&machine.doctor(&[], &[]), "join file");
    insta::assert_snapshot!(screen(&machine, &checks));
}

#[test]
fn a_hub_that_has_no_fleet_is_told() {
    let machine = Machine::new(&answering("404 Not Found", Some(date(0))));
    let hub = &of(&machine.doctor(&[], &[]), "hub")[0];
    assert_eq!(hub.state, State::Fail, "{hub:?}");
    assert!(
        hub.remedy
            .as_ref()
            .is_some_and(|remedy| remedy.contains("`e3 hub serve` once")),
        "{hub:?}"
    );
}

#[test]
fn a_python_or_module_that_is_not_there_is_told() {
    let machine = Machine::new("http://127.0.0.1:1");
    let checks = machine.doctor(&[], &["--module", "json", "--module", "no_such_module"]);
    insta::assert_snapshot!("modules", screen(&machine, &of(&checks, "module")));
    machine.set("python = \"/nonexistent/python3\"");
    let checks = machine.doctor(&[], &[]);
    insta::assert_snapshot!("python", screen(&machine, &of(&checks, "python")));
}

#[test]
fn settings_and_join_files_that_are_broken_or_missing_are_told() {
    let machine = Machine::new("http://127.0.0.1:1");
    fs::write(machine.path().join("e3.toml"), "fleet = 1\n").unwrap();
    let broken = of(&machine.doctor(&[], &[]), "join file");
    fs::remove_file(machine.path().join("e3.toml")).unwrap();
    let missing = of(&machine.doctor(&[], &[]), "join file");
    machine.set("nonsense = 1");
    let settings = of(&machine.doctor(&[], &[]), "settings");
    assert_eq!(settings[0].state, State::Fail, "{settings:?}");
    assert!(settings[0].found.contains("nonsense"), "{settings:?}");
    insta::assert_snapshot!(screen(&machine, &[broken, missing].concat()));
}

#[test]
fn a_machine_without_systemd_that_wants_it_is_told() {
    let machine = Machine::new("http://127.0.0.1:1");
    machine.set("supervisor = \"systemd\"");
    // Wherever the test runs: there is no systemctl in that folder.
    let checks = machine.doctor(&["env", "PATH=/nonexistent"], &[]);
    let systemd = of(&checks, "systemd");
    assert!(systemd[0].found.starts_with("systemctl:"), "{checks:?}");
    insta::assert_snapshot!(screen(&machine, &systemd));
}
