//! The fleet's relay beside the hub: `e3-link relay`, a process of its own, so that this program has no QUIC in it.
//!
//! It serves whom the hub knows: the transport keys that enrolled parties name in their presences. They lie in a file that
//! the relay reads again when it changes. The relay ends with the hub, however that ends, since its standard input ends then.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use e3_client::files::{private_folder, write_atomic};
use e3_core::mesh::link::{Id, KeySource, RELAYED, RelayConfig, RelayReady};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::commands::doctor::find_program;
use crate::error::Error;

/// From the start to the word that it serves.
const START: Duration = Duration::from_secs(10);
/// For its end, before it is killed.
const STOP: Duration = Duration::from_secs(3);
/// Between two starts of one that dies, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// What is chosen.
pub(super) struct Settings {
    /// The program; looked for beside this one and in `PATH` if nobody has named it.
    pub(super) program: Option<PathBuf>,
    pub(super) listen: SocketAddr,
    pub(super) discovery: SocketAddr,
    /// Where it is told what to do; not in a temporary folder, which a hub that is killed leaves behind.
    pub(super) folder: PathBuf,
    /// PEM files.
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// The keys that it serves, as the hub tells them; nothing before it knows.
pub(super) type Keys = watch::Receiver<Option<BTreeSet<String>>>;

/// A relay that serves.
pub(super) struct Relay {
    /// Where.
    pub(super) ready: RelayReady,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// One run of the program.
struct Run {
    child: Child,
    /// What it lives by.
    stdin: Option<ChildStdin>,
    said: Lines<BufReader<ChildStderr>>,
    ready: RelayReady,
}

/// Starts the relay; returns once it serves.
pub(super) async fn start(settings: Settings, mut keys: Keys) -> Result<Relay, Error> {
    let program = find(settings.program.as_deref())?;
    let folder = absolute(&settings.folder)?;
    private_folder(&folder)?;
    let allow = folder.join("allow.json");
    // At its first look there is a list.
    let known = keys.wait_for(Option::is_some).await;
    let known = known.map(|keys| keys.clone()).unwrap_or_default();
    write_list(&allow, known.as_ref())?;
    let config = RelayConfig {
        listen: settings.listen,
        discovery: settings.discovery,
        certificate: absolute(&settings.certificate)?,
        key: KeySource::File(absolute(&settings.key)?),
        allow: allow.clone(),
        bytes_per_second: None,
    };
    let config_path = folder.join("relay.json");
    let json = serde_json::to_vec(&config).unwrap_or_default();
    write_atomic(&config_path, &json)?;
    let run = launch(&program, &config_path).await?;
    let ready = run.ready;
    let (stop, stopping) = oneshot::channel();
    let task = tokio::spawn(async move {
        let list = follow(allow, keys);
        let serve = serve(&program, &config_path, run, stopping);
        tokio::select! {
            () = list => {}
            () = serve => {}
        }
    });
    Ok(Relay { ready, stop, task })
}

impl Relay {
    /// Ends it; resolves when it has ended.
    pub(super) async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

/// Writes the list again whenever it changes, for ever.
async fn follow(path: PathBuf, mut keys: Keys) {
    while keys.changed().await.is_ok() {
        let known = keys.borrow_and_update().clone();
        if let Err(error) = write_list(&path, known.as_ref()) {
            warn(&format!("its list of parties cannot be written: {error}"));
        }
    }
    std::future::pending::<()>().await;
}

fn write_list(path: &Path, keys: Option<&BTreeSet<String>>) -> Result<(), Error> {
    // A key that is none is nobody's loss but its party's.
    let ids = keys
        .into_iter()
        .flatten()
        .filter_map(|key| key.parse().ok());
    let ids: Vec<Id> = ids.take(RELAYED).collect();
    let json = serde_json::to_vec(&ids).unwrap_or_default();
    Ok(write_atomic(path, &json)?)
}

/// Keeps the relay running until `stopping`, and ends it then.
async fn serve(program: &Path, config: &Path, mut run: Run, mut stopping: oneshot::Receiver<()>) {
    let mut pause = PAUSE.0;
    loop {
        let begun = Instant::now();
        let last = tokio::select! {
            last = run.ends() => last,
            _ = &mut stopping => return run.stop().await,
        };
        if begun.elapsed() > PAUSE.1 {
            pause = PAUSE.0;
        }
        warn(&format!("it has ended and is started again: {last}"));
        run = loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = &mut stopping => return,
            }
            pause = (pause * 2).min(PAUSE.1);
            match launch(program, config).await {
                Ok(run) => break run,
                Err(error) => warn(&error.to_string()),
            }
        };
    }
}

/// Starts the program and waits until it serves.
async fn launch(program: &Path, config: &Path) -> Result<Run, Error> {
    let spawned = Command::new(program)
        .args(["relay", "--attached", "--config"])
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = spawned.map_err(|error| Error::Relay {
        detail: format!("{} cannot be started: {error}", program.display()),
    })?;
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(Error::Relay {
            detail: "it has no pipes".to_owned(),
        });
    };
    let mut said = BufReader::new(stderr).lines();
    let mut told = BufReader::new(stdout).lines();
    let first = timeout(START, told.next_line())
        .await
        .map_err(|_| Error::Relay {
            detail: format!("it does not serve within {} seconds", START.as_secs()),
        })?;
    let ready = first.ok().flatten();
    let ready = ready.and_then(|line| serde_json::from_str::<RelayReady>(&line).ok());
    let Some(ready) = ready else {
        let _ = child.start_kill();
        let detail = rest(&mut said).await;
        return Err(Error::Relay { detail });
    };
    Ok(Run {
        child,
        stdin: Some(stdin),
        said,
        ready,
    })
}

impl Run {
    /// Passes on what it says, until it ends; its last words, or how it ended.
    async fn ends(&mut self) -> String {
        let last = rest(&mut self.said).await;
        match self.child.wait().await {
            Ok(status) if last.is_empty() => status.to_string(),
            _ => last,
        }
    }

    async fn stop(&mut self) {
        drop(self.stdin.take());
        if timeout(STOP, self.ends()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// Passes on all lines that are still to come, as they come; returns the last one, without the program's name.
async fn rest(lines: &mut Lines<BufReader<impl AsyncRead + Unpin>>) -> String {
    let mut last = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(error) = line.strip_prefix("e3-link: ") {
            last = e3_core::text::clean(error, e3_core::text::DETAIL);
        } else {
            eprintln!("relay: {}", e3_core::text::clean(&line, 1000));
        }
    }
    last
}

fn warn(what: &str) {
    eprintln!("relay: {what}");
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|source| Error::Folder {
        action: "find",
        path: path.to_owned(),
        source,
    })
}

/// The program: as it was named, or beside this one, or in `PATH`.
fn find(named: Option<&Path>) -> Result<PathBuf, Error> {
    let missing = || Error::NoLinkBinary {
        program: named.map(Path::to_owned),
    };
    if let Some(path) = named {
        return path.is_file().then(|| path.to_owned()).ok_or_else(missing);
    }
    find_program("e3-link").ok_or_else(missing)
}
