//! Against a systemd that the test itself serves, at the other end of a socket pair.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e3_core::digest::Digest;
use e3_core::document::{Exit, Limits};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, OwnedObjectPath, OwnedVariant};

use super::instance::CLD_EXITED;
use super::*;
use crate::supervisor::output::{Keep, Output};
use crate::supervisor::{Files, job_id};

const UNIT_PATH: &str = "/org/freedesktop/systemd1/unit/party";

/// What the fake does with the next jobs, and what was asked of it.
#[derive(Default)]
struct Script {
    calls: Vec<String>,
    /// Units that were looked at.
    loaded: BTreeSet<String>,
    /// Job results by method; `done` if there is none.
    results: BTreeMap<&'static str, Vec<&'static str>>,
    /// What the unit writes to its standard output when it starts.
    prints: Option<(PathBuf, Vec<u8>)>,
    /// Errors by method, before anything is done.
    refuses: BTreeMap<&'static str, zbus::fdo::Error>,
    /// The method whose next call the bus takes with it when it goes.
    loses: Option<&'static str>,
    /// What was set.
    set: Vec<(String, OwnedVariant)>,
    /// Jobs end without a signal.
    is_mute: bool,
}

type Shared = Arc<Mutex<Script>>;

struct FakeManager(Shared);

impl FakeManager {
    fn refuse(&self, call: &'static str) -> zbus::fdo::Result<()> {
        let mut script = self.0.lock().unwrap();
        if script.loses.take_if(|lost| *lost == call).is_some() {
            return Err(zbus::fdo::Error::NoReply("the bus is gone".to_owned()));
        }
        let refused = script.refuses.get(call).cloned();
        refused.map_or(Ok(()), Err)
    }

    async fn job(
        &self,
        call: &'static str,
        name: &str,
        emitter: SignalEmitter<'_>,
    ) -> OwnedObjectPath {
        let (result, prints) = {
            let mut script = self.0.lock().unwrap();
            script.calls.push(format!("{call} {name}"));
            let results = script.results.entry(call).or_default();
            let result = if results.is_empty() {
                "done"
            } else {
                results.remove(0)
            };
            (result, script.prints.take().filter(|_| call == "StartUnit"))
        };
        if let Some((pipe, bytes)) = prints {
            fs::File::options()
                .write(true)
                .open(pipe)
                .unwrap()
                .write_all(&bytes)
                .unwrap();
        }
        let job = OwnedObjectPath::try_from("/org/freedesktop/systemd1/job/7").unwrap();
        if self.0.lock().unwrap().is_mute {
            return job;
        }
        let other = OwnedObjectPath::try_from("/org/freedesktop/systemd1/job/6").unwrap();
        // Another unit's job first, and the signals before the reply, as it happens on a fast machine.
        Self::job_removed(
            &emitter,
            6,
            other,
            "other.service".to_owned(),
            "failed".to_owned(),
        )
        .await
        .unwrap();
        Self::job_removed(&emitter, 7, job.clone(), name.to_owned(), result.to_owned())
            .await
            .unwrap();
        job
    }
}

#[zbus::interface(name = "org.freedesktop.systemd1.Manager")]
impl FakeManager {
    fn subscribe(&self) {
        self.0.lock().unwrap().calls.push("Subscribe".to_owned());
    }
    fn load_unit(&self, name: &str) -> OwnedObjectPath {
        self.0.lock().unwrap().loaded.insert(name.to_owned());
        OwnedObjectPath::try_from(UNIT_PATH).unwrap()
    }
    async fn start_unit(
        &self,
        name: &str,
        mode: &str,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> zbus::fdo::Result<OwnedObjectPath> {
        assert_eq!(mode, "replace");
        self.refuse("StartUnit")?;
        Ok(self.job("StartUnit", name, emitter).await)
    }
    fn set_unit_properties(
        &self,
        name: &str,
        runtime: bool,
        properties: Vec<(String, OwnedVariant)>,
    ) -> zbus::fdo::Result<()> {
        assert!(runtime, "nothing may stay after a reboot");
        self.refuse("SetUnitProperties")?;
        let mut script = self.0.lock().unwrap();
        let names: Vec<_> = properties.iter().map(|each| each.0.as_str()).collect();
        script
            .calls
            .push(format!("SetUnitProperties {name} {}", names.join(" ")));
        script.set.extend(properties);
        Ok(())
    }
    async fn stop_unit(
        &self,
        name: &str,
        mode: &str,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
        #[zbus(object_server)] server: &zbus::ObjectServer,
    ) -> zbus::fdo::Result<OwnedObjectPath> {
        assert_eq!(mode, "replace");
        let job = self.job("StopUnit", name, emitter).await;
        if let Ok(unit) = server.interface::<_, FakeUnit>(UNIT_PATH).await {
            end(&unit, "inactive").await;
        }
        Ok(job)
    }
    fn kill_unit(&self, name: &str, whom: &str, signal: i32) {
        self.0
            .lock()
            .unwrap()
            .calls
            .push(format!("KillUnit {name} {whom} {signal}"));
    }
    fn reset_failed_unit(&self, name: &str) {
        self.0
            .lock()
            .unwrap()
            .calls
            .push(format!("ResetFailedUnit {name}"));
    }
    #[zbus(signal)]
    async fn reloading(emitter: &SignalEmitter<'_>, active: bool) -> zbus::Result<()>;
    #[zbus(signal)]
    async fn job_removed(
        emitter: &SignalEmitter<'_>,
        id: u32,
        job: OwnedObjectPath,
        unit: String,
        result: String,
    ) -> zbus::Result<()>;
}

struct FakeUnit {
    load: &'static str,
    state: &'static str,
    sub: &'static str,
    job: u32,
}

#[zbus::interface(name = "org.freedesktop.systemd1.Unit")]
impl FakeUnit {
    #[zbus(property)]
    fn load_state(&self) -> &str {
        self.load
    }
    #[zbus(property)]
    fn active_state(&self) -> &str {
        self.state
    }
    #[zbus(property)]
    fn sub_state(&self) -> &str {
        self.sub
    }
    #[zbus(property)]
    fn job(&self) -> (u32, OwnedObjectPath) {
        (self.job, OwnedObjectPath::try_from("/").unwrap())
    }
}

struct FakeService {
    main_pid: u32,
    result: &'static str,
    code: i32,
    status: i32,
}

#[zbus::interface(name = "org.freedesktop.systemd1.Service")]
impl FakeService {
    #[zbus(property)]
    fn result(&self) -> &str {
        self.result
    }
    #[zbus(property)]
    fn exec_main_code(&self) -> i32 {
        self.code
    }
    #[zbus(property)]
    fn exec_main_status(&self) -> i32 {
        self.status
    }
    #[zbus(property, name = "MainPID")]
    fn main_pid(&self) -> u32 {
        self.main_pid
    }
}

async fn end(unit: &zbus::object_server::InterfaceRef<FakeUnit>, state: &'static str) {
    let mut fake = unit.get_mut().await;
    (fake.state, fake.sub) = match state {
        // As `RemainAfterExit=yes` has it.
        "exited" => ("active", "exited"),
        state => (state, state),
    };
    fake.active_state_changed(unit.signal_emitter())
        .await
        .unwrap();
}

struct Bench {
    folder: tempfile::TempDir,
    script: Shared,
    server: Arc<Mutex<Connection>>,
    systemd: Systemd,
    job: Job,
}

/// systemd at one end, the agent's connection at the other.
async fn pair(script: Shared) -> (Connection, Connection) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let running = FakeUnit {
        load: "loaded",
        job: 0,
        state: "active",
        sub: "running",
    };
    let server = zbus::connection::Builder::unix_stream(theirs)
        .server(zbus::Guid::generate())
        .p2p()
        .serve_at("/org/freedesktop/systemd1", FakeManager(script))
        .serve_at(UNIT_PATH, running)
        .serve_at(
            UNIT_PATH,
            FakeService {
                main_pid: 4242,
                result: "success",
                code: CLD_EXITED,
                status: 0,
            },
        );
    let client = zbus::connection::Builder::unix_stream(ours).p2p();
    tokio::try_join!(server.build(), client.build()).unwrap()
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = Shared::default();
        let (server, client) = pair(script.clone()).await;
        let server = Arc::new(Mutex::new(server));
        let first = Mutex::new(Some(client));
        let (again, place) = (script.clone(), server.clone());
        // The first connection is there; each other one leads to a systemd that was restarted.
        let dial = Arc::new(move || {
            let first = first.lock().unwrap().take();
            let (script, place) = (again.clone(), place.clone());
            async move {
                if let Some(first) = first {
                    return Ok(first);
                }
                let (server, client) = pair(script).await;
                *place.lock().unwrap() = server;
                Ok(client)
            }
            .boxed()
        });
        // Nothing waits for so long: a bus that is gone comes back at once.
        let bus = Bus::by(dial, Duration::from_mins(1));
        let root = folder.path().join("run");
        fs::create_dir(&root).unwrap();
        let systemd = Systemd {
            bus,
            root,
            wanted: Wanted::default(),
        };
        let dir = folder.path().to_owned();
        let inputs = dir.join("inputs");
        fs::create_dir(&inputs).unwrap();
        fs::write(inputs.join("number"), "41").unwrap();
        fs::write(dir.join("gate.py"), "the gate").unwrap();
        let job = Job {
            id: job_id(&Digest::of(b"session"), &dir),
            cwd: dir.clone(),
            program: PathBuf::from("/usr/bin/python3"),
            args: vec![OsString::from("-I"), OsString::from("gate.py")],
            env: Vec::new(),
            files: Files {
                gate: dir.join("gate.py"),
                program: dir.join("work"),
                mpyc: dir.join("mpyc"),
                inputs,
                tls: None,
            },
            limits: Limits {
                memory: 1 << 30,
                cpu: 150,
                tasks: 64,
                output: 1 << 20,
            },
            dir,
        };
        Self {
            folder,
            script,
            server,
            systemd,
            job,
        }
    }

    async fn start(&self) -> Result<Started, SupervisorError> {
        let place = self.systemd.prepare(&self.job).unwrap();
        assert_eq!(
            place.socket.unwrap(),
            self.folder_of_unit().join("view/gate.sock")
        );
        self.systemd.start(&self.job).await
    }

    fn server(&self) -> Connection {
        self.server.lock().unwrap().clone()
    }

    fn folder_of_unit(&self) -> PathBuf {
        self.folder.path().join("run").join(&self.job.id)
    }

    async fn exit(&self, state: &'static str, result: &'static str, code: i32, status: i32) {
        let server = self.server();
        let service = server
            .object_server()
            .interface::<_, FakeService>(UNIT_PATH)
            .await
            .unwrap();
        *service.get_mut().await = FakeService {
            main_pid: 4242,
            result,
            code,
            status,
        };
        let unit = server
            .object_server()
            .interface::<_, FakeUnit>(UNIT_PATH)
            .await
            .unwrap();
        end(&unit, state).await;
    }

    fn calls(&self) -> Vec<String> {
        self.script
            .lock()
            .unwrap()
            .calls
            .iter()
            .map(|call| call.replace(&unit_name(&self.job.id), "UNIT"))
            .collect()
    }

    fn answer(&self, call: &'static str, results: &[&'static str]) {
        self.script
            .lock()
            .unwrap()
            .results
            .insert(call, results.to_vec());
    }
}

#[tokio::test]
async fn a_unit_is_started_its_output_read_and_its_end_told() {
    let bench = Bench::new().await;
    let folder = bench.folder_of_unit();
    bench.script.lock().unwrap().prints = Some((folder.join("stdout"), b"42\n".to_vec()));
    let mut started = bench.start().await.unwrap();
    assert_eq!(started.running.main_pid(), Some(4242));
    let loaded = bench.script.lock().unwrap().loaded.clone();
    assert_eq!(Vec::from_iter(loaded), [unit_name(&bench.job.id)]);
    assert_eq!(fs::read(folder.join("view/gate.py")).unwrap(), b"the gate");
    assert_eq!(fs::read(folder.join("inputs/number")).unwrap(), b"41");
    let (tell, _trouble) = mpsc::unbounded_channel();
    let output = Output::start(
        started.stdout,
        &bench.folder.path().join("out"),
        Keep::All(100),
        tell,
    )
    .unwrap();
    let (exit, ()) = tokio::join!(
        started.running.ended(),
        bench.exit("failed", "exit-code", CLD_EXITED, 7)
    );
    assert_eq!(exit.unwrap(), Exit::Code(7));
    assert_eq!(output.finish().await.bytes, b"42\n");
    assert_eq!(
        bench.calls(),
        [
            "Subscribe",
            "StartUnit UNIT",
            "SetUnitProperties UNIT MemoryMax CPUQuotaPerSecUSec TasksMax IPAddressAllow",
            "StopUnit UNIT",
            "ResetFailedUnit UNIT"
        ]
    );
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_good_end_waits_until_it_was_read_and_what_is_left_then_ends() {
    let bench = Bench::new().await;
    let mut started = bench.start().await.unwrap();
    bench.exit("exited", "success", CLD_EXITED, 0).await;
    assert_eq!(started.running.ended().await.unwrap(), Exit::Code(0));
    assert_eq!(
        bench.calls()[3..],
        ["StopUnit UNIT", "ResetFailedUnit UNIT"]
    );
    assert_eq!(
        started.running.ended().await.unwrap(),
        Exit::Code(0),
        "again"
    );
}

#[tokio::test]
async fn a_signal_is_told_as_one() {
    let bench = Bench::new().await;
    let mut started = bench.start().await.unwrap();
    bench.exit("failed", "oom-kill", 2, 9).await;
    assert_eq!(started.running.ended().await.unwrap(), Exit::Signal(9));
}

#[tokio::test]
async fn the_manifests_limits_are_set_and_nobody_may_be_reached_before_the_barrier() {
    let bench = Bench::new().await;
    let mut started = bench.start().await.unwrap();
    let set = |name: &str| -> OwnedVariant {
        let script = bench.script.lock().unwrap();
        let found = script.set.iter().rfind(|each| each.0 == name);
        found.unwrap().1.try_clone().unwrap()
    };
    let number = |name: &str| u64::try_from(set(name)).unwrap();
    assert_eq!(number("MemoryMax"), 1 << 30);
    assert_eq!(number("CPUQuotaPerSecUSec"), 1_500_000, "150 % of a second");
    assert_eq!(number("TasksMax"), 64);
    let allowed = || <Vec<(i32, Vec<u8>, u32)>>::try_from(set("IPAddressAllow")).unwrap();
    assert_eq!(allowed(), []);
    let peers = ["10.0.0.2", "fd00::3"].map(|text| text.parse().unwrap());
    started.running.allow(&peers).await.unwrap();
    let v6 = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3].to_vec();
    assert_eq!(
        allowed(),
        [
            (nix::libc::AF_INET, vec![10, 0, 0, 2], 32),
            (nix::libc::AF_INET6, v6, 128)
        ]
    );
    // systemd reads its units anew, and forgets: each look at whether all is well sets it again.
    bench.script.lock().unwrap().set.clear();
    bench.systemd.check().await.unwrap();
    assert_eq!(number("TasksMax"), 64);
    assert_eq!(allowed().len(), 2);
    // What has ended is not made anew.
    started.running.kill().await.unwrap();
    bench.script.lock().unwrap().set.clear();
    bench.systemd.check().await.unwrap();
    assert!(bench.script.lock().unwrap().set.is_empty());
}

#[tokio::test]
async fn a_start_that_systemd_refuses_has_its_word_for_it() {
    for word in ["failed", "dependency", "timeout"] {
        let bench = Bench::new().await;
        bench.answer("StartUnit", &[word]);
        let error = bench.start().await.map(|_| ()).unwrap_err();
        let is_right = matches!(&error, SupervisorError::UnitJob { call: "start", result, .. } if result == word);
        assert!(is_right, "{error}");
    }
}

#[tokio::test]
async fn a_machine_without_polkit_or_its_rule_is_told_what_to_do() {
    use zbus::fdo::Error;
    let denied = Error::AccessDenied("Permission denied".to_owned());
    let asks =
        Error::InteractiveAuthorizationRequired("Interactive authentication required".to_owned());
    // After 25 seconds, if systemd does not start it.
    let late = "Failed to activate service 'org.freedesktop.PolicyKit1': timed out";
    let late = Error::TimedOut(late.to_owned());
    for (call, error) in [
        ("SetUnitProperties", denied),
        ("StartUnit", asks),
        ("StartUnit", late),
    ] {
        let bench = Bench::new().await;
        bench.script.lock().unwrap().refuses.insert(call, error);
        let error = bench.start().await.map(|_| ()).unwrap_err();
        assert!(
            matches!(error, SupervisorError::NotAllowed { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("50-e3.rules"), "{error}");
        assert!(!bench.folder_of_unit().exists(), "the inputs are in it");
        let calls = bench.calls();
        let has = |call: &str| calls.iter().any(|made| made == call);
        assert_eq!(has("StartUnit UNIT"), has("StopUnit UNIT"), "{calls:?}");
        // It recovers when the cause goes away.
        bench.script.lock().unwrap().refuses.clear();
        assert!(bench.start().await.is_ok());
    }
}

#[tokio::test]
async fn killing_stops_the_unit_and_a_stop_that_fails_kills_all_in_it() {
    let bench = Bench::new().await;
    let mut started = bench.start().await.unwrap();
    bench.answer("StopUnit", &["timeout", "done"]);
    started.running.kill().await.unwrap();
    started.running.kill().await.unwrap();
    let calls = bench.calls();
    assert_eq!(
        calls[3..],
        [
            "StopUnit UNIT",
            "KillUnit UNIT all 9",
            "StopUnit UNIT",
            "ResetFailedUnit UNIT"
        ]
    );
}

#[tokio::test]
async fn what_a_killed_agent_left_is_stopped_by_its_name() {
    let bench = Bench::new().await;
    fs::create_dir_all(bench.folder_of_unit()).unwrap();
    assert_eq!(
        bench
            .systemd
            .reap_leftovers(&bench.job.id, &bench.job.dir)
            .await
            .unwrap(),
        1
    );
    assert!(!bench.folder_of_unit().exists());
    assert_eq!(
        bench.calls(),
        ["Subscribe", "StopUnit UNIT", "ResetFailedUnit UNIT"]
    );
}

#[tokio::test]
async fn a_bus_that_is_restarted_in_the_middle_loses_no_end() {
    let bench = Bench::new().await;
    let mut started = bench.start().await.unwrap();
    let ended = tokio::spawn(async move { started.running.ended().await });
    bench.server().close().await.unwrap();
    // The new connection comes with a new subscription.
    while bench
        .calls()
        .iter()
        .filter(|call| *call == "Subscribe")
        .count()
        < 2
    {
        tokio::task::yield_now().await;
    }
    bench.exit("failed", "exit-code", CLD_EXITED, 3).await;
    assert_eq!(ended.await.unwrap().unwrap(), Exit::Code(3));
}

#[tokio::test]
async fn a_bus_that_is_restarted_at_the_barrier_costs_nobody_the_session() {
    let bench = Bench::new().await;
    let mut started = bench.start().await.unwrap();
    bench.script.lock().unwrap().loses = Some("SetUnitProperties");
    let peers = ["10.0.0.2".parse().unwrap()];
    started.running.allow(&peers).await.unwrap();
    let script = bench.script.lock().unwrap();
    assert!(script.loses.is_none());
    let (_, allowed) = script.set.last().unwrap();
    let allowed = <Vec<(i32, Vec<u8>, u32)>>::try_from(allowed.try_clone().unwrap()).unwrap();
    assert_eq!(allowed, [(nix::libc::AF_INET, vec![10, 0, 0, 2], 32)]);
}

#[tokio::test]
async fn a_job_whose_signal_was_lost_with_the_bus_is_looked_up() {
    let bench = Bench::new().await;
    bench.script.lock().unwrap().is_mute = true;
    let start = bench.start();
    let cut = async {
        while !bench.calls().contains(&"StartUnit UNIT".to_owned()) {
            tokio::task::yield_now().await;
        }
        bench.server().close().await.unwrap();
    };
    let (started, ()) = tokio::join!(start, cut);
    // Behind the new connection the unit is active: it was started, and is not started again.
    assert_eq!(started.unwrap().running.main_pid(), Some(4242));
    let starts = bench
        .calls()
        .iter()
        .filter(|call| *call == "StartUnit UNIT")
        .count();
    assert_eq!(starts, 1);
}

#[tokio::test]
async fn what_may_change_the_answer_is_told_and_so_is_the_loss_of_the_bus() {
    let bench = Bench::new().await;
    let mut changes = bench.systemd.changes().await.unwrap();
    let server = bench.server();
    let manager = server.object_server();
    let manager = manager.interface::<_, FakeManager>("/org/freedesktop/systemd1");
    let manager = manager.await.unwrap();
    for is_at_it in [true, false] {
        FakeManager::reloading(manager.signal_emitter(), is_at_it)
            .await
            .unwrap();
    }
    assert_eq!(changes.next().await, Some(()), "the units are read anew");
    assert_eq!(changes.next().now_or_never(), None);
    server.close().await.unwrap();
    assert_eq!(changes.next().await, None);
}

#[tokio::test]
async fn a_bus_that_stays_away_is_an_error_with_a_remedy() {
    let gone = || zbus::Error::Address("nowhere".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let systemd = Systemd {
        bus: Bus::by(
            Arc::new(move || async move { Err(gone()) }.boxed()),
            Duration::ZERO,
        ),
        root: folder.path().to_owned(),
        wanted: Wanted::default(),
    };
    let left = folder.path().join("0123");
    fs::create_dir(&left).unwrap();
    let error = systemd
        .reap_leftovers("0123", folder.path())
        .await
        .unwrap_err();
    assert!(!left.exists(), "the inputs are in it");
    assert!(error.to_string().contains("is dbus running?"), "{error}");
}

/// Takes calls, and answers none.
struct Silent;

#[zbus::interface(name = "org.freedesktop.systemd1.Manager")]
impl Silent {
    async fn subscribe(&self) {
        std::future::pending::<()>().await;
    }
}

#[tokio::test]
async fn a_bus_that_answers_nothing_is_one_that_is_gone() {
    let answer = Duration::from_millis(200);
    let folder = tempfile::tempdir().unwrap();
    // It does not even say hello; or it does, and that is all.
    let path = folder.path().join("bus");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let address = format!("unix:path={}", path.display());
    let servers: Arc<Mutex<Vec<Connection>>> = Arc::default();
    let deaf = move || {
        let address = address.clone();
        async move { bus::dial(zbus::connection::Builder::address(address.as_str()), answer).await }
            .boxed()
    };
    let mute = move || {
        let servers = servers.clone();
        async move {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            let server = zbus::connection::Builder::unix_stream(theirs)
                .server(zbus::Guid::generate())
                .p2p()
                .serve_at("/org/freedesktop/systemd1", Silent);
            let client = zbus::connection::Builder::unix_stream(ours).p2p();
            let (server, client) = tokio::try_join!(server.build(), bus::dial(client, answer))?;
            servers.lock().unwrap().push(server);
            Ok(client)
        }
        .boxed()
    };
    for bus in [
        Bus::by(Arc::new(deaf), Duration::ZERO),
        Bus::by(Arc::new(mute), Duration::ZERO),
    ] {
        let systemd = Systemd {
            bus,
            root: folder.path().to_owned(),
            wanted: Wanted::default(),
        };
        let reaped = systemd.reap_leftovers("0123", folder.path());
        let reaped = tokio::time::timeout(100 * answer, reaped).await;
        let error = reaped.expect("it comes to an end").unwrap_err();
        assert!(matches!(error, SupervisorError::NoBus(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_unit_is_ended_when_the_bus_is_back_however_long_it_was_gone() {
    let script = Shared::default();
    let servers = Arc::new(Mutex::new(Vec::new()));
    let tries = Arc::new(Mutex::new(0));
    let (behind, kept, counted) = (script.clone(), servers.clone(), tries.clone());
    let dial = Arc::new(move || {
        let (behind, kept, counted) = (behind.clone(), kept.clone(), counted.clone());
        async move {
            let count = {
                let mut count = counted.lock().unwrap();
                *count += 1;
                *count
            };
            if count < 4 {
                return Err(zbus::Error::Address("nowhere".to_owned()));
            }
            let (server, client) = pair(behind).await;
            kept.lock().unwrap().push(server);
            Ok(client)
        }
        .boxed()
    });
    unit::end_later(&Bus::by(dial, Duration::ZERO), "e3-party@0.service");
    let is_stopped = || {
        script
            .lock()
            .unwrap()
            .calls
            .iter()
            .any(|call| call.starts_with("StopUnit"))
    };
    while !is_stopped() {
        tokio::task::yield_now().await;
    }
    assert!(*tries.lock().unwrap() >= 4);
}
