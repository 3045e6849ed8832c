//! Who starts the agent, as systemd does: again and again, with a start timeout until it is ready for
//! the first time, and a watchdog from then on.

use std::fs::{self, File, OpenOptions};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Until it must be ready. A debug build on a busy machine needs seconds.
const START: Duration = Duration::from_secs(15);
/// Between signs of life.
const WATCHDOG: Duration = Duration::from_secs(15);
/// Between looks.
const LOOK: Duration = Duration::from_millis(10);

/// The machine's first process. The agent ends with it.
pub(crate) struct Init {
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    pid: AtomicI32,
    starts: AtomicUsize,
    /// How each start ended: `exit status: 0`, `signal: 9 (SIGKILL)`.
    ends: Mutex<Vec<String>>,
}

impl Init {
    /// Runs `command run`, again and again; its output goes to `folder/log`.
    pub(crate) fn start(mut command: Command, folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let socket = folder.join("notify");
        let _ = fs::remove_file(&socket);
        let notify = UnixDatagram::bind(&socket).unwrap();
        notify.set_read_timeout(Some(LOOK)).unwrap();
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("log"))
            .unwrap();
        command
            .arg("run")
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        let shared = Arc::new(Shared::default());
        let its = Arc::clone(&shared);
        let thread = std::thread::spawn(move || its.supervise(&mut command, &notify, &log));
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// The process, while there is one.
    pub(crate) fn pid(&self) -> Option<Pid> {
        let pid = self.shared.pid.load(Ordering::SeqCst);
        (pid > 0).then(|| Pid::from_raw(pid))
    }

    /// The binary that runs.
    pub(crate) fn runs(&self) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/exe", self.pid()?)).ok()
    }

    /// Kills the agent as a power cut would.
    pub(crate) fn kill(&self) {
        if let Some(pid) = self.pid() {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }

    /// How often the agent was started.
    pub(crate) fn starts(&self) -> usize {
        self.shared.starts.load(Ordering::SeqCst)
    }

    /// How the starts ended.
    pub(crate) fn ends(&self) -> Vec<String> {
        self.shared.ends.lock().unwrap().clone()
    }

    /// Shuts the machine down in good order.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn supervise(&self, command: &mut Command, notify: &UnixDatagram, log: &File) {
        while !self.stop.load(Ordering::SeqCst) {
            // By way of a pipe: a bound for the agent's files is none for what it says.
            let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
            let (mut said, mut log) = (child.stderr.take().unwrap(), log.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut said, &mut log));
            self.pid
                .store(i32::try_from(child.id()).unwrap(), Ordering::SeqCst);
            self.starts.fetch_add(1, Ordering::SeqCst);
            let status = self.watch(&mut child, notify);
            self.pid.store(0, Ordering::SeqCst);
            self.ends.lock().unwrap().push(status);
        }
    }

    /// Until it ends, by itself or by us.
    fn watch(&self, child: &mut Child, notify: &UnixDatagram) -> String {
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let (mut due, mut told) = (Instant::now() + START, None);
        let mut is_ready = false;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                let core = if status.core_dumped() {
                    " with core"
                } else {
                    ""
                };
                return format!("{status}{core}");
            }
            let mut message = [0; 4096];
            if let Ok(length) = notify.recv(&mut message) {
                let message = String::from_utf8_lossy(&message[..length]).into_owned();
                is_ready |= message.contains("READY=1");
                if message.contains("READY=1") || message.contains("WATCHDOG=1") {
                    due = Instant::now() + WATCHDOG;
                }
            }
            let is_over = self.stop.load(Ordering::SeqCst);
            if told.is_none() && (is_over || Instant::now() > due) {
                let signal = match (is_over, is_ready) {
                    (true, _) | (_, false) => Signal::SIGTERM,
                    (false, true) => Signal::SIGABRT,
                };
                let _ = kill(pid, signal);
                told = Some(Instant::now());
            }
            if told.is_some_and(|told| told.elapsed() > Duration::from_secs(5)) {
                let _ = kill(pid, Signal::SIGKILL);
            }
        }
    }
}
