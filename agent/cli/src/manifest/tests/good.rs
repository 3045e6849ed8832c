//! Good manifests become the documents that they say.

use e3_core::document::Document as _;

use super::*;
use crate::commands::session::new;
use crate::index::Origin;
use crate::manifest::template::Template;

fn wheel() -> Wheel {
    Wheel {
        file: WHEEL.to_owned(),
        bytes: b"PK a wheel".to_vec(),
        origin: Origin::Local,
    }
}

fn json(checked: &Checked) -> String {
    let session = checked.session(&wheel(), now()).unwrap();
    serde_json::to_string_pretty(&session).unwrap()
}

#[test]
fn the_shortest_manifest_has_good_defaults() {
    let checked = Desk::new().check(GOOD).unwrap();
    insta::assert_snapshot!("shortest", json(&checked));
    assert!(checked.notes().is_empty());
}

#[test]
fn every_key_reaches_the_document() {
    let [dave, owner] = [key(40), key(41)].map(|key| key.public());
    let text = format!(
        r#"
name = "everything"
parties = ["carol", {{ name = "dave", key = "{dave}", owner = "{owner}" }}, "{alice}"]
program = "study"
entry = "b.py"
data = ["table.csv"]
args = ["--rounds", "3"]
counter = 7
not_before = 2026-12-24T18:00:00+01:00
valid_for = "1d12h"
consent = "signers"
output = "publish"
equal = ["stdout"]
modules = ["numpy", "gmpy2 == 2.3.2"]
[inputs]
salary = "all"
bid = ["dave", "alice"]
reserve = "carol"
[mpyc]
version = "0.11"
wheel = "{WHEEL}"
sha256 = "{digest}"
threshold = 1
prss = false
tls = false
base_port = 0x3000
bit_length = 64
sec_param = 40
mixed_word_sizes = true
[limits]
memory = "2G"
cpu = "150%"
tasks = 8
output = "64K"
[deadlines]
preflight = "1m"
connect = "10s"
run = "2h"
"#,
        alice = key(1).public(),
        digest = Blob::of(b"PK\x03\x04 a wheel").digest.hex(),
    );
    let checked = Desk::new().check(&text).unwrap();
    insta::assert_snapshot!("everything", json(&checked));
    insta::assert_snapshot!("everything-notes", checked.notes().join("\n"));
    assert_eq!(checked.program.files.len(), 3);
}

#[test]
fn what_hides_nothing_is_said() {
    let two = GOOD.replace(", \"carol\"", "");
    let notes = |text: &str| Desk::new().check(text).unwrap().notes().join("\n");
    assert!(notes(&two).starts_with("With fewer than three parties"));
    assert!(notes(&format!("{GOOD}threshold = 0\n")).starts_with("With threshold 0"));
}

#[test]
fn times_may_be_toml_or_text() {
    let desk = Desk::new();
    let expires = |line: &str| {
        let text = GOOD.replace("\n[mpyc]", &format!("{line}\n[mpyc]"));
        desk.check(&text)
            .unwrap()
            .session(&wheel(), now())
            .unwrap()
            .expires
            .to_string()
    };
    assert_eq!(
        expires("expires = 2026-12-24 18:00:00Z"),
        "2026-12-24T18:00:00Z"
    );
    assert_eq!(
        expires("expires = \"2026-12-24T18:00:00+01:00\""),
        "2026-12-24T17:00:00Z"
    );
    assert_eq!(expires("valid_for = \"10m\""), "2026-11-22T10:10:00Z");
    assert_eq!(expires(""), "2026-11-22T11:00:00Z");
}

#[test]
fn the_template_is_a_good_manifest_with_and_without_its_comments() {
    let desk = Desk::new();
    let template = Template {
        program: "average.py".to_owned(),
        ..Template::default()
    };
    let text = template.text();
    insta::assert_snapshot!("template", text);
    desk.check(&text)
        .unwrap_or_else(|problems| panic!("{problems}"));
    // Every key behind a # is a real one, with the default as its value or a good example.
    let key_line = |line: &str| {
        line.strip_prefix("# ")
            .filter(|rest| rest.split(' ').nth(1) == Some("="))
            .map(str::to_owned)
    };
    let uncommented: Vec<String> = text
        .lines()
        .map(|line| key_line(line).unwrap_or(line.to_owned()))
        .collect();
    let text = uncommented
        .join("\n")
        .replace("059ffa33…", &Blob::of(b"PK\x03\x04 a wheel").digest.hex())
        .replace("expires = 2026", "# expires = 2026")
        .replace("entry = \"main.py\"", "entry = \"average.py\"")
        .replace(", \"tables\"]", "]");
    let checked = desk
        .check(&text)
        .unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(checked.draft.limits, draft::LIMITS);
    assert_eq!(checked.draft.deadlines, draft::DEADLINES);
    assert_eq!(checked.draft.mpyc.base_port, draft::BASE_PORT);
    assert_eq!(checked.draft.modules.len(), 2);
}

#[test]
fn session_new_writes_a_manifest_that_checks_and_never_overwrites() {
    let desk = Desk::new();
    let options = new::Options {
        file: Some(desk.path().join("sessions/My Survey.toml")),
        program: Some(desk.path().join("average.py")),
        parties: ["carol", "alice", "bob"].map(str::to_owned).to_vec(),
        inputs: Vec::new(),
    };
    fs::create_dir(desk.path().join("sessions")).unwrap();
    let answer = new::run(&options, None).unwrap();
    insta::assert_snapshot!("new", desk.tidy(&answer.text));
    let checked = check(options.file.as_ref().unwrap(), &fleet(), now()).unwrap();
    assert_eq!(checked.draft.name.as_str(), "my-survey");
    assert_eq!(checked.draft.parties[0].name.as_str(), "carol");
    let error = new::run(&options, None).unwrap_err();
    assert!(matches!(error, ManifestError::Exists { .. }), "{error}");
    let text = new::run(
        &new::Options {
            file: Some("-".into()),
            inputs: ["salary", "age"].map(str::to_owned).to_vec(),
            ..options.clone()
        },
        None,
    )
    .unwrap()
    .text;
    assert!(text.contains("parties = [\"carol\", \"alice\", \"bob\"]"));
    assert!(text.contains("[inputs]\nsalary = \"all\"\nage = \"all\"\n"));
    let hostile = vec!["a\"b".to_owned()];
    for (parties, inputs) in [(hostile.clone(), Vec::new()), (Vec::new(), hostile)] {
        let bad = new::Options {
            parties,
            inputs,
            file: Some("-".into()),
            ..options.clone()
        };
        assert!(matches!(
            new::run(&bad, None),
            Err(ManifestError::BadName(_))
        ));
    }
    assert_eq!(
        fs::read_dir(desk.path().join("sessions")).unwrap().count(),
        1
    );
}

#[test]
fn a_manifest_can_be_written_in_code() {
    let parties = Desk::new().check(GOOD).unwrap().draft.parties;
    let mut draft = Draft::new(
        "demo".parse().unwrap(),
        parties,
        "average.py".into(),
        draft::MpycOptions::new("0.11"),
    );
    draft.counter = Some(1);
    let packed = program::pack(&Desk::new().path().join("average.py"), None, &[]).unwrap();
    let checked = Checked {
        draft,
        program: packed,
        fleet: fleet().name,
        epoch: 1,
    };
    checked.session(&wheel(), now()).unwrap().check().unwrap();
}
