//! A systemd that the test itself serves, at the other end of a socket pair.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use zbus::object_server::SignalEmitter;
use zbus::{Connection, OwnedObjectPath, OwnedVariant};

use super::super::instance::CLD_EXITED;

pub(super) const UNIT_PATH: &str = "/org/freedesktop/systemd1/unit/party";

/// What the fake does with the next jobs, and what was asked of it.
#[derive(Default)]
pub(super) struct Script {
    pub(super) calls: Vec<String>,
    /// Units that were looked at.
    pub(super) loaded: BTreeSet<String>,
    /// Job results by method; `done` if there is none.
    pub(super) results: BTreeMap<&'static str, Vec<&'static str>>,
    /// What the unit writes to its standard output when it starts.
    pub(super) prints: Option<(PathBuf, Vec<u8>)>,
    /// Errors by method, before anything is done.
    pub(super) refuses: BTreeMap<&'static str, zbus::fdo::Error>,
    /// The method whose next call the bus takes with it when it goes.
    pub(super) loses: Option<&'static str>,
    /// What was set.
    pub(super) set: Vec<(String, OwnedVariant)>,
    /// Jobs end without a signal.
    pub(super) is_mute: bool,
}

pub(super) type Shared = Arc<Mutex<Script>>;

pub(super) struct FakeManager(pub(super) Shared);

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
    pub(super) async fn reloading(emitter: &SignalEmitter<'_>, active: bool) -> zbus::Result<()>;
    #[zbus(signal)]
    async fn job_removed(
        emitter: &SignalEmitter<'_>,
        id: u32,
        job: OwnedObjectPath,
        unit: String,
        result: String,
    ) -> zbus::Result<()>;
}

pub(super) struct FakeUnit {
    pub(super) load: &'static str,
    pub(super) state: &'static str,
    pub(super) sub: &'static str,
    pub(super) job: u32,
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

pub(super) struct FakeService {
    pub(super) main_pid: u32,
    pub(super) result: &'static str,
    pub(super) code: i32,
    pub(super) status: i32,
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

pub(super) async fn end(unit: &zbus::object_server::InterfaceRef<FakeUnit>, state: &'static str) {
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

/// systemd at one end, the agent's connection at the other.
pub(super) async fn pair(script: Shared) -> (Connection, Connection) {
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
