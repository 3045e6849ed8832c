//! Real Python, a real MPyC from PyPI, real processes; what is left of them is read in `/proc`.
//!
//! Here is what the tests stand on; they themselves are in the folder, one file for each idea.

mod ends;
mod gate;
mod measure;
mod restart;
mod runs;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command as Process;
use std::time::Duration;

use e3_client::files;
use e3_core::digest::Blob;
use nix::fcntl::{Flock, FlockArg};
use tokio::time::timeout;

use super::*;
use crate::config::Supervisor;
use crate::runtime::{Pythons, Runtime, Runtimes};

/// A loaded machine is no failure.
const PATIENCE: Duration = Duration::from_mins(1);
const VERSION: &str = "0.11";
/// As PyPI has it.
const WHEEL: &str = "059ffa3396089ebb77beb43ea2f8040f2a20f3fc7ff6d3c839df3b3f3c28d38e";

const SUM: &str = "
from mpyc.runtime import mpc
secint = mpc.SecInt(32)
mpc.run(mpc.start())
print(mpc.run(mpc.output(mpc.sum(mpc.input(secint(mpc.pid + 1))))))
mpc.run(mpc.shutdown())
";

/// The wheel in `E3_TEST_WHEEL`, or the one that pip has fetched into the user's cache.
fn wheel(cache: &Path) -> Vec<u8> {
    let cached = cache
        .join("wheels")
        .join(format!("mpyc-{VERSION}-py3-none-any.whl"));
    let path = std::env::var_os("E3_TEST_WHEEL").map_or(cached, PathBuf::from);
    if !path.exists() {
        let fetched = tempfile::tempdir_in(cache).unwrap();
        let mut pip = Process::new("python3");
        pip.args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary",
            ":all:",
            "-d",
        ])
        .arg(fetched.path());
        let output = pip.arg(format!("mpyc=={VERSION}")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "pip cannot fetch MPyC; set E3_TEST_WHEEL to its wheel: {said}"
        );
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::rename(fetched.path().join(path.file_name().unwrap()), &path).unwrap();
    }
    let bytes = fs::read(&path).unwrap();
    assert_eq!(
        Blob::of(&bytes).digest.hex(),
        WHEEL,
        "{} is not PyPI's",
        path.display()
    );
    bytes
}

/// The real runtime, unpacked and compiled once per machine.
async fn runtime() -> Runtime {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache
        .unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"))
        .join("e3");
    fs::create_dir_all(&cache).unwrap();
    let lock = fs::File::create(cache.join("test-runtime.lock")).unwrap();
    // Blocks: other tests, in this process and in others, want the same.
    let lock = tokio::task::spawn_blocking(|| Flock::lock(lock, FlockArg::LockExclusive).unwrap())
        .await
        .unwrap();
    let bytes = wheel(&cache);
    let python =
        std::env::var_os("E3_TEST_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    let python = Pythons::default().find(&python).await.unwrap();
    let runtimes = Runtimes::open(&cache.join("test-runtime")).unwrap();
    let runtime = runtimes
        .prepare(&Blob::of(&bytes), bytes, VERSION, &python)
        .await
        .unwrap();
    drop(lock);
    runtime
}

/// An agent's folders.
struct Agent {
    folder: tempfile::TempDir,
    launcher: Launcher,
    runtime: Runtime,
}

impl Agent {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let launcher = Launcher::new(
            Supervisor::Process,
            folder.path(),
            &folder.path().join("run"),
        )
        .unwrap();
        Self {
            launcher,
            runtime: runtime().await,
            folder,
        }
    }

    fn spec(&self, program: &str) -> Spec {
        spec(self.folder.path(), &self.runtime, program)
    }

    async fn launch(&self, spec: &Spec) -> Run {
        let (party, events) = Party::launch(&self.launcher, spec.clone()).await.unwrap();
        Run { party, events }
    }

    /// The program behind the open gate, as a single party.
    async fn run(&self, program: &str) -> (Run, Spec) {
        let spec = self.spec(program);
        let mut run = self.launch(&spec).await;
        run.at_gate().await;
        run.party
            .open(
                0,
                vec!["127.0.0.1:7000".to_owned()],
                None,
                Around::default(),
            )
            .await
            .unwrap();
        (run, spec)
    }

    /// The processes of a session that are alive, by the job's id, which they carry.
    fn left(&self, spec: &Spec) -> Vec<String> {
        left(self.folder.path(), &spec.session)
    }
}

fn left(state: &Path, session: &Digest) -> Vec<String> {
    let id = crate::supervisor::job_id(session, &state.join("jobs"));
    let carries = |path: &PathBuf| {
        let environment = fs::read(path.join("environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == format!("E3_JOB={id}").as_bytes())
    };
    let processes = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    processes
        .filter(carries)
        .map(|path| path.display().to_string())
        .collect()
}

fn spec(state: &Path, runtime: &Runtime, program: &str) -> Spec {
    let session = Digest::of(program.as_bytes());
    let folder = state.join("sessions").join(session.hex());
    let (work, inputs) = (folder.join("work"), folder.join("inputs"));
    files::private_folder(&work).unwrap();
    files::private_folder(&inputs).unwrap();
    files::write_private(&inputs.join("number"), b"41").unwrap();
    files::write_private(&work.join("main.py"), program.as_bytes()).unwrap();
    Spec {
        session,
        folder,
        work,
        inputs,
        tls: None,
        python: runtime.python.path.clone(),
        mpyc_dir: runtime.mpyc_dir.clone(),
        mpyc_version: VERSION.to_owned(),
        modules: Vec::new(),
        flags: Vec::new(),
        args: Vec::new(),
        entry: "main.py".to_owned(),
        limits: Limits {
            memory: 2 << 30,
            cpu: 100,
            tasks: 64,
            output: 1 << 20,
        },
        listen: None,
    }
}

struct Run {
    party: Party,
    events: mpsc::Receiver<PartyEvent>,
}

impl Run {
    async fn next(&mut self) -> PartyEvent {
        timeout(PATIENCE, self.events.recv())
            .await
            .unwrap()
            .unwrap()
    }

    async fn at_gate(&mut self) -> (Machine, Option<u16>) {
        match self.next().await {
            PartyEvent::AtGate { machine, port } => (machine, port),
            other => panic!("{other:?}"),
        }
    }

    /// The last event; nothing comes after it.
    async fn last(&mut self) -> PartyEvent {
        loop {
            match self.next().await {
                PartyEvent::Connected | PartyEvent::ConnectError(_) => {}
                last => {
                    assert_eq!(timeout(PATIENCE, self.events.recv()).await.unwrap(), None);
                    return last;
                }
            }
        }
    }
}

/// Waits until the program has written this file, and returns what is in it.
async fn written(path: &Path) -> String {
    let look = async {
        loop {
            match fs::read_to_string(path) {
                Ok(text) if text.ends_with('\n') => return text,
                _ => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    };
    timeout(PATIENCE, look).await.unwrap()
}

fn ended(code: i32, exception: Option<&str>, stdout: &str) -> PartyEvent {
    let exception = exception.map(str::to_owned);
    PartyEvent::Ended {
        exit: Exit::Code(code),
        exception,
        stdout: stdout.as_bytes().to_vec(),
    }
}
