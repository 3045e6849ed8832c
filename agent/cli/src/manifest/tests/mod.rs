//! Manifests, good and bad, from the text to the signed bundle. The fleet, its keys and the time are
//! always the same, so that every screen is.

mod bundles;
mod good;
mod properties;
mod screens;

use std::fs;
use std::path::{Path, PathBuf};

use e3_core::document::Role;
use e3_core::key::SecretKey;
use e3_core::time::Time;

use super::*;
use crate::fleet_file::Member;

/// The keys of the parties' owners.
const OWNERS: [u8; 3] = [11, 12, 13];

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

fn now() -> Time {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

/// alice, bob and carol, each with an owner; the owners of alice and bob are session keys.
fn fleet() -> View {
    let names = ["alice", "bob", "carol"];
    let member = |(i, name): (u8, &str)| Member {
        name: name.parse().unwrap(),
        key: key(i + 1).public(),
        owner: key(OWNERS[usize::from(i)]).public(),
    };
    View {
        name: "acme".parse().unwrap(),
        epoch: 1,
        session: Role {
            keys: vec![key(11).public(), key(12).public()],
            threshold: 1,
        },
        parties: (0..).zip(names).map(member).collect(),
    }
}

/// A folder with a program, a larger one, and a wheel.
struct Desk(tempfile::TempDir);

const WHEEL: &str = "mpyc-0.11-py3-none-any.whl";

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        desk.put("average.py", "print(1)\n");
        desk.put("study/a.py", "");
        desk.put("study/b.py", "");
        desk.put("study/__pycache__/a.pyc", "");
        desk.put("table.csv", "1,2\n");
        desk.put(WHEEL, "PK\u{3}\u{4} a wheel");
        desk.put("mpyc-0.10-py3-none-any.whl", "PK\u{3}\u{4} another wheel");
        desk
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn key_file(&self, n: u8) -> PathBuf {
        let path = self.path().join(format!("{n}.pem"));
        if !path.exists() {
            e3_client::files::write_secret(&path, key(n).to_pem().as_bytes()).unwrap();
        }
        path
    }

    fn check(&self, text: &str) -> Result<Checked, Problems> {
        check_text("salaries.toml", text, self.path(), &fleet(), now())
    }

    /// Without what differs from run to run.
    fn tidy(&self, text: &str) -> String {
        text.replace(&self.path().display().to_string(), "DIR")
    }

    fn screen(&self, text: &str) -> String {
        self.tidy(&self.check(text).unwrap_err().to_string())
    }
}

const GOOD: &str = r#"
name = "salaries"
parties = ["alice", "bob", "carol"]
program = "average.py"

[mpyc]
version = "0.11"
"#;
