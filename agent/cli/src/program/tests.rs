//! Programs as they lie on disks: tidy, untidy and hostile.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use e3_core::limits;
use e3_core::pack as packs;

use super::*;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn message(result: Result<Packed, Vec<ProgramError>>) -> String {
    result
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_file_is_a_program() {
    let dir = folder(&[("a.py", "print(1)"), ("b.py", "")]);
    let packed = pack(&dir.path().join("a.py"), None, &[]).unwrap();
    assert_eq!(
        (packed.entry.as_str(), packed.files),
        ("a.py", vec![("a.py".to_owned(), 8)])
    );
    assert_eq!(packs::unpack(&packed.bytes).unwrap()["a.py"], b"print(1)");
}

#[test]
fn a_folder_is_packed_without_caches_and_hidden_files() {
    let dir = folder(&[
        ("main.py", ""),
        ("lib/x.py", ""),
        ("__pycache__/x.pyc", ""),
        (".git/config", ""),
        ("lib/.env", "secret"),
        ("old.session/session.json", ""),
    ]);
    let packed = pack(dir.path(), None, &[]).unwrap();
    assert_eq!(packed.entry, "main.py");
    assert_eq!(
        packed
            .files
            .iter()
            .map(|f| f.0.as_str())
            .collect::<Vec<_>>(),
        ["lib/x.py", "main.py"]
    );
    assert_eq!(
        packed.skipped,
        [".git", "__pycache__", "lib/.env", "old.session"]
    );
}

#[test]
fn a_folder_needs_a_file_to_start() {
    let dir = folder(&[("a.py", ""), ("b.py", "")]);
    let text = message(pack(dir.path(), None, &[]));
    assert_eq!(
        text,
        "nothing says which file Python starts; add entry = \"a.py\""
    );
    assert_eq!(pack(dir.path(), Some("b.py"), &[]).unwrap().entry, "b.py");
    let text = message(pack(dir.path(), Some("c.py"), &[]));
    assert_eq!(text, "the program has no file c.py; did you mean \"a.py\"?");
    assert!(message(pack(&dir.path().join("a.py"), Some("b.py"), &[])).contains("remove `entry`"));
    assert!(message(pack(folder(&[]).path(), None, &[])).contains("nothing says"));
}

#[test]
fn links_do_not_leave_the_folder() {
    let dir = folder(&[("p/main.py", ""), ("p/a.csv", "1"), ("secret", "s")]);
    let program = dir.path().join("p");
    std::os::unix::fs::symlink("a.csv", program.join("b.csv")).unwrap();
    assert_eq!(pack(&program, None, &[]).unwrap().files.len(), 3);
    for target in ["../secret", "/etc/passwd", "gone", ".", "loop"] {
        let link = program.join("loop");
        std::os::unix::fs::symlink(target, &link).unwrap();
        let text = message(pack(&program, None, &[]));
        assert!(
            text.contains("loop is a link that leads out"),
            "{target}: {text}"
        );
        fs::remove_file(link).unwrap();
    }
}

#[test]
fn data_lies_where_the_manifest_says() {
    let dir = folder(&[
        ("p/a.py", ""),
        ("p/data/x.csv", "1"),
        ("y.csv", "2"),
        ("p/t/z.csv", "3"),
    ]);
    let data = |written: &str| (written.to_owned(), dir.path().join("p").join(written));
    let packed = pack(
        &dir.path().join("p/a.py"),
        None,
        &[data("./data/x.csv"), data("../y.csv"), data("t")],
    )
    .unwrap();
    let names: Vec<&str> = packed.files.iter().map(|f| f.0.as_str()).collect();
    assert_eq!(names, ["a.py", "data/x.csv", "t/z.csv", "y.csv"]);
    let errors = pack(
        &dir.path().join("p/a.py"),
        None,
        &[data("none"), data("a.py")],
    )
    .unwrap_err();
    assert_eq!(
        errors.iter().map(|e| e.part).collect::<Vec<_>>(),
        [Part::Data(0), Part::Data(1)]
    );
}

#[test]
fn a_program_over_the_limit_is_not_read() {
    let dir = folder(&[("main.py", "")]);
    let file = File::create(dir.path().join("big.bin")).unwrap();
    file.set_len(limits::PROGRAM + 1).unwrap();
    assert!(message(pack(dir.path(), None, &[])).contains("too large"));
    assert!(message(pack(&dir.path().join("none.py"), None, &[])).contains("is not there"));
    assert!(message(pack(Path::new("/dev/zero"), None, &[])).contains("no Python program"));
    let zero = [("zero".to_owned(), PathBuf::from("/dev/zero"))];
    assert!(message(pack(&dir.path().join("main.py"), None, &zero)).contains("neither a file"));
}

#[test]
fn secret_keys_are_not_packed_by_mistake() {
    let dir = folder(&[
        ("main.py", ""),
        ("keys/me.pem", "-----BEGIN PRIVATE KEY-----\r\nMC4C\n"),
    ]);
    let text = message(pack(dir.path(), None, &[]));
    assert!(text.starts_with("keys/me.pem is a secret key"), "{text}");
    let public = folder(&[
        ("main.py", ""),
        ("ca.pem", "-----BEGIN CERTIFICATE-----\nMC4C\n"),
    ]);
    assert!(pack(public.path(), None, &[]).is_ok());
}
