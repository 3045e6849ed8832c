//! Real processes that misbehave; whether any is left is read in `/proc`.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::super::output::{Keep, Output};
use super::super::{Files, job_id};
use super::*;
use crate::supervisor::registry::spawn_own;
use e3_core::document::Limits;

/// A program that has not printed by then never will.
const PATIENCE: Duration = Duration::from_mins(1);

/// Marks a test's processes in their command lines, which a program does not change by forking.
fn tagged(tag: &str) -> Vec<u32> {
    let alive = proc::all().into_iter().filter(proc::Process::is_alive);
    let has_tag = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|b| *b == 0)
            .any(|argument| argument == tag.as_bytes())
    };
    alive.map(|process| process.pid).filter(has_tag).collect()
}

struct Case {
    folder: tempfile::TempDir,
    job: Job,
    tag: String,
}

impl Drop for Case {
    fn drop(&mut self) {
        // A test that fails must not leave its processes.
        for pid in tagged(&self.tag) {
            let _ = nix::sys::signal::kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
    }
}

impl Case {
    /// A job that runs this Python text; `ready()` in it writes a line to standard output.
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let id = job_id(&e3_core::digest::Digest::of(text.as_bytes()), folder.path());
        let tag = format!("tag-{id}");
        let text = format!(
            "import os, signal, sys, time\ndef ready(): print(os.getpid(), flush=True)\n\
             def forever():\n    while True: time.sleep(1000)\n{text}"
        );
        let job = Job {
            id,
            dir: folder.path().to_owned(),
            cwd: folder.path().to_owned(),
            program: python_path(),
            args: ["-I", "-S", "-c", &text, &tag].map(OsString::from).to_vec(),
            env: Vec::new(),
            files: Files::default(),
            limits: Limits {
                memory: 1 << 30,
                cpu: 100,
                tasks: 64,
                output: 1 << 20,
            },
        };
        Self { folder, job, tag }
    }

    fn start(
        &self,
    ) -> (
        Started,
        mpsc::UnboundedReceiver<super::super::output::Trouble>,
        Output,
    ) {
        let mut started = start(&self.job).unwrap();
        let (tell, trouble) = mpsc::unbounded_channel();
        let (stdout, _) = make_pipe().unwrap();
        let pipe = std::mem::replace(&mut started.stdout, stdout);
        let output = Output::start(
            pipe,
            &self.folder.path().join("stdout"),
            Keep::All(1 << 20),
            tell,
        )
        .unwrap();
        (started, trouble, output)
    }

    /// Waits until the program has printed this many lines, by the time its file changes.
    async fn printed(&self, lines: usize) -> Vec<u32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(
                Instant::now() < deadline,
                "the program has not printed {lines} lines"
            );
            let text = fs::read_to_string(self.folder.path().join("stdout")).unwrap_or_default();
            let found: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
            if found.len() >= lines && text.ends_with('\n') {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// How many files of this process above standard error are not closed when another program starts.
fn inheritable() -> usize {
    let numbers = fs::read_dir("/proc/self/fdinfo")
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    let above = numbers.filter(|path| !["0", "1", "2"].iter().any(|n| path.ends_with(n)));
    let flags = above.filter_map(|path| {
        let info = fs::read_to_string(path).ok()?;
        u32::from_str_radix(
            info.lines()
                .find_map(|line| line.strip_prefix("flags:"))?
                .trim(),
            8,
        )
        .ok()
    });
    flags
        .filter(|flags| flags & nix::libc::O_CLOEXEC.unsigned_abs() == 0)
        .count()
}

fn python_path() -> PathBuf {
    let output = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .unwrap();
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// No process.
const NONE: [u32; 0] = [];

/// A grandchild in a session of its own, whose parent is gone: a daemon.
const DAEMON: &str = "
def daemon(prepare=lambda: None):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            prepare(); ready(); forever()
        os._exit(0)
    os.wait()
";

#[tokio::test]
async fn the_exit_of_the_program_is_told() {
    Processes::new().unwrap();
    for (text, expected) in [
        ("pass", Exit::Code(0)),
        ("sys.exit(7)", Exit::Code(7)),
        ("os.kill(os.getpid(), 9)", Exit::Signal(9)),
        ("os.kill(os.getpid(), 40)", Exit::Signal(40)),
    ] {
        let case = Case::new(text);
        let (mut started, _, _) = case.start();
        assert_eq!(started.running.ended().await.unwrap(), expected, "{text}");
        assert_eq!(
            started.running.ended().await.unwrap(),
            expected,
            "asked again"
        );
        assert!(!case.folder.path().join(NOTE).exists());
    }
}

#[tokio::test]
async fn the_process_gets_its_own_environment_and_nothing_open() {
    Processes::new().unwrap();
    let mut case = Case::new(
        "print(sorted(os.environ), os.getcwd(), len(os.listdir('/proc/self/fd')), os.read(0, 1), os.getpgrp() == os.getpid())",
    );
    case.job.env = vec![("HOME".into(), "/nowhere".into())];
    let (mut started, _, output) = case.start();
    // What whoever runs the tests lets everybody inherit, and the listed folder.
    let expected = 4 + inheritable();
    started.running.ended().await.unwrap();
    let text = String::from_utf8(output.finish().await.bytes).unwrap();
    let cwd = case.folder.path().display();
    // LC_CTYPE is Python's own doing.
    let text = text.replace("'LC_CTYPE', ", "").replace(", 'LC_CTYPE'", "");
    assert_eq!(
        text,
        format!("['E3_JOB', 'HOME'] {cwd} {expected} b'' True\n")
    );
}

#[tokio::test]
async fn nothing_is_left_when_the_main_process_has_ended() {
    Processes::new().unwrap();
    let plain = "if os.fork() == 0:\n    ready(); forever()";
    let ignores =
        "if os.fork() == 0:\n    signal.signal(signal.SIGTERM, signal.SIG_IGN); ready(); forever()";
    let daemon = "daemon()";
    // It prints while it still has the id: without one it may be gone before it can, see below.
    let nameless = "daemon(lambda: (ready(), os.execve(sys.executable, [sys.executable, '-I', '-S', '-c', \
                    'import time; time.sleep(1000)', sys.argv[1]], {})))";
    let stopped = "daemon(lambda: (ready(), os.kill(os.getpid(), signal.SIGSTOP)))";
    for text in [plain, ignores, daemon, nameless, stopped] {
        // The main process goes on only when the test says so, so that the child is there.
        let case = Case::new(&format!(
            "{DAEMON}{text}\nwhile not os.path.exists('go'): time.sleep(0.002)"
        ));
        let (mut started, _, _output) = case.start();
        let child = case.printed(1).await[0];
        // One without the job's id belongs to whichever job ends first; that may be another test's, and before this line.
        if text == nameless {
            while proc::variable(child, JOB_VARIABLE).is_some() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        } else {
            assert!(proc::one(child).unwrap().is_alive());
            assert!(tagged(&case.tag).contains(&child), "{text}");
        }
        files::write_atomic(&case.folder.path().join("go"), b"").unwrap();
        assert_eq!(
            started.running.ended().await.unwrap(),
            Exit::Code(0),
            "{text}"
        );
        assert_eq!(tagged(&case.tag), NONE, "{text}");
        assert!(
            proc::one(child).is_none_or(|p| p.parent != std::process::id()),
            "no zombie: {text}"
        );
    }
}

#[tokio::test]
async fn killing_leaves_nothing_whatever_the_program_does() {
    Processes::new().unwrap();
    let stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nready(); forever()";
    let family = "for _ in range(20):\n    if os.fork() == 0: break\nready(); forever()";
    let daemons = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nfor _ in range(3): daemon()\nready(); forever()";
    let exec = "os.execv('/bin/sh', ['sh', '-c', 'trap \"\" TERM; echo $$; while :; do sleep 1000; done', sys.argv[1]])";
    for (text, lines) in [(stubborn, 1), (family, 21), (daemons, 4), (exec, 1)] {
        let case = Case::new(&format!("{DAEMON}{text}"));
        let (mut started, _, _output) = case.start();
        let pids = case.printed(lines).await;
        assert!(tagged(&case.tag).len() >= lines, "{text}");
        started.running.kill().await.unwrap();
        started.running.kill().await.unwrap();
        assert_eq!(tagged(&case.tag), NONE, "{text}");
        assert!(
            pids.iter()
                .all(|pid| proc::one(*pid).is_none_or(|p| !p.is_alive())),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_fork_bomb_does_not_outrun_the_agent() {
    Processes::new().unwrap();
    // Every process forks a child and dies: the list is out of date as soon as it is read.
    let case = Case::new(
        "ready()\nend = time.time() + 60\nwhile time.time() < end:\n    if os.fork(): os._exit(0)\n    time.sleep(0.0005)",
    );
    let (mut started, _, _output) = case.start();
    case.printed(1).await;
    tokio::time::timeout(Duration::from_secs(20), started.running.ended())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(tagged(&case.tag), NONE);
}

#[tokio::test]
async fn a_dropped_job_is_ended() {
    Processes::new().unwrap();
    let case = Case::new(&format!(
        "{DAEMON}signal.signal(signal.SIGTERM, signal.SIG_IGN)\ndaemon()\nready(); forever()"
    ));
    let (started, _, _output) = case.start();
    case.printed(2).await;
    drop(started);
    assert_eq!(tagged(&case.tag), NONE);
}

#[tokio::test]
async fn jobs_side_by_side_and_helpers_of_the_agent_do_not_touch_each_other() {
    let processes = Processes::new().unwrap();
    let (a, b) = (
        Case::new(&format!("{DAEMON}daemon()\nready(); forever()")),
        Case::new(&format!("{DAEMON}daemon()\n# b\nready(); forever()")),
    );
    let mut command = tokio::process::Command::new("sleep");
    let (mut helper, _own) =
        spawn_own(command.arg("1000").process_group(0).kill_on_drop(true)).unwrap();
    let (mut job_a, _, _output_a) = a.start();
    let (mut job_b, _, _output_b) = b.start();
    a.printed(2).await;
    b.printed(2).await;
    job_a.running.kill().await.unwrap();
    assert_eq!(tagged(&a.tag), NONE);
    assert_eq!(tagged(&b.tag).len(), 2);
    assert_eq!(
        processes
            .reap_leftovers(&a.job.id, &a.job.dir)
            .await
            .unwrap(),
        0
    );
    assert_eq!(tagged(&b.tag).len(), 2);
    job_b.running.kill().await.unwrap();
    assert!(
        helper.try_wait().unwrap().is_none(),
        "the helper still runs"
    );
}

#[tokio::test]
async fn what_a_killed_agent_left_is_found_by_its_note_and_by_its_id() {
    let processes = Processes::new().unwrap();
    // The stand-in for whoever adopts what a killed agent leaves, so that it is not this process.
    let case = Case::new(&format!("{DAEMON}daemon()\nready(); forever()"));
    let out = File::create(case.folder.path().join("stdout")).unwrap();
    let mut init = Command::new(python_path());
    let text = "import ctypes, os, sys, time\nctypes.CDLL(None).prctl(36, 1, 0, 0, 0)\n\
                os.posix_spawn(sys.argv[2], sys.argv[2:], {'E3_JOB': sys.argv[1]})\ntime.sleep(1000)";
    init.args(["-I", "-S", "-c", text, &case.job.id])
        .arg(&case.job.program)
        .args(&case.job.args);
    let mut init = init
        .stdout(out)
        .current_dir(case.folder.path())
        .spawn()
        .unwrap();
    case.printed(2).await;
    // The stand-in has the tag among its arguments, too.
    assert_eq!(tagged(&case.tag).len(), 3);
    assert_eq!(
        processes
            .reap_leftovers(&case.job.id, &case.job.dir)
            .await
            .unwrap(),
        2
    );
    assert_eq!(tagged(&case.tag), [init.id()]);
    init.kill().unwrap();
    init.wait().unwrap();
    assert_eq!(
        processes
            .reap_leftovers(&case.job.id, &case.job.dir)
            .await
            .unwrap(),
        0,
        "again"
    );

    // A note whose process id now belongs to somebody else, or that is from before a reboot, is not believed.
    let me = proc::one(std::process::id()).unwrap();
    for (started, boot) in [
        (me.started + 1, proc::boot_id()),
        (me.started, "another".to_owned()),
    ] {
        let note = Note {
            pid: me.pid,
            started,
            boot,
        };
        files::write_private(
            &case.job.dir.join(NOTE),
            &serde_json::to_vec(&note).unwrap(),
        )
        .unwrap();
        assert_eq!(
            processes
                .reap_leftovers(&case.job.id, &case.job.dir)
                .await
                .unwrap(),
            0
        );
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    Processes::new().unwrap();
    let mut case = Case::new("");
    case.job.program = case.folder.path().join("python3");
    files::write_atomic(&case.job.program, b"no program").unwrap();
    fs::set_permissions(&case.job.program, fs::Permissions::from_mode(0o755)).unwrap();
    let error = start(&case.job).map(|_| ()).unwrap_err();
    assert!(
        matches!(&error, SupervisorError::Start { program, .. } if *program == case.job.program),
        "{error}"
    );
}
