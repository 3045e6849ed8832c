//! Against a systemd that the test itself serves, at the other end of a socket pair.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use e3_core::digest::Digest;
use e3_core::document::Exit;
use tokio::sync::mpsc;
use zbus::OwnedObjectPath;
use zbus::object_server::SignalEmitter;

use super::instance::CLD_EXITED;
use super::*;
use crate::supervisor::job_id;
use crate::supervisor::output::{Keep, Output};

const UNIT_PATH: &str = "/org/freedesktop/systemd1/unit/party";

/// What the fake does with the next jobs, and what was asked of it.
#[derive(Default)]
struct Script {
    calls: Vec<String>,
    /// Job results by method; `done` if there is none.
    results: BTreeMap<&'static str, Vec<&'static str>>,
    /// What the unit writes to its standard output when it starts.
    prints: Option<(PathBuf, Vec<u8>)>,
}

type Shared = Arc<Mutex<Script>>;

struct FakeManager(Shared);

impl FakeManager {
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
        self.0
            .lock()
            .unwrap()
            .calls
            .push(format!("LoadUnit {name}"));
        OwnedObjectPath::try_from(UNIT_PATH).unwrap()
    }
    async fn start_unit(
        &self,
        name: &str,
        mode: &str,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> OwnedObjectPath {
        assert_eq!(mode, "replace");
        self.job("StartUnit", name, emitter).await
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
    async fn job_removed(
        emitter: &SignalEmitter<'_>,
        id: u32,
        job: OwnedObjectPath,
        unit: String,
        result: String,
    ) -> zbus::Result<()>;
}

struct FakeUnit {
    state: &'static str,
}

#[zbus::interface(name = "org.freedesktop.systemd1.Unit")]
impl FakeUnit {
    #[zbus(property)]
    fn active_state(&self) -> &str {
        self.state
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
    fake.state = state;
    fake.active_state_changed(unit.signal_emitter())
        .await
        .unwrap();
}

struct Bench {
    folder: tempfile::TempDir,
    script: Shared,
    server: zbus::Connection,
    systemd: Systemd,
    job: Job,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = Shared::default();
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let server = zbus::connection::Builder::unix_stream(theirs)
            .server(zbus::Guid::generate())
            .p2p()
            .serve_at("/org/freedesktop/systemd1", FakeManager(script.clone()))
            .serve_at(UNIT_PATH, FakeUnit { state: "active" })
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
        let (server, client) = tokio::try_join!(server.build(), client.build()).unwrap();
        let systemd = Systemd::on(client, &folder.path().join("run"))
            .await
            .unwrap();
        let dir = folder.path().to_owned();
        let job = Job {
            id: job_id(&Digest::of(b"session"), &dir),
            cwd: dir.clone(),
            dir,
            program: PathBuf::from("/usr/bin/python3"),
            args: vec![OsString::from("-I"), OsString::from("gate.py")],
            env: vec![("E3_INPUTS".into(), "a \"b\" $HOME \\".into())],
        };
        Self {
            folder,
            script,
            server,
            systemd,
            job,
        }
    }

    fn folder_of_unit(&self) -> PathBuf {
        self.folder.path().join("run").join(&self.job.id)
    }

    async fn exit(&self, state: &'static str, result: &'static str, code: i32, status: i32) {
        let service = self
            .server
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
        let unit = self
            .server
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
    let mut started = bench.systemd.start(&bench.job).await.unwrap();
    assert_eq!(started.running.main_pid(), Some(4242));
    let environment = fs::read_to_string(folder.join("environment")).unwrap();
    assert_eq!(
        environment,
        format!(
            "E3_INPUTS=\"a \\\"b\\\" \\$HOME \\\\\"\nE3_JOB=\"{}\"\n",
            bench.job.id
        )
    );
    assert_eq!(
        fs::read(folder.join("arguments")).unwrap(),
        b"-I\0gate.py\0"
    );
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
            "LoadUnit UNIT",
            "StartUnit UNIT",
            "ResetFailedUnit UNIT"
        ]
    );
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_signal_is_told_as_one() {
    let bench = Bench::new().await;
    let mut started = bench.systemd.start(&bench.job).await.unwrap();
    bench.exit("failed", "oom-kill", 2, 9).await;
    assert_eq!(started.running.ended().await.unwrap(), Exit::Signal(9));
}

#[tokio::test]
async fn a_start_that_systemd_refuses_has_its_word_for_it() {
    for word in ["failed", "dependency", "timeout"] {
        let bench = Bench::new().await;
        bench.answer("StartUnit", &[word]);
        let error = bench
            .systemd
            .start(&bench.job)
            .await
            .map(|_| ())
            .unwrap_err();
        let is_right = matches!(&error, SupervisorError::UnitJob { call: "start", result, .. } if result == word);
        assert!(is_right, "{error}");
    }
}

#[tokio::test]
async fn killing_stops_the_unit_and_a_stop_that_fails_kills_all_in_it() {
    let bench = Bench::new().await;
    let mut started = bench.systemd.start(&bench.job).await.unwrap();
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
    assert_eq!(bench.calls(), ["Subscribe", "StopUnit UNIT"]);
}

#[tokio::test]
async fn a_bus_that_goes_away_is_an_error_not_a_hang() {
    let bench = Bench::new().await;
    let mut started = bench.systemd.start(&bench.job).await.unwrap();
    bench.server.clone().close().await.unwrap();
    assert!(matches!(
        started.running.ended().await,
        Err(SupervisorError::Bus { .. })
    ));
}
