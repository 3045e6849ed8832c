//! Files whose names nobody expects, and readers that go away: nothing acts on a terminal, nothing panics.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Names that clear a screen, have two lines, look like an option, are no text, are written backwards, or ring.
const NAMES: [&[u8]; 6] = [
    b"a\x1b[2J.img",
    b"b\nwarning: c.img",
    b"-d.img",
    b"e\xff\xfe.img",
    "f\u{202e}gmi.img".as_bytes(),
    b"g\x07\r.img",
];
/// With the one that is published.
const IMAGES: usize = NAMES.len() + 1;
/// What takes a file, as FILE, in front of everything that it takes besides.
const COMMANDS: [&str; 17] = [
    "image inject FILE --join FILE",
    "image inject FILE --join e3.toml --out FILE.out",
    "image flash FILE --to FILE",
    "image list FILE",
    "image upload digitalocean FILE --space http://127.0.0.1:1/bucket",
    "image pi-imager FILE --url-base https://images.example",
    "image fetch FILE --from http://127.0.0.1:1/images.json --signed-by FILE --out FILE",
    "image publish FILE --out FILE.json",
    "image publish images --out FILE.json",
    "image wsl --out FILE.ps1",
    "key new FILE.pem",
    "key show FILE.pem",
    "man FILE.d",
    "session check FILE --fleet FILE",
    "receipts verify ./FILE.session --dir FILE",
    "release show ./FILE",
    "fleet status --fleet FILE",
];

/// `e3`, with nothing of the person who runs the tests around it.
fn e3(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_e3"));
    command.current_dir(folder).env_clear().env("HOME", folder);
    command.stdin(Stdio::null());
    command
}

/// A folder with a file of each name.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in NAMES {
        fs::write(folder.path().join(OsStr::from_bytes(name)), b"no image").unwrap();
    }
    // What is published, and who publishes it.
    fs::create_dir(folder.path().join("images")).unwrap();
    let image = folder.path().join("images/e3-qemu-x86_64-linux.qcow2");
    fs::write(image, b"no image").unwrap();
    let made = e3(folder.path()).args(["key", "new"]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    folder
}

/// The words of a command for the file `name`, which no option is mistaken for.
fn words(command: &str, name: &[u8]) -> Vec<OsString> {
    let part = |word: &str| {
        let Some((before, after)) = word.split_once("FILE") else {
            return word.into();
        };
        let before = if before.is_empty() && name.starts_with(b"-") {
            "./"
        } else {
            before
        };
        let word = [before.as_bytes(), name, after.as_bytes()].concat();
        OsStr::from_bytes(&word).to_owned()
    };
    command.split(' ').map(part).collect()
}

/// What was printed can be shown, and it was no panic.
fn assert_harmless(output: &Output, what: &str) {
    for said in [&output.stdout, &output.stderr] {
        let text = std::str::from_utf8(said).unwrap_or_else(|_| panic!("{what}: {output:?}"));
        // JSON is for scripts, and has its own way to write what acts.
        if !text.starts_with('{') {
            let cleaned = e3_core::text::clean_lines(text);
            assert_eq!(text, cleaned, "{what}");
        }
        assert!(!text.contains("panicked"), "{what}: {text}");
    }
    let code = output.status.code();
    assert!(
        matches!(code, Some(0..=4)),
        "{what}: {code:?}, {:?}",
        output.stderr
    );
}

#[test]
fn names_of_files_do_nothing_on_a_terminal_and_are_no_options() {
    for name in NAMES {
        let folder = folder();
        for command in COMMANDS {
            let words = words(command, name);
            let what = format!("{command} with {:?}", OsStr::from_bytes(name));
            let output = e3(folder.path()).args(&words).output().unwrap();
            assert_harmless(&output, &what);
        }
    }
}

#[test]
fn names_of_files_are_good_json() {
    for name in NAMES {
        let folder = folder();
        for command in COMMANDS {
            let words = words(command, name);
            let what = format!("{command} with {:?}", OsStr::from_bytes(name));
            let output = e3(folder.path()).args(&words).arg("--json").output();
            let output = output.unwrap();
            assert!(matches!(output.status.code(), Some(0..=4)), "{what}");
            let json: Result<Value, _> = serde_json::from_slice(&output.stdout);
            assert!(json.is_ok_and(|json| json.is_object()), "{what}");
        }
    }
}

#[test]
fn a_list_of_images_has_one_line_for_each_whatever_its_name() {
    let folder = folder();
    let output = e3(folder.path()).args(["image", "list"]).output().unwrap();
    assert_harmless(&output, "image list");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1 + IMAGES, "{text}");
    let output = e3(folder.path()).args(["image", "list", "--json"]).output();
    let json: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let images = json["images"].as_array().unwrap();
    assert_eq!(images.len(), IMAGES);
    let is_there = |image: &Value| image["file"] == "./-d.img";
    assert!(images.iter().any(is_there), "{images:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = folder();
    for command in [
        "--help",
        "--version",
        "image list",
        "image list --json",
        "image wsl",
        "completions bash",
        "key show",
        "key show --json",
        "doctor --index http://127.0.0.1:1/simple",
        "session psuh --json",
        "nonsense",
    ] {
        // Nobody reads from the first byte on, as after `| head -0`; or nobody reads what goes wrong.
        for is_output in [true, false] {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let mut e3 = e3(folder.path());
            e3.args(command.split(' '));
            let output = if is_output {
                e3.stdout(writer).stderr(Stdio::piped())
            } else {
                e3.stderr(writer).stdout(Stdio::piped())
            };
            let output = output.spawn().unwrap().wait_with_output().unwrap();
            assert_harmless(&output, command);
        }
    }
}
