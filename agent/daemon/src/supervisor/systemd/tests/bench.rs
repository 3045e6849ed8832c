//! A job, and a supervisor for it that talks to the fake systemd.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e3_core::digest::Digest;
use e3_core::document::Limits;
use futures_util::FutureExt as _;
use zbus::Connection;

use super::super::bus::Bus;
use super::super::limits::Wanted;
use super::super::{Systemd, unit_name};
use super::fake::{FakeService, FakeUnit, Shared, UNIT_PATH, end, pair};
use crate::supervisor::{Files, Job, Started, Supervisor as _, SupervisorError, job_id};

pub(super) struct Bench {
    pub(super) folder: tempfile::TempDir,
    pub(super) script: Shared,
    pub(super) server: Arc<Mutex<Connection>>,
    pub(super) systemd: Systemd,
    pub(super) job: Job,
}

impl Bench {
    pub(super) async fn new() -> Self {
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

    pub(super) async fn start(&self) -> Result<Started, SupervisorError> {
        let place = self.systemd.prepare(&self.job).unwrap();
        assert_eq!(
            place.socket.unwrap(),
            self.folder_of_unit().join("view/gate.sock")
        );
        self.systemd.start(&self.job).await
    }

    pub(super) fn server(&self) -> Connection {
        self.server.lock().unwrap().clone()
    }

    pub(super) fn folder_of_unit(&self) -> PathBuf {
        self.folder.path().join("run").join(&self.job.id)
    }

    pub(super) async fn exit(
        &self,
        state: &'static str,
        result: &'static str,
        code: i32,
        status: i32,
    ) {
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

    pub(super) fn calls(&self) -> Vec<String> {
        self.script
            .lock()
            .unwrap()
            .calls
            .iter()
            .map(|call| call.replace(&unit_name(&self.job.id), "UNIT"))
            .collect()
    }

    pub(super) fn answer(&self, call: &'static str, results: &[&'static str]) {
        self.script
            .lock()
            .unwrap()
            .results
            .insert(call, results.to_vec());
    }
}
