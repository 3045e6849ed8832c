//! The supervisor for appliances: the template unit `e3-party@.service` that ships in the image, started over D-Bus.
//!
//! The unit says what a session may do; this module only names the instance and leaves in `<root>/<id>/`, which the
//! unit reads as `%i`:
//!
//! | file | in the unit | what |
//! |---|---|---|
//! | `environment` | `EnvironmentFile=` | the job's environment |
//! | `program` | `ExecStart=` goes through it | a link to the program |
//! | `arguments` | read by `ExecStart=`'s wrapper | the arguments, each followed by a NUL byte |
//! | `cwd` | `WorkingDirectory=` | a link to where it starts |
//! | `stdout`, `stderr` | `StandardOutput=file:`, `StandardError=file:` | named pipes: [`super::output`] reads and bounds them |
//!
//! All members of a job are in the unit's cgroup, so nothing escapes: [`super::Running::ended`] and
//! [`super::Running::kill`] resolve when systemd says that the unit is inactive, which with
//! `KillMode=control-group` means that the cgroup is empty.
//!
//! `bus` is what is said to systemd, `folder` what lies in `<root>/<id>/`, `instance` one unit till its end.

mod bus;
mod folder;
mod instance;

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};

use self::bus::{ManagerProxy, ServiceProxy, UnitProxy, bus, is_no_such_unit};
use self::folder::{clear, prepare};
use self::instance::Instance;
use super::{Job, Started, Supervisor, SupervisorError};

/// For a start or stop job. The unit's own `TimeoutStopSec` is far below.
const JOB_DEADLINE: Duration = Duration::from_secs(15);

/// The supervisor.
#[derive(Debug, Clone)]
pub struct Systemd {
    connection: zbus::Connection,
    root: PathBuf,
}

/// The unit of the job with this id.
pub fn unit_name(id: &str) -> String {
    format!("e3-party@{id}.service")
}

impl Systemd {
    /// Talks to systemd over the system bus. `root` is where the units find their folders, such as `/run/e3/party`.
    pub async fn connect(root: &Path) -> Result<Self, SupervisorError> {
        let connection = zbus::Connection::system().await;
        let connection =
            connection.map_err(|source| bus("connecting to the system bus", "systemd", source))?;
        Self::on(connection, root).await
    }

    /// Talks to systemd over this connection.
    pub async fn on(connection: zbus::Connection, root: &Path) -> Result<Self, SupervisorError> {
        let systemd = Self {
            connection,
            root: root.to_owned(),
        };
        // Without it systemd sends no signals about units.
        systemd
            .manager("")
            .await?
            .subscribe()
            .await
            .map_err(|source| bus("Subscribe", "systemd", source))?;
        Ok(systemd)
    }

    async fn manager(&self, unit: &str) -> Result<ManagerProxy<'static>, SupervisorError> {
        ManagerProxy::new(&self.connection)
            .await
            .map_err(|source| bus("proxy", unit, source))
    }

    /// Calls one of the methods that queue a job, and waits for the job's end.
    async fn job(&self, call: &'static str, unit: &str) -> Result<(), SupervisorError> {
        let work = async {
            let manager = self.manager(unit).await?;
            // Before the call: the job may be gone before its reply is here.
            let removed = manager.receive_job_removed().await;
            let mut removed = removed.map_err(|source| bus("JobRemoved", unit, source))?;
            let path = match call {
                "start" => manager.start_unit(unit, "replace").await,
                _ => manager.stop_unit(unit, "replace").await,
            };
            let path = match path {
                Err(error) if call == "stop" && is_no_such_unit(&error) => return Ok(()),
                path => path.map_err(|source| bus(call, unit, source))?,
            };
            while let Some(signal) = removed.next().await {
                let args = signal
                    .args()
                    .map_err(|source| bus("JobRemoved", unit, source))?;
                if *args.job() == path {
                    let result = args.result().clone();
                    let is_good = result == "done";
                    let failed = || SupervisorError::UnitJob {
                        call,
                        unit: unit.to_owned(),
                        result,
                    };
                    return if is_good { Ok(()) } else { Err(failed()) };
                }
            }
            Err(SupervisorError::UnitJob {
                call,
                unit: unit.to_owned(),
                result: "the bus is gone".to_owned(),
            })
        };
        let seconds = JOB_DEADLINE.as_secs();
        let timeout = |_| SupervisorError::UnitTimeout {
            call,
            unit: unit.to_owned(),
            seconds,
        };
        tokio::time::timeout(JOB_DEADLINE, work)
            .await
            .map_err(timeout)?
    }

    /// Stops the unit; if its stop job does not end well, kills everything in it and stops it once more.
    async fn stop(&self, unit: &str) -> Result<(), SupervisorError> {
        let Err(error) = self.job("stop", unit).await else {
            return Ok(());
        };
        tracing::warn!(error = %crate::text::chain(&error), "killing everything in it");
        let killed = self
            .manager(unit)
            .await?
            .kill_unit(unit, "all", nix::libc::SIGKILL)
            .await;
        killed.map_err(|source| bus("KillUnit", unit, source))?;
        self.job("stop", unit).await
    }

    fn folder(&self, id: &str) -> PathBuf {
        self.root.join(id)
    }

    async fn start_job(&self, job: &Job) -> Result<Started, SupervisorError> {
        let unit = unit_name(&job.id);
        let folder = self.folder(&job.id);
        let (stdout, stderr) = prepare(&folder, job)?;
        let unit_path = self.manager(&unit).await?.load_unit(&unit).await;
        let path = unit_path.map_err(|source| bus("LoadUnit", &unit, source))?;
        let proxies = async {
            let uncached = zbus::proxy::CacheProperties::No;
            let service = ServiceProxy::builder(&self.connection)
                .path(path.clone())
                .cache_properties(uncached);
            Ok::<_, zbus::Error>((
                UnitProxy::builder(&self.connection)
                    .path(path.clone())
                    .build()
                    .await?,
                service.build().await?,
            ))
        };
        let (state, service) = proxies
            .await
            .map_err(|source| bus("proxy", &unit, source))?;
        self.job("start", &unit).await?;
        let main_pid = service
            .main_pid()
            .await
            .map_err(|source| bus("MainPID", &unit, source))?;
        let main_pid = Some(main_pid).filter(|pid| *pid != 0);
        let running = Box::new(Instance {
            systemd: self.clone(),
            unit,
            folder,
            state,
            service,
            main_pid,
            exit: None,
        });
        Ok(Started {
            running,
            stdout,
            stderr,
        })
    }
}

impl Supervisor for Systemd {
    fn start<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Started, SupervisorError>> {
        self.start_job(job).boxed()
    }

    fn reap_leftovers<'a>(
        &'a self,
        id: &'a str,
        _: &'a Path,
    ) -> BoxFuture<'a, Result<usize, SupervisorError>> {
        async move {
            let ran = self.folder(id).exists();
            self.stop(&unit_name(id)).await?;
            clear(&self.folder(id))?;
            Ok(usize::from(ran))
        }
        .boxed()
    }

    fn bounds_resources(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
