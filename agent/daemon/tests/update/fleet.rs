//! A fleet of one machine, whose hub is a folder, and what became of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use e3_core::digest::{Blob, Digest};
use e3_core::document::{Binary, Head, Release, Role, Root, RootRef};
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;
use e3_core::update::{State, Trouble};
use serde_json::Value;

use crate::init::Init;

/// A loaded machine is no failure.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// The installed agent.
pub(crate) fn installed() -> PathBuf {
    env!("CARGO_BIN_EXE_e3-agent").into()
}

/// What static agents for this machine are called.
pub(crate) fn target() -> String {
    e3_agent::update::target()
}

pub(crate) fn key(name: &str) -> SecretKey {
    SecretKey::from_seed(Digest::of(name.as_bytes()).as_bytes())
}

/// A binary that is the agent, and another file than every other one: what is behind the end of an
/// ELF file is not looked at.
pub(crate) fn agent(mark: u64) -> Vec<u8> {
    let mut bytes = fs::read(installed()).unwrap();
    bytes.extend_from_slice(format!("\nmark {mark}\n").as_bytes());
    bytes
}

/// The fleet and the machine's folders.
pub(crate) struct Fleet {
    pub(crate) folder: tempfile::TempDir,
    root: (Root, Digest),
    head: u64,
}

impl Fleet {
    /// A fleet with a head that names no release, and a machine that has never run.
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// The same with these lines in the machine's `agent.toml`.
    pub(crate) fn with(settings: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("e3-update-")
            .tempdir()
            .unwrap();
        let role = |names: &[&str]| Role {
            keys: names.iter().map(|name| key(name).public()).collect(),
            threshold: names.len(),
        };
        let root = Root {
            fleet: "demo".parse().unwrap(),
            version: 1,
            epoch: 1,
            signed: e3_client::clock::now(),
            root: role(&["root"]),
            head: role(&["head"]),
            session: role(&["owner"]),
            release: role(&["release-a", "release-b"]),
        };
        let envelope = Envelope::sign(&root, &[&key("root")]).unwrap();
        let mut fleet = Self {
            folder,
            root: (root, envelope.digest()),
            head: 0,
        };
        for part in ["hub/root", "hub/sha256", "tmp"] {
            fs::create_dir_all(fleet.path(part)).unwrap();
        }
        fs::write(fleet.path("hub/root/1.json"), envelope.to_bytes()).unwrap();
        let join = format!(
            "fleet = \"demo\"\nhub = \"file://{}\"\nroot = \"{}\"\nname = \"alice\"\nowner = \"{}\"\n",
            fleet.path("hub").display(),
            envelope.digest(),
            key("owner").public()
        );
        fs::write(fleet.path("e3.toml"), join).unwrap();
        let path = |part: &str| fleet.path(part).display().to_string();
        let config = format!(
            "state = {:?}\nrun = {:?}\njoin = [{:?}]\npolicy = {:?}\nlisten = \"127.0.0.1:0\"\n\
             poll_seconds = 1\npython = \"/bin/false\"\nindex = \"\"\n{settings}\n",
            path("state"),
            path("run"),
            path("e3.toml"),
            path("policy.toml"),
        );
        let config = if settings.contains("trial_seconds") {
            config
        } else {
            config + "trial_seconds = 1\n"
        };
        fs::write(fleet.path("agent.toml"), config).unwrap();
        fleet.publish(None);
        fleet
    }

    pub(crate) fn path(&self, part: &str) -> PathBuf {
        self.folder.path().join(part)
    }

    /// Publishes the next root, with these release keys, and a head that stands on it.
    pub(crate) fn rotate(&mut self, release: &[&str]) {
        let root = &mut self.root.0;
        root.version += 1;
        root.release = Role {
            keys: release.iter().map(|name| key(name).public()).collect(),
            threshold: release.len(),
        };
        let envelope = Envelope::sign(root, &[&key("root")]).unwrap();
        let version = root.version;
        self.root.1 = envelope.digest();
        let path = self.path(&format!("hub/root/{version}.json"));
        fs::write(path, envelope.to_bytes()).unwrap();
        self.publish(None);
    }

    /// The agent's command line and environment.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("--config").arg(self.path("agent.toml"));
        command.env_clear().env("TMPDIR", self.path("tmp"));
        command
    }

    /// Puts bytes on the hub under their digest.
    pub(crate) fn put(&self, bytes: &[u8]) -> Blob {
        let blob = Blob::of(bytes);
        self.put_as(&blob.digest, bytes);
        blob
    }

    /// Puts bytes on the hub under some digest.
    pub(crate) fn put_as(&self, digest: &Digest, bytes: &[u8]) {
        fs::write(self.path("hub/sha256").join(digest.hex()), bytes).unwrap();
    }

    /// A release of this binary for this machine, not signed yet.
    pub(crate) fn draft(&self, counter: u64, version: &str, file: Blob) -> Release {
        let now = e3_client::clock::now();
        Release {
            fleet: self.root.0.fleet.clone(),
            epoch: 1,
            counter,
            version: version.to_owned(),
            signed: now,
            expires: now.plus(86_400),
            binaries: vec![Binary {
                target: target(),
                file,
            }],
        }
    }

    /// Signs a release with these keys and publishes a head that names it.
    pub(crate) fn publish_signed(&mut self, release: &Release, by: &[&str]) {
        let keys: Vec<SecretKey> = by.iter().map(|name| key(name)).collect();
        let envelope = Envelope::sign(release, &keys.iter().collect::<Vec<_>>()).unwrap();
        let blob = self.put(&envelope.to_bytes());
        self.publish(Some(blob));
    }

    /// Releases this binary as it should be.
    pub(crate) fn release(&mut self, counter: u64, version: &str, binary: &[u8]) -> Digest {
        let file = self.put(binary);
        let release = self.draft(counter, version, file);
        self.publish_signed(&release, &["release-a", "release-b"]);
        file.digest
    }

    /// Publishes the next head.
    pub(crate) fn publish(&mut self, release: Option<Blob>) {
        self.head += 1;
        let now = e3_client::clock::now();
        let head = Head {
            fleet: self.root.0.fleet.clone(),
            epoch: 1,
            counter: self.head,
            signed: now,
            expires: now.plus(86_400),
            root: RootRef {
                version: self.root.0.version,
                digest: self.root.1,
            },
            sessions: Vec::new(),
            revoked: Vec::new(),
            release,
            meshes: Vec::new(),
        };
        let envelope = Envelope::sign(&head, &[&key("head")]).unwrap();
        e3_client::files::write_atomic(&self.path("hub/head.json"), &envelope.to_bytes()).unwrap();
    }

    /// Starts the machine.
    pub(crate) fn boot(&self) -> Init {
        Init::start(self.command(&installed()), &self.path("init"))
    }

    /// What the machine remembers of updates.
    pub(crate) fn state(&self) -> State {
        let bytes = fs::read(self.path("state/update.json")).unwrap_or_else(|_| b"{}".to_vec());
        serde_json::from_slice(&bytes).unwrap()
    }

    /// Where the binary with this digest belongs on the machine.
    pub(crate) fn binary(&self, file: &Digest) -> PathBuf {
        self.path("state/bin").join(file.hex()).join("e3-agent")
    }

    /// The binaries that are on the machine.
    pub(crate) fn binaries(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("state/bin"));
        let names = entries.into_iter().flatten();
        let mut names: Vec<_> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// What the running agent says.
    pub(crate) fn status(&self) -> Option<Value> {
        let output = self
            .command(&installed())
            .args(["--json", "status"])
            .output()
            .unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
        answer.get("notes").is_some().then_some(answer)
    }

    /// Which agent runs, as it says itself.
    pub(crate) fn in_effect(&self) -> Value {
        let status = self.status().unwrap_or_default();
        status["release"].clone()
    }

    /// What the running agent says is wrong with its update.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        serde_json::from_value(self.status()?["notes"]["update"].clone()).ok()?
    }

    /// The verdicts on updates and releases in the journal, and how often; fails if it is not whole.
    pub(crate) fn journal(&self) -> BTreeMap<String, usize> {
        let verify = self
            .command(&installed())
            .args(["journal", "verify"])
            .output()
            .unwrap();
        assert!(verify.status.success(), "{verify:?}");
        let text = fs::read_to_string(self.path("state/journal.jsonl")).unwrap();
        let mut verdicts = BTreeMap::new();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let [subject, verdict] =
                ["subject", "verdict"].map(|field| line[field].as_str().unwrap());
            *verdicts.entry(format!("{subject} {verdict}")).or_default() += 1;
        }
        verdicts
    }

    /// Waits until it is so, and tells how things stand if it does not come.
    pub(crate) fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !is_so() {
            if begin.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.path("init/log")).unwrap_or_default();
                panic!("not so in time: {what}\n{:#?}\n{log}", self.state());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the agent that is this file has proved itself.
    pub(crate) fn until_committed(&self, init: &Init, file: &Digest) {
        self.until("it is committed and runs", || {
            let state = self.state();
            let committed = state
                .committed
                .is_some_and(|image| image.file.digest == *file);
            committed && init.runs() == Some(self.binary(file)) && self.status().is_some()
        });
    }
}
