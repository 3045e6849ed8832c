//! State that a newer agent has left behind, as after an update that was taken back: each file is named and left as it
//! is, and taken up again when a newer agent, or a copy, makes it readable.

use e3_core::document::SessionRef;
use e3_core::session::Checkpoint;
use e3_core::update::Trouble;
use e3_testkit::sim::manifest;
use serde_json::{Value, json};

use super::*;
use crate::session::conclude::Facts;
use crate::session::folder::Folder;

/// What a newer agent may do to a file: raise its format, or write something that this one does not know.
fn newer(good: &[u8]) -> [Vec<u8>; 2] {
    let file = || serde_json::from_slice::<Value>(good).unwrap();
    let (mut format, mut field) = (file(), file());
    format["format"] = json!(2);
    field["writer"] = json!("99.0.0");
    field["unheard_of"] = json!({ "by": "this agent" });
    [format, field].map(|file| serde_json::to_vec(&file).unwrap())
}

impl Machine {
    /// Puts `newer` in place of a file and starts the agent, which says so and leaves the file as it is.
    async fn meets(&mut self, name: &str, newer: &[u8]) {
        let path = self.state(name);
        files::write_private(&path, newer).unwrap();
        self.start();
        match self.is_degraded().await {
            Degraded::StateNewer { path: named, .. } => {
                assert_eq!(named, path.display().to_string());
            }
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(fs::read(&path).unwrap(), newer, "{name}");
    }

    /// The same, and then the file as it was.
    async fn meets_and_recovers(&mut self, name: &str, newer: &[u8]) {
        let good = fs::read(self.state(name)).unwrap();
        self.meets(name, newer).await;
        files::write_private(&self.state(name), &good).unwrap();
        self.is("ready").await;
        self.stop().await;
    }

    /// Gives it a session that it had just taken when it was stopped; returns the session's folder.
    fn keeps_a_session(&self) -> Folder {
        let ledger = Ledger::at(&self.settings.state);
        let mut session = manifest(2);
        session.fleet = "fleet".parse().unwrap();
        session.parties[0].key = files::read_key(&ledger.identity()).unwrap().public();
        let envelope = Envelope::sign(&session, &[&key()]).unwrap();
        let bytes = envelope.to_bytes();
        let named = SessionRef::of(&session, &envelope);
        let folder = Folder::of(&ledger, &named.manifest);
        folder.create(&named, &bytes).unwrap();
        folder
    }
}

#[tokio::test]
async fn the_trust_state_of_a_newer_agent_is_kept() {
    let mut machine = Machine::served().await;
    let good = fs::read(machine.state("trust.json")).unwrap();
    for newer in newer(&good) {
        machine.meets_and_recovers("trust.json", &newer).await;
    }
    // The same from an agent that is not newer is damage.
    let mut damaged: Value = serde_json::from_slice(&good).unwrap();
    damaged["unheard_of"] = json!(1);
    let damaged = damaged.to_string();
    files::write_private(&machine.state("trust.json"), damaged.as_bytes()).unwrap();
    assert!(matches!(
        machine.try_once().await,
        Err(Degraded::StateDamaged { .. })
    ));
}

#[tokio::test]
async fn the_journal_of_a_newer_agent_is_kept() {
    let mut machine = Machine::served().await;
    let tail = fs::read(machine.state("journal.tail")).unwrap();
    for newer in newer(&tail) {
        machine.meets_and_recovers("journal.tail", &newer).await;
    }
    // A line that this agent does not understand, and a tail that it does and that says whose line it is.
    let tail = fs::read(machine.state("journal.tail")).unwrap();
    let mut by_newer: Value = serde_json::from_slice(&tail).unwrap();
    by_newer["writer"] = json!("99.0.0");
    let by_newer = by_newer.to_string();
    files::write_private(&machine.state("journal.tail"), by_newer.as_bytes()).unwrap();
    let journal = fs::read_to_string(machine.state("journal.jsonl")).unwrap();
    let newer = journal.replacen("\"verdict\"", "\"unheard_of\":1,\"verdict\"", 1);
    let newer = newer.as_bytes();
    machine.meets_and_recovers("journal.jsonl", newer).await;
}

#[tokio::test]
async fn what_a_newer_agent_was_joined_by_is_kept_and_keeps_nobody_from_work() {
    let mut machine = Machine::served().await;
    let good = fs::read(machine.state("joined.json")).unwrap();
    for newer in newer(&good) {
        files::write_private(&machine.state("joined.json"), &newer).unwrap();
        machine.start();
        machine.is("ready").await;
        machine.stop().await;
        assert_eq!(fs::read(machine.state("joined.json")).unwrap(), newer);
    }
}

#[tokio::test]
async fn what_a_newer_agent_remembers_of_updates_is_kept_and_nothing_is_updated() {
    let mut machine = Machine::served().await;
    let path = machine.state("update.json");
    for newer in [
        br#"{"format":2,"candidate":[]}"#.as_slice(),
        br#"{"writer":"99.0.0","candidate":{"unheard_of":1}}"#,
    ] {
        files::write_private(&path, newer).unwrap();
        machine.start();
        let begin = Instant::now();
        // Told as soon as the updater is at work.
        let trouble = loop {
            if let Some(trouble) = machine.is("ready").await.notes.update {
                break trouble;
            }
            assert!(begin.elapsed() < DEADLINE);
        };
        assert!(
            matches!(&trouble, Trouble::State { detail } if detail.contains("newer agent")),
            "{trouble:?}"
        );
        machine.stop().await;
        assert_eq!(fs::read(&path).unwrap(), newer);
    }
}

#[tokio::test]
async fn a_session_of_a_newer_agent_is_left_alone_and_taken_up_when_it_can_be_read() {
    for file in ["checkpoint.json", "session.json", "facts.json"] {
        let mut machine = Machine::served().await;
        let session = machine.keeps_a_session();
        if file == "facts.json" {
            // Ended well, and killed before the receipt was signed.
            let done = Checkpoint::Done {
                barrier: Digest::of(b"barrier"),
                equal: Vec::new(),
            };
            session.save(&done).unwrap();
            Facts::new(Time::MIN).keep(&session).unwrap();
        }
        files::private_folder(&session.path("work")).unwrap();
        let path = session.path(file);
        let good = fs::read(&path).unwrap();
        let [_, newer] = newer(&good);
        let name = path.strip_prefix(&machine.settings.state).unwrap();
        machine.meets(name.to_str().unwrap(), &newer).await;
        let sessions = machine.is("degraded").await.notes.sessions;
        assert!(sessions.is_empty(), "{file}: it is not begun again");
        assert!(session.path("work").exists());
        files::write_private(&path, &good).unwrap();
        machine.is("ready").await;
        let is_taken_up = |status: &Status| status.notes.sessions.len() == 1;
        machine.until(file, is_taken_up).await;
        machine.stop().await;
    }
}
