//! Whole agents in this process, on machines that lack this or that; the hub is a folder. `state` breaks what
//! they have kept, `newer` has it written by a newer agent.

mod newer;
mod state;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use e3_core::degraded::Degraded;
use e3_core::digest::Digest;
use e3_core::document::{Head, Role, Root, RootRef};
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::agent;
use crate::status::Status;
use crate::update::Entered;

/// Only a test that fails waits so long.
const DEADLINE: Duration = Duration::from_secs(30);

/// A machine, the hub of its fleet, and its agent while it runs.
struct Machine {
    folder: tempfile::TempDir,
    settings: Settings,
    root: Digest,
    running: Option<Running>,
}

/// What stops an agent, and its end.
type Running = (
    oneshot::Sender<()>,
    JoinHandle<Result<agent::Ended, AgentError>>,
);

fn key() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

impl Machine {
    /// A machine that nobody has told anything.
    fn new() -> Self {
        e3_client::tls::install();
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let config = at("agent.toml");
        let text = format!(
            "state = {:?}\nrun = {:?}\njoin = [{:?}]\npolicy = {:?}\nlisten = \"127.0.0.1:0\"\nindex = \"\"\n",
            at("state"),
            at("run"),
            at("e3.toml"),
            at("policy.toml")
        );
        fs::write(&config, text).unwrap();
        let settings = Settings::load(&config).unwrap();
        let root = publish(&at("hub"), "fleet");
        Self {
            folder,
            settings,
            root,
            running: None,
        }
    }

    /// One that has been ready.
    async fn served() -> Self {
        let mut machine = Self::new();
        machine.join();
        machine.start();
        machine.is("ready").await;
        machine.stop().await;
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn state(&self, name: &str) -> PathBuf {
        self.settings.state.join(name)
    }

    fn join_text(&self) -> String {
        format!(
            "fleet = \"fleet\"\nhub = \"file://{}\"\nroot = \"{}\"\nname = \"alice\"\nowner = \"{}\"\n",
            self.path("hub").display(),
            self.root,
            key().public()
        )
    }

    fn join(&self) {
        fs::write(self.path("e3.toml"), self.join_text()).unwrap();
    }

    fn start(&mut self) {
        let (stop, stopped) = oneshot::channel();
        let (settings, config) = (self.settings.clone(), self.path("agent.toml"));
        let run = async move {
            let ended = async { drop(stopped.await) };
            agent::run(settings, &config, Entered::default(), ended).await
        };
        self.running = Some((stop, tokio::spawn(run)));
    }

    async fn stop(&mut self) {
        let (stop, running) = self.running.take().unwrap();
        drop(stop);
        running.await.unwrap().unwrap();
    }

    /// Waits until the agent says that it is in this phase, as anybody would ask it.
    async fn is(&self, phase: &str) -> Status {
        self.until(phase, |status| status.phase.name() == phase)
            .await
    }

    /// Waits until that holds.
    async fn until(&self, what: &str, holds: impl Fn(&Status) -> bool) -> Status {
        let begin = Instant::now();
        loop {
            let status = Status::ask(&self.settings.run).await;
            if let Ok(status) = &status
                && holds(status)
            {
                return status.clone();
            }
            if let Some((_, running)) = &self.running {
                assert!(!running.is_finished(), "the agent has ended");
            }
            assert!(begin.elapsed() < DEADLINE, "never {what}; last: {status:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until it is degraded, and tells why.
    async fn is_degraded(&self) -> Degraded {
        match self.is("degraded").await.phase {
            Phase::Degraded { reason } => reason,
            other => panic!("{other:?}"),
        }
    }

    /// Comes up once, and tells how that went; the board and everything else is let go.
    async fn try_once(&self) -> Result<(), Degraded> {
        let attempted = attempt(&self.settings, &Board::default(), &mut None).await;
        attempted.map(drop).map_err(|error| trouble::of(&error))
    }
}

/// Writes a root and a head of that fleet where a static hub has them; returns the root's digest.
fn publish(hub: &Path, fleet: &str) -> Digest {
    let now = e3_client::clock::now();
    let role = |n: u8| Role {
        keys: vec![SecretKey::from_seed(&[n; 32]).public()],
        threshold: 1,
    };
    let root = Root {
        fleet: fleet.parse().unwrap(),
        version: 1,
        epoch: 1,
        signed: now,
        root: role(1),
        head: role(1),
        session: role(1),
        release: role(2),
    };
    let envelope = Envelope::sign(&root, &[&key()]).unwrap();
    let digest = envelope.digest();
    fs::create_dir_all(hub.join("root")).unwrap();
    fs::write(hub.join("root/1.json"), envelope.to_bytes()).unwrap();
    head(hub, fleet, digest, 7);
    digest
}

fn head(hub: &Path, fleet: &str, root: Digest, counter: u64) {
    let now = e3_client::clock::now();
    let head = Head {
        fleet: fleet.parse().unwrap(),
        epoch: 1,
        counter,
        signed: now,
        expires: now.plus(3600),
        root: RootRef {
            version: 1,
            digest: root,
        },
        sessions: Vec::new(),
        revoked: Vec::new(),
        release: None,
        meshes: Vec::new(),
    };
    let envelope = Envelope::sign(&head, &[&key()]).unwrap();
    fs::write(hub.join("head.json"), envelope.to_bytes()).unwrap();
}

#[tokio::test]
async fn a_join_file_is_waited_for_its_mistakes_are_shown_and_it_is_picked_up() {
    let mut machine = Machine::new();
    machine.start();
    let status = machine.is("waiting-for-join-file").await;
    let place = machine.path("e3.toml").display().to_string();
    assert!(status.screen().contains(&place), "{}", status.screen());
    assert_eq!(status.known.party, None);
    let broken = format!("{}tokn = \"e3-join-secret\"\n", machine.join_text());
    fs::write(machine.path("e3.toml"), broken).unwrap();
    let begin = Instant::now();
    let problem = loop {
        let phase = machine.is("waiting-for-join-file").await.phase;
        if !phase.reason().is_empty() {
            break phase.reason();
        }
        assert!(begin.elapsed() < DEADLINE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(
        problem.contains(&format!(
            "{place} is broken: line 6, column 1: unknown field `tokn`"
        )),
        "{problem}"
    );
    assert!(!problem.contains("secret"), "{problem}");
    machine.join();
    let status = machine.is("ready").await;
    assert_eq!(status.known.name.unwrap().as_str(), "alice");
    machine.stop().await;
}

/// None of them is believed, none of them ends the agent or writes to a screen, and a good one is picked up after each.
#[tokio::test]
async fn hostile_join_files_are_named_and_do_no_harm() {
    let mut machine = Machine::new();
    let good = machine.join_text();
    let long = format!("{good}# {}\n", "x".repeat(1 << 20));
    let deep = format!("{good}policy = {}\n", "[".repeat(100_000));
    let screen = good.replace(
        "name = \"alice\"",
        "name = \"a\\u001b[2J\\nphase    ready\"",
    );
    let elsewhere = good.replace("hub = \"file://", "hub = \"gopher://user:e3-secret@");
    let twice = format!("{good}fleet = \"other\"\n");
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("no text", vec![0xff; 100]),
        ("cut off", good.as_bytes()[..good.len() / 2].to_vec()),
        ("endless", long.into_bytes()),
        ("deep", deep.into_bytes()),
        ("acting on a terminal", screen.into_bytes()),
        ("with another kind of hub", elsewhere.into_bytes()),
        ("that says two things", twice.into_bytes()),
    ] {
        fs::write(machine.path("e3.toml"), bytes).unwrap();
        machine.start();
        let begin = Instant::now();
        let status = loop {
            let status = machine.is("waiting-for-join-file").await;
            if !status.phase.reason().is_empty() {
                break status;
            }
            assert!(begin.elapsed() < DEADLINE, "{what}: never named");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let shown = status.screen();
        assert!(shown.contains("e3.toml"), "{what}: {shown}");
        assert!(
            shown.lines().all(|line| line.len() < 1000),
            "{what}: {shown}"
        );
        assert!(
            !shown.contains('\x1b') && !shown.contains("secret"),
            "{what}: {shown}"
        );
        assert!(!machine.state("trust.json").exists(), "{what}");
        machine.stop().await;
    }
    machine.join();
    machine.start();
    machine.is("ready").await;
    machine.stop().await;
}

#[tokio::test]
async fn a_hub_that_is_not_there_yet_is_waited_for_and_a_corrected_join_file_is_used() {
    let mut machine = Machine::new();
    let nobody = machine.join_text().replace("/hub\"", "/none\"");
    fs::write(machine.path("e3.toml"), nobody).unwrap();
    machine.start();
    let begin = Instant::now();
    while machine
        .is("meeting-the-fleet")
        .await
        .phase
        .reason()
        .is_empty()
    {
        assert!(begin.elapsed() < DEADLINE);
    }
    machine.join();
    machine.is("ready").await;
    machine.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_named_and_taken_over_when_it_is_free() {
    let mut machine = Machine::new();
    machine.join();
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    machine.settings.listen.clone_from(&address);
    machine.start();
    let reason = machine.is_degraded().await;
    assert!(
        matches!(&reason, Degraded::CannotListen { address: named, .. } if *named == address),
        "{reason:?}"
    );
    drop(holder);
    machine.is("ready").await;
    machine.stop().await;
}

#[tokio::test]
async fn a_state_folder_that_cannot_be_used_is_named_and_used_when_it_can() {
    for part in ["", "sessions", "gate"] {
        let mut machine = Machine::new();
        machine.join();
        let path = machine.settings.state.join(part);
        let path = path.components().as_path();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "a file").unwrap();
        machine.start();
        let reason = machine.is_degraded().await;
        assert!(matches!(reason, Degraded::Disk { .. }), "{part}: {reason}");
        fs::remove_file(path).unwrap();
        machine.is("ready").await;
        machine.stop().await;
    }
}

#[tokio::test]
async fn a_join_file_of_another_fleet_or_root_is_named() {
    let mut machine = Machine::served().await;
    let other = machine
        .join_text()
        .replace("fleet = \"fleet\"", "fleet = \"other\"");
    fs::write(machine.path("e3.toml"), other).unwrap();
    machine.start();
    assert!(matches!(
        machine.is_degraded().await,
        Degraded::OtherFleet { .. }
    ));
    machine.join();
    machine.is("ready").await;
    machine.stop().await;
    let mut machine = Machine::new();
    let pinned = machine.root.to_string();
    let wrong = machine
        .join_text()
        .replace(&pinned, &Digest::of(b"other").to_string());
    fs::write(machine.path("e3.toml"), wrong).unwrap();
    machine.start();
    assert!(matches!(
        machine.is_degraded().await,
        Degraded::WrongRoot { .. }
    ));
    machine.join();
    machine.is("ready").await;
    machine.stop().await;
}

#[tokio::test]
async fn broken_settings_are_said_until_they_are_corrected() {
    let machine = Machine::new();
    let config = machine.path("agent.toml");
    let good = fs::read(&config).unwrap();
    fs::write(&config, "lisen = 1\n").unwrap();
    let run = machine.path("run");
    let waiting = tokio::spawn({
        let (config, run) = (config.clone(), run.clone());
        async move { agent::settings(&config, &run).await }
    });
    let reason = machine.is_degraded().await;
    assert!(
        matches!(&reason, Degraded::Settings { detail } if detail.contains("line 1, column 1")),
        "{reason:?}"
    );
    fs::write(&config, good).unwrap();
    let settings = tokio::time::timeout(DEADLINE, waiting)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(settings.state, machine.settings.state);
}
