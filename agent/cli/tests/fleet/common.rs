//! A fleet of real processes to break, and what is needed to see what became of it.
//!
//! Nothing here waits for a fixed time: everything is awaited by what it leaves behind, with a
//! deadline that is far longer than a busy machine needs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use e3_cli::demo::local::{LocalFleet, Options};
use e3_cli::error::Error;
use e3_core::document::{Outcome, Presence, Progress, Receipt, Session};
use e3_core::envelope::{Envelope, Verified};
use e3_core::limits;
use e3_core::session::Failure;
use e3_core::session::verdict::{self, Verdict};
use e3_core::trust::Trust;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// For anything that must happen. Only a test that fails waits so long.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(15);

/// Adds up the parties' numbers and ends.
pub(crate) const QUICK: &str = include_str!("programs/quick.py");
/// Notes every start and runs until it is told to end.
pub(crate) const SLOW: &str = include_str!("programs/slow.py");

/// A fleet of alice, bob and carol, with everything that is needed to disturb it.
pub(crate) struct Rig {
    pub(crate) fleet: LocalFleet,
    /// Programs, manifests, marks, and the switches of the Python that can be held.
    pub(crate) scratch: tempfile::TempDir,
    sessions: u32,
}

/// What a manifest says besides name, parties and program.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan<'a> {
    /// The program's text.
    pub(crate) program: &'a str,
    /// Its arguments.
    pub(crate) args: Vec<String>,
    /// Lines before the first table.
    pub(crate) keys: &'a str,
    /// Tables; `[mpyc]` is there already and may be gone on with.
    pub(crate) tables: &'a str,
}

/// A session that was pushed.
pub(crate) struct Run {
    pub(crate) session: Verified<Session>,
    /// Where the programs leave their marks.
    pub(crate) marks: PathBuf,
}

/// Looks until there is something; panics with `what` after the deadline.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(DEADLINE, what, &mut look).await
}

/// The same with a deadline of its own.
pub(crate) async fn until_within<T>(
    deadline: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            begin.elapsed() < deadline,
            "not within {deadline:?}: {what}"
        );
        tokio::time::sleep(LOOK).await;
    }
}

/// The agent to test: `E3_AGENT`, or the one that was built beside this test.
pub(crate) fn agent() -> PathBuf {
    if let Some(path) = env::var_os("E3_AGENT") {
        return path.into();
    }
    let own = env::current_exe().unwrap();
    let built = own.ancestors().nth(2).unwrap().join("e3-agent");
    assert!(
        built.is_file(),
        "there is no {}: build it with `cargo build -p e3-agent`, or name one in E3_AGENT",
        built.display()
    );
    built
}

/// The Python that runs sessions: `E3_PYTHON`, the one that ci/test makes, or `python3`.
fn python() -> PathBuf {
    if let Some(path) = env::var_os("E3_PYTHON") {
        return path.into();
    }
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    let made = cache.unwrap_or_default().join("e3/party/bin/python");
    if made.is_file() {
        made
    } else {
        "python3".into()
    }
}

impl Rig {
    /// Brings a fleet up.
    pub(crate) async fn new() -> Self {
        e3_client::tls::install();
        let scratch = tempfile::Builder::new()
            .prefix("e3-fleet-")
            .tempdir()
            .unwrap();
        let held = held_python(scratch.path());
        let names = ["alice", "bob", "carol"].map(str::to_owned).to_vec();
        let options = Options {
            keep: None,
            agent: agent(),
            python: held,
            names,
            poll: 2,
        };
        let fleet = LocalFleet::start(options).await;
        let fleet = fleet.unwrap_or_else(|error| panic!("the fleet does not come up: {error}"));
        Self {
            fleet,
            scratch,
            sessions: 0,
        }
    }

    /// Writes a manifest and the program, and returns the manifest's path.
    pub(crate) fn manifest(&mut self, plan: &Plan<'_>) -> (PathBuf, PathBuf) {
        self.sessions += 1;
        let name = format!("session-{}", self.sessions);
        let marks = self.scratch.path().join(format!("{name}.marks"));
        fs::create_dir(&marks).unwrap();
        let program = self.scratch.path().join(format!("{name}.py"));
        fs::write(&program, plan.program).unwrap();
        let args: Vec<String> = plan
            .args
            .iter()
            .map(|arg| arg.replace("{marks}", marks.to_str().unwrap()))
            .collect();
        let text = format!(
            "name = {name:?}\nparties = [\"alice\", \"bob\", \"carol\"]\nprogram = {:?}\n\
             args = {args:?}\n{}\n[mpyc]\nversion = \"0.11\"\n{}\n",
            program.to_str().unwrap(),
            plan.keys,
            plan.tables
        );
        let path = self.scratch.path().join(format!("{name}.toml"));
        fs::write(&path, text).unwrap();
        (path, marks)
    }

    /// Writes, signs and pushes a session.
    pub(crate) async fn push(&mut self, plan: &Plan<'_>) -> Run {
        let run = self.try_push(plan).await;
        run.unwrap_or_else(|error| panic!("the session is not pushed: {error}"))
    }

    /// The same, if it is let.
    pub(crate) async fn try_push(&mut self, plan: &Plan<'_>) -> Result<Run, Error> {
        let (path, marks) = self.manifest(plan);
        let pushed = self.fleet.push(&path, &mut |_| {}).await?;
        Ok(Run {
            session: pushed.session,
            marks,
        })
    }

    /// All parties' receipts, as the hub has them.
    pub(crate) async fn receipts(&self, run: &Run) -> Vec<Receipt> {
        self.receipts_within(DEADLINE, run).await
    }

    /// The same within a deadline.
    pub(crate) async fn receipts_within(&self, deadline: Duration, run: &Run) -> Vec<Receipt> {
        let mut receipts: BTreeMap<usize, Receipt> = BTreeMap::new();
        let begin = Instant::now();
        while receipts.len() < 3 {
            for place in 0..3 {
                let hub = &self.fleet.open.hub;
                if !receipts.contains_key(&place)
                    && let Ok(Some(bytes)) = hub.receipt(&run.session.digest, place).await
                {
                    let receipt = verdict::open(&run.session, place, &bytes);
                    receipts.insert(place, receipt.unwrap_or_else(|error| panic!("{error}")));
                }
            }
            assert!(
                begin.elapsed() < deadline,
                "receipts of {:?} only after {deadline:?}; {}",
                receipts.keys().collect::<Vec<_>>(),
                self.logs()
            );
            tokio::time::sleep(LOOK).await;
        }
        receipts.into_values().collect()
    }

    /// What all receipts say together.
    pub(crate) async fn verdict(&self, run: &Run) -> Verdict {
        let receipts = self.receipts(run).await;
        judge(run, &receipts)
    }

    /// Every party says that the session ended well.
    pub(crate) async fn ends_well(&self, run: &Run) {
        let verdict = self.verdict(run).await;
        assert!(verdict.good, "{:?}; {}", verdict.problems, self.logs());
        self.is_clean(run).await;
    }

    /// Every party gives the same reason for the session's failure.
    pub(crate) async fn fails(&self, run: &Run) -> Failure {
        let receipts = self.receipts(run).await;
        let failures: Vec<Failure> = receipts.iter().filter_map(failure).collect();
        assert!(
            failures.len() == 3 && failures.iter().all(|failure| *failure == failures[0]),
            "not the same everywhere: {failures:?}; {}",
            self.logs()
        );
        self.is_clean(run).await;
        failures[0].clone()
    }

    /// A session like any other, to see that the fleet has recovered.
    pub(crate) async fn still_works(&mut self) {
        let plan = Plan {
            program: QUICK,
            keys: "equal = [\"stdout\"]",
            ..Plan::default()
        };
        let run = self.push(&plan).await;
        self.ends_well(&run).await;
        for place in 0..3 {
            assert_eq!(
                self.fleet.parties[place]
                    .stdout(&run.session.digest)
                    .unwrap(),
                "6\n"
            );
        }
    }

    /// A file of the session's folder at a party.
    pub(crate) fn file(&self, place: usize, run: &Run, name: &str) -> PathBuf {
        let state = self.fleet.parties[place].state();
        state
            .join("sessions")
            .join(run.session.digest.hex())
            .join(name)
    }

    /// What a party holds to be true, if it holds anything.
    pub(crate) fn trust(&self, place: usize) -> Option<Trust> {
        let path = self.fleet.parties[place].state().join("trust.json");
        let mut json: serde_json::Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        // The file's own, not the trust state's.
        for own in ["format", "writer"] {
            json.as_object_mut()?.remove(own);
        }
        Some(serde_json::from_value(json).unwrap())
    }

    /// The state that a party would resume from.
    pub(crate) fn checkpoint(&self, place: usize, run: &Run) -> String {
        let text = fs::read(self.file(place, run, "checkpoint.json")).unwrap_or_default();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        json["state"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits for a checkpoint.
    pub(crate) async fn reaches(&self, place: usize, run: &Run, state: &str) {
        let what = format!("party {place} reaches {state}; {}", self.logs());
        until(&what, async || {
            (self.checkpoint(place, run) == state).then_some(())
        })
        .await;
    }

    /// What a party tells the fleet of the session.
    pub(crate) async fn progress(&self, place: usize, run: &Run) -> Option<Progress> {
        let party = &run.session.document.parties[place];
        let bytes = self.fleet.open.hub.presence(&party.key).await.ok()??;
        let envelope = Envelope::parse(&bytes, limits::ENVELOPE).ok()?;
        let presence = envelope.verify::<Presence>(&[party.key], 1).ok()?.document;
        let session = presence
            .sessions
            .iter()
            .find(|s| s.manifest == run.session.digest)?;
        Some(session.progress)
    }

    /// Waits until the session's program computes at these parties.
    pub(crate) async fn runs_at(&self, run: &Run, places: &[usize]) {
        let what = format!("the program runs; {}", self.logs());
        let all = || {
            places
                .iter()
                .all(|place| run.marks.join(format!("{place}.runs")).exists())
        };
        until(&what, async || all().then_some(())).await;
    }

    /// Waits until the barrier is open at every party.
    pub(crate) async fn runs(&self, run: &Run) {
        for place in 0..3 {
            self.reaches(place, run, "committed").await;
        }
    }

    /// The agent's process.
    pub(crate) fn agent_pid(&self, place: usize) -> Pid {
        pid(self.fleet.parties[place].pid().expect("the agent runs"))
    }

    /// Nothing of the session is left at any party: no process, no input, no unpacked program.
    pub(crate) async fn is_clean(&self, run: &Run) {
        let what = format!("no process of the session is left; {}", self.logs());
        until(&what, async || self.processes(run).is_empty().then_some(())).await;
        for place in 0..3 {
            for name in ["work", "inputs"] {
                let path = self.file(place, run, name);
                let what = format!("{} is gone", path.display());
                until(&what, async || (!path.exists()).then_some(())).await;
            }
        }
    }

    /// Processes that were started for the session, at any party: its folder is in their environment.
    pub(crate) fn processes(&self, run: &Run) -> Vec<u32> {
        let fleet = self.fleet.folder.to_str().unwrap();
        let session = format!("sessions/{}", run.session.digest.hex());
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let is_its = |pid: &u32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let environment = String::from_utf8_lossy(&environment);
            environment.contains(fleet) && environment.contains(&session)
        };
        pids.filter(is_its).collect()
    }

    /// What the agents have logged, for whoever reads why a test failed.
    pub(crate) fn logs(&self) -> String {
        let mut text = String::new();
        for party in &self.fleet.parties {
            let log = fs::read_to_string(party.folder.join("agent.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let _ = write!(
                text,
                "\n--- {}\n{}",
                party.name,
                lines[lines.len().saturating_sub(20)..].join("\n")
            );
        }
        text
    }

    /// Gives a party an input for all sessions.
    pub(crate) fn give(&self, place: usize, input: &str, value: &str) {
        let party = &self.fleet.parties[place];
        let path = party.folder.join(input);
        fs::write(&path, value).unwrap();
        fs::write(
            party.policy(),
            format!("[inputs.{input}]\nfile = {:?}\n", path.to_str().unwrap()),
        )
        .unwrap();
    }

    /// Kills an agent and brings it up again.
    pub(crate) async fn restart(&mut self, place: usize) {
        self.fleet.kill_agent(place).await;
        self.fleet
            .start_agent(place)
            .unwrap_or_else(|error| panic!("{error}"));
    }

    /// Makes the agents ask Python who it is before the next session, and wait for the answer.
    pub(crate) fn hold_question(&self) {
        fs::write(self.scratch.path().join("hold-question"), "").unwrap();
        // The agents remember the answer until the file changes.
        let held = fs::File::options()
            .append(true)
            .open(self.scratch.path().join("python"))
            .unwrap();
        let changed = held.metadata().unwrap().modified().unwrap() + Duration::from_secs(1);
        held.set_modified(changed).unwrap();
    }

    /// Makes a party's Python wait on its way to the gate.
    pub(crate) fn hold_gate(&self, place: usize) {
        let name = format!("hold-gate-{}", self.fleet.parties[place].name);
        fs::write(self.scratch.path().join(name), "").unwrap();
    }

    /// Lets everything go on that is held.
    pub(crate) fn release(&self) {
        for entry in fs::read_dir(self.scratch.path()).unwrap().flatten() {
            if entry.file_name().to_string_lossy().starts_with("hold-") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
    }

    /// Ends everything.
    pub(crate) async fn stop(self) {
        self.release();
        self.fleet.stop().await;
    }
}

impl Run {
    /// Tells the slow program to end.
    pub(crate) fn finish(&self) {
        fs::write(self.marks.join("stop"), "").unwrap();
    }
}

/// What these receipts say together.
pub(crate) fn judge(run: &Run, receipts: &[Receipt]) -> Verdict {
    let receipts: Vec<Option<Receipt>> = receipts.iter().cloned().map(Some).collect();
    verdict::judge(&run.session.document, &receipts)
}

/// Why a receipt says that the session failed.
pub(crate) fn failure(receipt: &Receipt) -> Option<Failure> {
    match &receipt.outcome {
        Outcome::Failed { failure } => Some(failure.clone()),
        Outcome::Done => None,
    }
}

/// The processes of the session's program that have started at a party, as they noted themselves.
pub(crate) fn starts(run: &Run, place: usize) -> Vec<u32> {
    let marks = fs::read_to_string(run.marks.join(place.to_string())).unwrap_or_default();
    // A line that is not whole yet is not there yet.
    let whole = marks.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| line.parse().unwrap()).collect()
}

/// The slow program, told where to leave its marks.
pub(crate) fn slow() -> Plan<'static> {
    Plan {
        program: SLOW,
        args: vec!["{marks}".to_owned()],
        ..Plan::default()
    }
}

/// Sends a signal to a process that is there.
pub(crate) fn send(pid: Pid, signal: Signal) {
    kill(pid, signal).unwrap_or_else(|error| panic!("{signal} to {pid}: {error}"));
}

/// As nix takes it.
pub(crate) fn pid(pid: u32) -> Pid {
    Pid::from_raw(pid.cast_signed())
}

/// A Python that can be held, when it is asked who it is and on its way to the gate; otherwise it is
/// the machine's.
fn held_python(folder: &Path) -> PathBuf {
    let real = python();
    let held = folder.join("python");
    let text = include_str!("programs/held-python.sh")
        .replace("{FOLDER}", folder.to_str().unwrap())
        .replace("{PYTHON}", real.to_str().unwrap());
    fs::write(&held, text).unwrap();
    fs::set_permissions(&held, fs::Permissions::from_mode(0o755)).unwrap();
    held
}
