//! Real Python, a real MPyC from PyPI, real processes; what is left of them is read in `/proc`.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command as Process, Stdio};
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
        .await
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
            .open(0, vec!["127.0.0.1:7000".to_owned()], false)
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

#[tokio::test]
async fn a_single_party_computes_and_its_output_is_kept_for_its_owner() {
    let agent = Agent::new().await;
    let spec = agent.spec(SUM);
    let mut run = agent.launch(&spec).await;
    let (machine, port) = run.at_gate().await;
    assert_eq!(
        (machine.mpyc.as_str(), &machine.python, port),
        (VERSION, &agent.runtime.python.version, None)
    );
    assert_eq!(agent.left(&spec).len(), 1);
    run.party
        .open(0, vec!["127.0.0.1:7000".to_owned()], false)
        .await
        .unwrap();
    assert_eq!(run.next().await, PartyEvent::Connected);
    assert_eq!(run.last().await, ended(0, None, "1\n"));
    assert_eq!(
        fs::read_to_string(spec.folder.join("stdout")).unwrap(),
        "1\n"
    );
    for name in ["stdout", "stderr"] {
        assert_eq!(
            fs::metadata(spec.folder.join(name))
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o600
        );
    }
    assert!(
        fs::read_dir(agent.folder.path().join("jobs"))
            .unwrap()
            .next()
            .is_none()
    );
    run.party.kill().await;
    assert!(run.party.open(0, Vec::new(), false).await.is_err());
}

#[tokio::test]
async fn three_parties_compute_over_loopback() {
    let agent = Agent::new().await;
    let mut runs = Vec::new();
    for me in 0..3 {
        let mut spec = agent.spec(&format!("{SUM}# {me}\n"));
        let free = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        spec.listen = (me > 0).then(|| Listen {
            host: "127.0.0.1".to_owned(),
            port: free,
        });
        runs.push(agent.launch(&spec).await);
    }
    let mut endpoints = Vec::new();
    for run in &mut runs {
        let port = run.at_gate().await.1.unwrap_or(7000);
        endpoints.push(format!("127.0.0.1:{port}"));
    }
    for (me, run) in runs.iter().enumerate() {
        run.party.open(me, endpoints.clone(), false).await.unwrap();
    }
    for run in &mut runs {
        assert_eq!(run.last().await, ended(0, None, "6\n"));
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_replaced() {
    let agent = Agent::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut spec = agent.spec("pass");
    spec.listen = Some(Listen {
        host: "127.0.0.1".to_owned(),
        port,
    });
    let mut run = agent.launch(&spec).await;
    assert_ne!(run.at_gate().await.1.unwrap(), port);
    run.party.kill().await;
}

#[tokio::test]
async fn the_program_finds_its_input_and_little_else() {
    let agent = Agent::new().await;
    let (mut run, _) = agent
        .run("import os\nprint(int(open(os.environ['E3_INPUTS'] + '/number').read()) + 1, sorted(os.environ))")
        .await;
    let PartyEvent::Ended { stdout, .. } = run.last().await else {
        panic!("it did not end")
    };
    let text = String::from_utf8(stdout)
        .unwrap()
        .replace("'LC_CTYPE', ", "");
    // MPYC_MAXWORKERS is MPyC's own doing.
    let expected = "42 ['E3_INPUTS', 'E3_JOB', 'HOME', 'LANG', 'MPYC_MAXWORKERS', 'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'PATH']\n";
    assert_eq!(text, expected);
}

#[tokio::test]
async fn how_a_program_ends_is_told_without_its_words() {
    let agent = Agent::new().await;
    for (program, expected) in [
        ("import sys; print('a'); sys.exit(7)", ended(7, None, "a\n")),
        (
            "raise ValueError('my secret is 42')",
            ended(1, Some("ValueError"), ""),
        ),
        (
            "import os; os.execv('/bin/sh', ['sh', '-c', 'echo from a shell; exit 5'])",
            ended(5, None, "from a shell\n"),
        ),
    ] {
        let (mut run, spec) = agent.run(program).await;
        assert_eq!(run.last().await, expected);
        assert_eq!(agent.left(&spec), [""; 0]);
    }
    let (mut run, _) = agent.run("import os; os.kill(os.getpid(), 11)").await;
    assert!(matches!(
        run.last().await,
        PartyEvent::Ended {
            exit: Exit::Signal(11),
            ..
        }
    ));
}

#[tokio::test]
async fn what_a_program_leaves_behind_is_gone_before_its_end_is_told() {
    let agent = Agent::new().await;
    let (mut run, spec) = agent
        .run(
            "
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with open('child.new', 'w') as f: print(os.getpid(), file=f)
        os.rename('child.new', 'child')
        time.sleep(1000)
    os._exit(0)
while not os.path.exists('child'): time.sleep(0.002)
while not os.path.exists('go'): time.sleep(0.002)
",
        )
        .await;
    let child = written(&spec.work.join("child")).await;
    let child = Path::new("/proc").join(child.trim());
    assert!(child.exists() && agent.left(&spec).len() == 2);
    files::write_private(&spec.work.join("go"), b"").unwrap();
    assert_eq!(run.last().await, ended(0, None, ""));
    assert!(!child.exists());
    assert_eq!(agent.left(&spec), [""; 0]);
}

#[tokio::test]
async fn a_program_that_prints_a_gibibyte_is_stopped_at_its_limit() {
    let agent = Agent::new().await;
    let (mut run, spec) = agent
        .run("import sys\nfor _ in range(1 << 14): sys.stdout.write('x' * (1 << 16))")
        .await;
    assert_eq!(
        run.last().await,
        PartyEvent::Broken(Reason::OutputTooLarge { limit: 1 << 20 })
    );
    assert_eq!(
        fs::metadata(spec.folder.join("stdout")).unwrap().len(),
        1 << 20
    );
    assert_eq!(agent.left(&spec), [""; 0]);

    // Of standard error there is no too much, but not all is kept.
    let (mut run, spec) = agent
        .run("import sys\nfor _ in range(1 << 10): sys.stderr.write('x' * (1 << 16))")
        .await;
    assert_eq!(run.last().await, ended(0, None, ""));
    assert_eq!(
        fs::metadata(spec.folder.join("stderr")).unwrap().len(),
        1 << 20
    );
}

#[tokio::test]
async fn killing_and_dropping_end_a_program_that_does_not_want_to() {
    let agent = Agent::new().await;
    let stubborn = "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.fork()\n\
                    open('ready', 'w').write('\\n')\nwhile True: time.sleep(1000)";
    let (mut run, spec) = agent.run(stubborn).await;
    written(&spec.work.join("ready")).await;
    run.party.kill().await;
    assert_eq!(agent.left(&spec), [""; 0]);
    assert!(matches!(
        run.last().await,
        PartyEvent::Ended {
            exit: Exit::Signal(_),
            ..
        }
    ));
    run.party.kill().await;

    let (Run { party, mut events }, spec) = agent.run(&format!("{stubborn} # again")).await;
    written(&spec.work.join("ready")).await;
    drop(party);
    while timeout(PATIENCE, events.recv()).await.unwrap().is_some() {}
    assert_eq!(agent.left(&spec), [""; 0]);
}

#[tokio::test]
async fn whatever_keeps_python_from_the_gate_is_named() {
    let agent = Agent::new().await;
    let good = agent.spec("pass");
    let version = Spec {
        mpyc_version: "0.12".to_owned(),
        ..good.clone()
    };
    let module = Spec {
        modules: vec!["no_such_module".to_owned()],
        ..good.clone()
    };
    let option = Spec {
        flags: vec!["--no-such-option".to_owned()],
        ..good.clone()
    };
    let host = Spec {
        listen: Some(Listen {
            host: "192.0.2.1".to_owned(),
            port: 7000,
        }),
        ..good.clone()
    };
    let foreign = Spec {
        mpyc_dir: good.work.clone(),
        ..good.clone()
    };
    let syntax = agent.spec("this is no Python");
    let failed = |text: &str| Reason::Supervisor {
        detail: text.to_owned(),
    };
    for (spec, expected) in [
        (
            version,
            Reason::MpycMismatch {
                pinned: "0.12".to_owned(),
                has: VERSION.to_owned(),
            },
        ),
        (
            module,
            Reason::ModuleMissing {
                module: "no_such_module".to_owned(),
            },
        ),
        (
            option,
            failed("MPyC does not know the option --no-such-option"),
        ),
        (
            foreign,
            failed("importing mpyc failed with ModuleNotFoundError"),
        ),
        (syntax, failed("Python cannot read it: SyntaxError")),
    ] {
        let mut run = agent.launch(&spec).await;
        assert_eq!(run.last().await, PartyEvent::Refused(expected));
        assert_eq!(agent.left(&spec), [""; 0]);
    }
    let PartyEvent::Refused(Reason::Supervisor { detail }) = agent.launch(&host).await.last().await
    else {
        panic!("listens at another's address")
    };
    assert!(
        detail.starts_with("cannot listen for the other parties: OSError"),
        "{detail}"
    );

    let missing = Spec {
        python: "/nowhere/python3".into(),
        ..good
    };
    let Err(Reason::Supervisor { detail }) =
        Party::launch(&agent.launcher, missing).await.map(|_| ())
    else {
        panic!("started")
    };
    assert!(
        detail.starts_with("cannot start /nowhere/python3: "),
        "{detail}"
    );
}

#[tokio::test]
async fn a_python_that_dies_before_the_go_is_no_end_of_the_program() {
    let agent = Agent::new().await;
    // A Python whose last words are its own.
    let script = agent.folder.path().join("python");
    files::write_atomic(
        &script,
        b"#!/bin/sh\necho 'no module named resource' >&2; exit 1\n",
    )
    .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let broken = Spec {
        python: script,
        ..agent.spec("pass")
    };
    let detail =
        "Python ended with exit code 1 before the program ran: no module named resource".to_owned();
    assert_eq!(
        agent.launch(&broken).await.last().await,
        PartyEvent::Refused(Reason::Supervisor { detail })
    );

    let spec = agent.spec("pass");
    let mut run = agent.launch(&spec).await;
    run.at_gate().await;
    let gate = agent.left(&spec)[0]
        .trim_start_matches("/proc/")
        .parse()
        .unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(gate),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    let PartyEvent::Broken(Reason::Supervisor { detail }) = run.last().await else {
        panic!("not noticed")
    };
    assert!(
        detail.starts_with("Python was killed by signal 9 before the program ran"),
        "{detail}"
    );
}

/// Finds the gate's socket, which is open in the same process, and writes to it.
const SPEAK: &str = "
import os, socket, stat
def speak(*lines):
    for fd in range(3, 100):
        try:
            s = socket.socket(fileno=os.dup(fd))
            if s.family == socket.AF_UNIX and s.getpeername(): break
        except OSError: pass
    for line in lines: s.sendall(line)
";

#[tokio::test]
async fn a_program_that_speaks_for_the_gate_harms_itself_only() {
    let agent = Agent::new().await;
    let long = format!(
        "{SPEAK}\ntry: speak(b'x' * (1 << 20))\nexcept OSError: pass\nimport time; time.sleep(1000)"
    );
    let (mut run, spec) = agent.run(&long).await;
    let PartyEvent::Broken(Reason::Supervisor { detail }) = run.last().await else {
        panic!("a line of 1 MiB was taken")
    };
    assert_eq!(detail, "the gate sent a line of more than 65536 bytes");
    assert_eq!(agent.left(&spec), [""; 0]);

    let lies = r#"speak(b'{"event": "ready", "port": 1, "python": "", "implementation": "", "mpyc": "", "modules": {}, "word_size": 1}\n', b'{"event": "refused", "reason": "port-in-use", "port": 1}\n', b'{"event": "raised", "type": "my secret is 42"}\n')"#;
    let (mut run, _) = agent.run(&format!("{SPEAK}\n{lies}")).await;
    assert_eq!(run.last().await, ended(0, Some("Exception"), ""));

    // A flood waits in its own socket, and the agent can still end it.
    let flood = r#"
open('ready', 'w').write('\n')
while True: speak(b'{"event": "connecting", "error": "x"}\n' * 1000)"#;
    let (run, spec) = agent.run(&format!("{SPEAK}{flood}")).await;
    written(&spec.work.join("ready")).await;
    timeout(PATIENCE, run.party.kill()).await.unwrap();
    assert_eq!(agent.left(&spec), [""; 0]);
}

/// Set for [`an_agent_that_will_be_killed`]: its state folder.
const VICTIM: &str = "E3_TEST_VICTIM";
const DAEMON: &str = "
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open('ready', 'w').write('\\n')
        time.sleep(1000)
    os._exit(0)
time.sleep(1000)
";

#[tokio::test]
#[ignore = "an agent in a process of its own, for the next test to kill"]
async fn an_agent_that_will_be_killed() {
    let Some(state) = std::env::var_os(VICTIM).map(PathBuf::from) else {
        return;
    };
    let launcher = Launcher::new(Supervisor::Process, &state, &state.join("run"))
        .await
        .unwrap();
    let (party, mut events) = Party::launch(&launcher, spec(&state, &runtime().await, DAEMON))
        .await
        .unwrap();
    while let Some(event) = events.recv().await {
        if matches!(event, PartyEvent::AtGate { .. }) {
            party
                .open(0, vec!["127.0.0.1:7000".to_owned()], false)
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn of_a_killed_agents_program_nothing_is_left_after_the_restart() {
    let agent = Agent::new().await;
    let state = agent.folder.path();
    let mut victim = Process::new(std::env::current_exe().unwrap());
    victim.args([
        "--exact",
        "party::tests::an_agent_that_will_be_killed",
        "--ignored",
        "--test-threads=1",
    ]);
    victim
        .env(VICTIM, state)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut victim = victim.spawn().unwrap();
    let spec = spec(state, &agent.runtime, DAEMON);
    written(&spec.work.join("ready")).await;
    assert_eq!(agent.left(&spec).len(), 2);
    victim.kill().unwrap();
    victim.wait().unwrap();
    agent.launcher.kill_leftovers(&spec.session).await;
    assert_eq!(agent.left(&spec), [""; 0]);
    // And the session can be run again, by the same ids.
    let mut run = agent.launch(&agent.spec(DAEMON)).await;
    run.at_gate().await;
    run.party.kill().await;
}

#[tokio::test]
#[ignore = "a measurement: run it alone, with --nocapture"]
async fn how_long_it_takes() {
    let agent = Agent::new().await;
    for _ in 0..7 {
        let spec = agent.spec("import time; print(time.time(), flush=True)");
        let begin = std::time::Instant::now();
        let mut run = agent.launch(&spec).await;
        let launched = begin.elapsed();
        run.at_gate().await;
        let at_gate = begin.elapsed();
        let open = std::time::SystemTime::now();
        run.party
            .open(0, vec!["127.0.0.1:7000".to_owned()], false)
            .await
            .unwrap();
        let PartyEvent::Ended { stdout, .. } = run.last().await else {
            panic!("it did not end")
        };
        let told = open.elapsed().unwrap();
        let line: f64 = String::from_utf8(stdout).unwrap().trim().parse().unwrap();
        let first = line
            - open
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap()
                .as_secs_f64();
        println!(
            "launch {launched:?}, at gate {at_gate:?}, first line {:.1} ms, end told {told:?}",
            first * 1000.0
        );
    }
}
