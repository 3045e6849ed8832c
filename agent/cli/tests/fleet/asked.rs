//! Machines that are asked from afar: real agents answer through a real hub.

use std::fs;
use std::time::Duration;

use e3_cli::commands::fleet::enrolled;
use e3_cli::commands::party;
use e3_cli::error::Error;
use e3_core::checkup::State;
use e3_core::document::{Ask, Report};

use crate::common::*;

/// Prints what nobody else may see, and fails.
const TELLTALE: &str = "import sys\nprint('OUTPUT-47114711')\nprint('STDERR-47114711', file=sys.stderr)\nsys.exit(3)\n";

async fn ask(rig: &Rig, place: usize, what: Ask, patience: Duration) -> Result<Report, Error> {
    let (parties, _) = enrolled(&rig.fleet.open).await.unwrap();
    let name = &rig.fleet.parties[place].name;
    let party = parties.iter().find(|party| party.member.name == *name);
    party::ask(
        &rig.fleet.open,
        &rig.fleet.owner,
        party.unwrap(),
        what,
        patience,
    )
    .await
}

async fn told(rig: &Rig, place: usize, what: Ask) -> Report {
    let report = ask(rig, place, what, DEADLINE).await;
    report.unwrap_or_else(|error| panic!("{what:?}: {error}; {}", rig.logs()))
}

/// The hub's copy of something of this party.
fn at_hub(rig: &Rig, kind: &str, place: usize) -> std::path::PathBuf {
    let file = &rig.fleet.open.file;
    let name = &rig.fleet.parties[place].name;
    let member = file
        .parties
        .iter()
        .find(|member| member.name == *name)
        .unwrap();
    rig.fleet
        .folder
        .join("hub")
        .join(kind)
        .join(format!("{}.json", member.key))
}

#[tokio::test]
async fn a_machine_tells_its_owner_who_it_is_what_is_wrong_and_what_it_has_logged() {
    let rig = Rig::new().await;
    // It shows who it is, and the others do not.
    let Report::Identified { shown, .. } = told(&rig, 0, Ask::Identify).await else {
        panic!();
    };
    assert_eq!(shown[0], "console");
    let issue = |place: usize| {
        let path = rig.fleet.parties[place].folder.join("run/issue");
        fs::read_to_string(path).unwrap_or_default()
    };
    until("the console says so", async || {
        let issue = issue(0);
        (issue.contains("This is the machine that was asked for") && issue.contains('\x07'))
            .then_some(())
    })
    .await;
    assert!(!issue(1).contains("was asked for"));
    // It looks for what is wrong with it.
    let checks = async |rig: &Rig| match told(rig, 1, Ask::Doctor).await {
        Report::Doctor { checks, .. } => checks,
        other => panic!("{other:?}"),
    };
    let well = checks(&rig).await;
    for what in ["agent", "party", "head", "hub", "time", "python"] {
        let check = well.iter().find(|check| check.what == what);
        assert_eq!(
            check.map(|check| check.state),
            Some(State::Ok),
            "{what}: {well:?}"
        );
    }
    fs::remove_file(rig.scratch.path().join("python")).unwrap();
    let ill = checks(&rig).await;
    let python = ill.iter().find(|check| check.what == "python").unwrap();
    assert_eq!(python.state, State::Fail, "{ill:?}");
    rig.stop().await;
}

#[tokio::test]
async fn what_a_program_prints_is_in_no_log_that_leaves_the_machine() {
    let mut rig = Rig::new().await;
    let plan = Plan {
        program: TELLTALE,
        ..Plan::default()
    };
    let run = rig.push(&plan).await;
    rig.fails(&run).await;
    let name = run.session.document.name.as_str();
    for place in 0..3 {
        let stdout = fs::read_to_string(rig.file(place, &run, "stdout")).unwrap();
        assert!(stdout.contains("OUTPUT-47114711"), "{stdout}");
        let Report::Logs { lines } = told(&rig, place, Ask::Logs { lines: 1000 }).await else {
            panic!();
        };
        let text = lines.join("\n");
        assert!(text.contains("joined") && text.contains(name), "{text}");
        assert!(!text.contains("47114711"), "{text}");
        // And the hub has seen nothing of it.
        let answer = fs::read_to_string(at_hub(&rig, "answers", place)).unwrap();
        let envelope = e3_core::envelope::Envelope::parse(answer.as_bytes(), 1 << 20).unwrap();
        let answer: e3_core::document::PartyAnswer = envelope.unverified().unwrap();
        assert!(answer.sealed.len() > text.len() && !answer.sealed.contains("joined"));
    }
    let Report::Logs { lines } = told(&rig, 0, Ask::Logs { lines: 1 }).await else {
        panic!();
    };
    assert_eq!(lines.len(), 1, "{lines:?}");
    rig.stop().await;
}

#[tokio::test]
async fn a_hub_that_repeats_a_question_gets_no_second_answer_and_nobody_is_asked_who_answers_nobody()
 {
    let mut rig = Rig::new().await;
    told(&rig, 0, Ask::Doctor).await;
    let answer = at_hub(&rig, "answers", 0);
    let asked = fs::read(at_hub(&rig, "requests", 0)).unwrap();
    fs::remove_file(&answer).unwrap();
    // The agent forgets what it has in memory, and polls the hub, which shows the same again.
    rig.restart(0).await;
    let journal = rig.fleet.parties[0].state().join("journal.jsonl");
    let refused = async |words: &str| {
        let what = format!("the journal says: {words}; {}", rig.logs());
        until(&what, async || {
            let text = fs::read_to_string(&journal).unwrap_or_default();
            text.contains(words).then_some(())
        })
        .await;
    };
    refused("answered before").await;
    // One for another machine, shown to this one.
    told(&rig, 1, Ask::Doctor).await;
    let other = fs::read(at_hub(&rig, "requests", 1)).unwrap();
    assert_ne!(asked, other);
    fs::write(at_hub(&rig, "requests", 0), other).unwrap();
    refused("`party`: is another one").await;
    assert!(!answer.exists());
    // It answers what is asked anew.
    told(&rig, 0, Ask::Doctor).await;
    let config = rig.fleet.parties[2].config();
    let settings = fs::read_to_string(&config).unwrap();
    fs::write(config, format!("{settings}answers = \"nobody\"\n")).unwrap();
    rig.restart(2).await;
    let silent = ask(&rig, 2, Ask::Doctor, Duration::from_secs(4)).await;
    assert!(matches!(silent, Err(Error::NoAnswer { .. })), "{silent:?}");
    rig.stop().await;
}
