//! The binary itself: signals, pipes, files and their modes, one JSON object.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// `e3`, with nothing of the person who runs the tests around it.
fn e3(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_e3"));
    command.current_dir(folder).env_clear().env("HOME", folder);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(folder: &Path, line: &str) -> Output {
    e3(folder).args(line.split(' ')).output().unwrap()
}

fn json(output: &Output) -> Value {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "one object on one line: {text}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

/// Everything below `folder` that is only there while something is written.
fn half_written(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(".new-") || name.starts_with(".e3-new-") {
            found.push(entry.path());
        }
        if entry.path().is_dir() {
            found.extend(half_written(&entry.path()));
        }
    }
    found
}

#[test]
fn keys_are_private_and_never_overwritten() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(".config/e3/key.pem");
    let new = json(&run(home.path(), "key new --json"));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&path).unwrap();
    let again = run(home.path(), "key new --json");
    assert_eq!(
        (again.status.code(), json(&again)["error"]["kind"].as_str()),
        (Some(2), Some("exists"))
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(
        json(&run(home.path(), "key show --json"))["key"],
        new["key"]
    );
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let exposed = run(home.path(), "key show");
    let text = String::from_utf8(exposed.stderr).unwrap();
    assert!(
        exposed.status.code() == Some(2) && text.contains("chmod 600"),
        "{text}"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let home = tempfile::tempdir().unwrap();
    for line in ["completions bash", "--help", "session --help"] {
        let mut child = e3(home.path()).args(line.split(' ')).spawn().unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(
            ended.status.success() && text.is_empty(),
            "{line}: {:?} {text}",
            ended.status
        );
    }
}

#[test]
fn a_hub_starts_from_the_folder_serves_and_stops_when_it_is_told_to() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    assert!(run(here, "key new").status.success());
    assert!(run(here, "fleet new demo").status.success());
    let serve = "hub serve --json --fleet demo --listen 127.0.0.1:0";
    let mut hub = e3(here).args(serve.split(' ')).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(hub.stderr.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ready: Value =
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let url = ready["hub"].as_str().unwrap().to_owned();
    let file = here.join("demo/fleet.toml");
    let text = std::fs::read_to_string(&file)
        .unwrap()
        .replace("http://127.0.0.1:8420", &url);
    e3_client::files::write_atomic(&file, text.as_bytes()).unwrap();
    let list = run(here, "session list --json --fleet demo");
    assert_eq!(
        (list.status.code(), &json(&list)["head"]),
        (Some(0), &1.into())
    );
    let renewed = run(here, "hub renew --json --fleet demo --days 30");
    assert_eq!(json(&renewed)["head"], 2);
    signal(&hub, Signal::SIGTERM);
    let ended = hub.wait_with_output().unwrap();
    assert_eq!(
        (ended.status.code(), &json(&ended)["stopped"]),
        (Some(0), &true.into())
    );
    let gone = run(here, "session list --json --fleet demo");
    assert_eq!(
        (gone.status.code(), json(&gone)["error"]["kind"].as_str()),
        (Some(3), Some("hub-unreachable"))
    );
    assert!(half_written(here).is_empty());
}

/// The relay's program: `E3_LINK`, or the one that was built beside this test.
fn link() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_e3")).with_file_name("e3-link");
    let path = std::env::var_os("E3_LINK").map_or(beside, PathBuf::from);
    assert!(
        path.is_file(),
        "there is no {}: build it with `cargo build -p e3-link`, or name one in E3_LINK",
        path.display()
    );
    path
}

#[test]
fn a_hub_brings_its_relay_and_takes_it_along_when_it_is_killed() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    assert!(run(here, "key new").status.success());
    assert!(
        run(here, "fleet new demo --hub http://127.0.0.1:1")
            .status
            .success()
    );
    let line = "hub serve --json --fleet demo --listen 127.0.0.1:0 --relay-listen 127.0.0.1:0 --relay-discovery 0 --relay";
    let serve = || {
        let mut command = e3(here);
        command.args(line.split(' ')).arg("--relay-program");
        command
    };
    let mut hub = serve().arg(link()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(hub.stderr.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    let ready: Value =
        serde_json::from_str(&first).unwrap_or_else(|error| panic!("{error}: {first}"));
    let relay = &ready["relay"];
    // By its own authority, for the host of fleet.toml's hub.
    assert_eq!(relay["url"], "https://127.0.0.1");
    assert_eq!(relay["ca"], "demo/relay-ca.pem");
    let at: SocketAddr = relay["listen"].as_str().unwrap().parse().unwrap();
    TcpStream::connect(at).unwrap();
    signal(&hub, Signal::SIGKILL);
    hub.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(at).is_ok() {
        assert!(Instant::now() < deadline, "the relay outlives its hub");
        std::thread::sleep(Duration::from_millis(20));
    }

    // Somebody else listens there.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = taken.local_addr().unwrap().to_string();
    let line = format!(
        "hub serve --json --fleet demo --listen 127.0.0.1:0 --relay --relay-listen {place} --relay-discovery 0 --relay-program"
    );
    let refused = e3(here).args(line.split(' ')).arg(link()).output().unwrap();
    let error = json(&refused)["error"].clone();
    assert_eq!(
        (refused.status.code(), &error["kind"]),
        (Some(2), &"relay".into())
    );
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains(&place) && message.contains("in use"),
        "{message}"
    );

    let missing = serve().arg("nowhere").output().unwrap();
    assert_eq!(json(&missing)["error"]["kind"], "no-link");
}

#[test]
fn a_fleet_that_has_chosen_nothing_has_its_relay_beside_the_hub_or_does_without() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    assert!(run(here, "key new").status.success());
    // Only this machine reaches such a hub: there is nobody to meet.
    let made = json(&run(here, "fleet new alone --json"));
    assert_eq!(made["relay"], Value::Null);
    let made = json(&run(
        here,
        "fleet new wide --json --hub http://hub.example:8420",
    ));
    assert_eq!(made["relay"], "https://hub.example:8421");
    let made = json(&run(
        here,
        "fleet new off --json --mesh none --hub http://hub.example:8420",
    ));
    assert_eq!(made["relay"], Value::Null);

    // The relay's port follows from the hub's.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let relay_port = free.local_addr().unwrap().port();
    drop(free);
    let hub = format!("http://127.0.0.1:{}", relay_port - 1);
    let made = run(
        here,
        &format!("fleet new demo --json --mesh link --hub {hub}"),
    );
    assert_eq!(
        json(&made)["relay"],
        format!("https://127.0.0.1:{relay_port}")
    );
    let serve = |more: &str| {
        let line = format!("hub serve --json --fleet demo --listen 127.0.0.1:0 {more}");
        let mut hub = e3(here).args(line.split_whitespace()).spawn().unwrap();
        // What the relay says comes before, if it cannot serve.
        let mut lines = BufReader::new(hub.stderr.take().unwrap()).lines();
        let first = lines.find_map(|line| line.ok().filter(|line| line.starts_with('{')));
        let ready: Value = serde_json::from_str(&first.unwrap()).unwrap();
        signal(&hub, Signal::SIGTERM);
        assert!(hub.wait().unwrap().success());
        ready
    };
    let program = format!("--relay-discovery 0 --relay-program {}", link().display());
    let ready = serve(&program);
    assert_eq!(
        ready["relay"]["url"],
        format!("https://127.0.0.1:{relay_port}"),
        "{ready}"
    );
    assert_eq!(ready["relay"]["listen"], format!("127.0.0.1:{relay_port}"));

    // The hub serves all the same where there can be no relay, and says why.
    let taken = TcpListener::bind(("127.0.0.1", relay_port)).unwrap();
    let why = serve(&program)["no_relay"].to_string();
    assert!(why.contains("in use"), "{why}");
    drop(taken);
    let why = serve("--relay-program nowhere")["no_relay"].to_string();
    assert!(why.contains("nowhere"), "{why}");
    let ready = serve("--no-relay");
    assert!(ready.get("relay").is_none() && ready.get("no_relay").is_none());

    // Without the authority that machines expect nobody would believe a relay.
    std::fs::remove_dir_all(here.join("demo/keys/hub-tls")).unwrap();
    let why = serve(&program)["no_relay"].to_string();
    assert!(why.contains("hub-tls"), "{why}");
    assert!(!here.join("demo/keys/hub-tls").exists());
    let refused = run(
        here,
        "hub serve --json --fleet demo --listen 127.0.0.1:0 --relay",
    );
    assert_eq!(json(&refused)["error"]["kind"], "relay");
}

#[test]
fn ctrl_c_ends_a_command_that_waits() {
    let home = tempfile::tempdir().unwrap();
    let here = home.path();
    assert!(run(here, "key new").status.success());
    // Somebody listens there and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    assert!(
        run(here, &format!("fleet new demo --hub {url}"))
            .status
            .success()
    );
    let child = e3(here)
        .args(["session", "list", "--json", "--fleet", "demo"])
        .spawn()
        .unwrap();
    // It has asked: so it waits now.
    let (_connection, _) = silent.accept().unwrap();
    signal(&child, Signal::SIGINT);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(
        (ended.status.code(), json(&ended)["error"]["kind"].as_str()),
        (Some(130), Some("interrupted"))
    );
    assert!(half_written(here).is_empty());
}

#[test]
fn what_a_file_is_called_acts_on_no_terminal() {
    let home = tempfile::tempdir().unwrap();
    let name = "a\u{1b}[2J\u{202e}.img";
    e3_client::files::write_private(&home.path().join(name), b"nothing").unwrap();
    let refused = e3(home.path())
        .args(["image", "flash", name, "--to", "/dev/null"])
        .output()
        .unwrap();
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(
        text.contains("a\u{fffd}[2J\u{fffd}.img") && !text.contains('\u{1b}'),
        "{text:?}"
    );
}

#[test]
fn manual_pages_come_with_every_command() {
    let home = tempfile::tempdir().unwrap();
    let pages = json(&run(home.path(), "man --json pages"));
    let pages = pages["pages"].as_array().unwrap();
    for page in [
        "e3.1",
        "e3-session-push.1",
        "e3-hub-serve.1",
        "e3-receipts-verify.1",
    ] {
        assert!(
            pages.iter().any(|have| have == page) && home.path().join("pages").join(page).is_file(),
            "{page}"
        );
    }
}
