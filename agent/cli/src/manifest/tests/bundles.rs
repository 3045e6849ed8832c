//! From a checked manifest to a bundle with everybody's signature.

use serde_json::Value;

use super::*;
use crate::commands::session::{check as check_command, show, sign};
use crate::index::{IndexUrl, Sources};
use crate::manifest::bundle::{Bundle, BundleError};
use crate::output::Answer;

/// No network: MPyC comes from the file.
const LOCAL: &str = "wheel = \"mpyc-0.11-py3-none-any.whl\"\n";

fn sources(desk: &Desk) -> Sources {
    Sources {
        index: IndexUrl::parse("http://127.0.0.1:1").unwrap(),
        cache: desk.path().join("cache"),
    }
}

fn sign_by(desk: &Desk, options: &sign::Options) -> Result<Answer, ManifestError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(sign::run(options, &fleet(), &sources(desk), now()))
}

/// Two parties whose owners must both consent.
fn manifest(desk: &Desk) -> PathBuf {
    let text = GOOD
        .replace(", \"carol\"", "")
        .replace("\n[mpyc]", "consent = \"all\"\n\n[mpyc]")
        + LOCAL;
    desk.put("salaries.toml", &text)
}

fn options(file: &Path, key: Option<PathBuf>) -> sign::Options {
    sign::Options {
        file: file.to_owned(),
        key,
        ..sign::Options::default()
    }
}

fn signed(desk: &Desk) -> PathBuf {
    sign_by(desk, &options(&manifest(desk), Some(desk.key_file(11)))).unwrap();
    desk.path().join("salaries.session")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn good_screens() {
    let desk = Desk::new();
    let path = manifest(&desk);
    let tidy = |answer: Answer| desk.tidy(&answer.text);
    insta::assert_snapshot!(
        "check",
        tidy(check_command::run(&path, &fleet(), now()).unwrap())
    );
    let first = sign_by(&desk, &options(&path, Some(desk.key_file(11)))).unwrap();
    insta::assert_snapshot!("sign-first", tidy(first));
    let bundle = desk.path().join("salaries.session");
    let names = fs::read_dir(&bundle)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    assert_eq!(names, [WHEEL, "program.pack", "session.json"]);
    insta::assert_snapshot!(
        "show",
        tidy(show::run(&bundle, Some(&fleet()), now()).unwrap())
    );
    insta::assert_snapshot!(
        "show-no-fleet",
        tidy(show::run(&bundle.join("session.json"), None, now()).unwrap())
    );
    let second = sign_by(&desk, &options(&bundle, Some(desk.key_file(12)))).unwrap();
    insta::assert_snapshot!("sign-second", tidy(second));
    let again = sign_by(&desk, &options(&bundle, Some(desk.key_file(12)))).unwrap();
    assert!(
        again
            .text
            .starts_with("This key had signed already: salaries.\n"),
        "{}",
        again.text
    );
    let opened = Bundle::open(&bundle).unwrap();
    assert_eq!(opened.envelope.signature_count(), 2);
    assert_eq!(opened.files().unwrap()["average.py"], b"print(1)\n");
}

#[test]
fn copies_signed_apart_merge_in_any_order() {
    let desk = Desk::new();
    let one = signed(&desk);
    let two = desk.path().join("two.session");
    copy(&one, &two);
    // The second owner got the envelope alone.
    let letter = desk.path().join("letter.txt");
    fs::copy(one.join("session.json"), &letter).unwrap();
    sign_by(&desk, &options(&letter, Some(desk.key_file(12)))).unwrap();
    let merge = |file: &Path, other: &Path| {
        let options = sign::Options {
            merge: vec![other.to_owned()],
            ..options(file, None)
        };
        sign_by(&desk, &options).unwrap()
    };
    let answer = merge(&one, &letter);
    insta::assert_snapshot!("merge", desk.tidy(&answer.text));
    merge(&letter, &two);
    merge(&two, &letter);
    for path in [&one, &two, &letter] {
        let bundle = Bundle::open(path).unwrap();
        assert_eq!(bundle.envelope.signature_count(), 2, "{}", path.display());
        assert!(
            consent::Signed::of(&bundle.envelope, &bundle.session, &fleet().session).is_complete()
        );
    }
    assert_eq!(answer.json["merged"], 1);
    assert_eq!(answer.json["signatures"]["complete"], true);
}

#[test]
fn nothing_is_overwritten_and_nothing_half_written() {
    let desk = Desk::new();
    let bundle = signed(&desk);
    let before = fs::read(bundle.join("session.json")).unwrap();
    let error = sign_by(&desk, &options(&manifest(&desk), Some(desk.key_file(11)))).unwrap_err();
    assert_eq!(
        desk.tidy(&error.to_string()),
        "DIR/salaries.session exists already"
    );
    assert!(error.remedy().unwrap().contains("--output"));
    assert_eq!(fs::read(bundle.join("session.json")).unwrap(), before);
    let elsewhere = sign::Options {
        output: Some(desk.path().join("none/b.session")),
        ..options(&manifest(&desk), Some(desk.key_file(11)))
    };
    let error = sign_by(&desk, &elsewhere).unwrap_err();
    assert_eq!(
        desk.tidy(&error.to_string()),
        "cannot create DIR/none/b.session"
    );
    let hidden = fs::read_dir(desk.path()).unwrap().filter(|file| {
        file.as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with('.')
    });
    assert_eq!(hidden.count(), 0, "no temporary folder stays behind");
}

#[test]
fn keys_and_bundles_that_do_not_fit_are_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = Desk::new();
    let bundle = signed(&desk);
    let error = |file: &Path, key: Option<PathBuf>| {
        desk.tidy(&sign_by(&desk, &options(file, key)).unwrap_err().to_string())
    };
    assert_eq!(
        error(&bundle, Some(desk.key_file(13))),
        format!(
            "{} is no session key of the fleet acme, so its signature would count nowhere",
            key(13).public()
        )
    );
    let open = desk.key_file(12);
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(error(&bundle, Some(open)).contains("chmod 600 DIR/12.pem"));
    let paper = desk.put("paper.pem", "no key");
    fs::set_permissions(&paper, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(error(&bundle, Some(paper)), "DIR/paper.pem holds no key");
    assert!(error(&bundle, None).starts_with("there is nothing to do"));
    assert!(error(&manifest(&desk), None).starts_with("there is nothing to do"));
    let key_file = || Some(desk.key_file(11));
    assert_eq!(
        error(&desk.path().join("study"), key_file()),
        "DIR/study is no session: neither a folder with session.json, nor an envelope"
    );
    assert_eq!(
        error(&desk.path().join("none.session"), key_file()),
        "DIR/none.session is not there"
    );
    assert_eq!(
        error(&desk.put("x.json", "{}"), key_file()),
        "DIR/x.json holds no session"
    );
    let unsigned = Bundle::open(&manifest(&desk)).unwrap_err();
    assert!(unsigned.remedy().unwrap().contains("`e3 session sign`"));
    // The program was swapped: nobody signs what the manifest does not name.
    fs::write(bundle.join("program.pack"), "other").unwrap();
    assert!(
        error(&bundle, key_file())
            .starts_with("DIR/salaries.session/program.pack is not what the manifest names")
    );
    assert!(matches!(
        show::run(&bundle, None, now()),
        Err(ManifestError::Bundle(BundleError::Damaged { .. }))
    ));
}

#[test]
fn sessions_of_another_time_or_fleet_are_not_signed() {
    let desk = Desk::new();
    let bundle = signed(&desk);
    let add = |fleet: &View, now: Time| {
        sign::add(&bundle, Some(&key(12)), &[], fleet, now)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        add(&fleet(), now().plus(7200)),
        "this session expired at 2026-11-22T11:00:00Z"
    );
    assert!(
        add(
            &View {
                epoch: 2,
                ..fleet()
            },
            now()
        )
        .starts_with("this session was signed under epoch 1")
    );
    let other = View {
        name: "other".parse().unwrap(),
        ..fleet()
    };
    assert_eq!(
        add(&other, now()),
        "this session is of the fleet acme, yours is other"
    );
    let moved = View {
        epoch: 2,
        parties: vec![Member {
            key: key(50).public(),
            ..fleet().parties[0].clone()
        }],
        ..fleet()
    };
    insta::assert_snapshot!(
        "show-strangers",
        show::run(&bundle, Some(&moved), now().plus(7200))
            .unwrap()
            .text
            .replace(&desk.path().display().to_string(), "DIR")
    );
    desk.put("other.toml", &(GOOD.replace("salaries", "other") + LOCAL));
    sign_by(
        &desk,
        &options(&desk.path().join("other.toml"), Some(desk.key_file(11))),
    )
    .unwrap();
    let merge = sign::add(
        &bundle,
        None,
        &[desk.path().join("other.session")],
        &fleet(),
        now(),
    );
    assert!(
        merge
            .unwrap_err()
            .to_string()
            .contains("other.session is another session")
    );
}

#[test]
fn a_show_screen_shows_blanks_and_acts_on_no_terminal() {
    let desk = Desk::new();
    let args = "args = [\"a b \", \"zero\\u200bwidth\"]\n\n[mpyc]";
    let path = desk.put("tricks.toml", &(GOOD.replace("\n[mpyc]", args) + LOCAL));
    sign_by(&desk, &options(&path, Some(desk.key_file(11)))).unwrap();
    let answer = show::run(&desk.path().join("salaries.session"), Some(&fleet()), now()).unwrap();
    assert!(
        answer
            .text
            .contains(r#"arguments "a b " "zero\u{200b}width""#),
        "{}",
        answer.text
    );
    assert!(!answer.text.chars().any(|c| c != '\n' && text::is_hidden(c)));
    assert!(matches!(
        answer.json["session"]["program"]["args"][0],
        Value::String(_)
    ));
}

#[test]
fn without_a_wheel_and_without_an_index_the_remedy_is_said() {
    let desk = Desk::new();
    let path = desk.put("a.toml", GOOD);
    let error = sign_by(&desk, &options(&path, Some(desk.key_file(11)))).unwrap_err();
    assert!(error.is_unreachable());
    assert!(
        error
            .to_string()
            .starts_with("the Python index http://127.0.0.1:1/ cannot be reached"),
        "{error}"
    );
    assert!(
        error
            .remedy()
            .unwrap()
            .starts_with("Give the file with wheel =")
    );
    assert!(!desk.path().join("salaries.session").exists());
}
