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
//! All members of a job are in the unit's cgroup, so nothing escapes: [`Running::ended`] and [`Running::kill`] resolve
//! when systemd says that the unit is inactive, which with `KillMode=control-group` means that the cgroup is empty.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use e3_client::files;
use e3_core::document::Exit;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use nix::sys::stat::Mode;
use tokio::net::unix::pipe;
use zbus::OwnedObjectPath;

use super::{JOB_VARIABLE, Job, Running, Started, Supervisor, SupervisorError};

/// For a start or stop job. The unit's own `TimeoutStopSec` is far below.
const JOB_DEADLINE: Duration = Duration::from_secs(15);
/// `waitid`'s code for a process that exited by itself; the others are signals.
const CLD_EXITED: i32 = 1;
/// systemd's error for a unit that is not loaded, so does not run.
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";

/// What of systemd's manager is used.
#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Manager {
    fn subscribe(&self) -> zbus::Result<()>;
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn kill_unit(&self, name: &str, whom: &str, signal: i32) -> zbus::Result<()>;
    fn reset_failed_unit(&self, name: &str) -> zbus::Result<()>;
    #[zbus(signal)]
    fn job_removed(
        &self,
        id: u32,
        job: OwnedObjectPath,
        unit: String,
        result: String,
    ) -> zbus::Result<()>;
}

/// What of a unit is used.
#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Unit",
    default_service = "org.freedesktop.systemd1"
)]
trait Unit {
    #[zbus(property)]
    fn active_state(&self) -> zbus::Result<String>;
}

/// What of a service is used. These change without a signal that would name them, so nothing is cached.
#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Service",
    default_service = "org.freedesktop.systemd1"
)]
trait Service {
    #[zbus(property(emits_changed_signal = "false"))]
    fn result(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"), name = "ExecMainStatus")]
    fn exec_main_status(&self) -> zbus::Result<i32>;
    #[zbus(property(emits_changed_signal = "false"), name = "ExecMainCode")]
    fn exec_main_code(&self) -> zbus::Result<i32>;
    #[zbus(property(emits_changed_signal = "false"), name = "MainPID")]
    fn main_pid(&self) -> zbus::Result<u32>;
}

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

/// Makes the folder that the unit reads.
fn prepare(folder: &Path, job: &Job) -> Result<(pipe::Receiver, pipe::Receiver), SupervisorError> {
    let system = |what| move |source: io::Error| SupervisorError::System { what, source };
    clear(folder)?;
    files::private_folder(folder)?;
    let own = (JOB_VARIABLE.into(), job.id.clone().into());
    let mut environment = Vec::new();
    for (name, value) in job.env.iter().chain([&own]) {
        environment.extend(name.as_bytes());
        environment.extend(b"=\"");
        for byte in value.as_bytes() {
            // The four that mean something inside double quotes, see systemd.exec(5).
            if b"\"\\`$".contains(byte) {
                environment.push(b'\\');
            }
            environment.push(*byte);
        }
        environment.extend(b"\"\n");
    }
    files::write_private(&folder.join("environment"), &environment)?;
    let arguments: Vec<u8> = job
        .args
        .iter()
        .flat_map(|arg| arg.as_bytes().iter().copied().chain([0]))
        .collect();
    files::write_private(&folder.join("arguments"), &arguments)?;
    let link = |name: &str, to: &Path| std::os::unix::fs::symlink(to, folder.join(name));
    link("program", &job.program).map_err(system("prepare the unit's folder"))?;
    link("cwd", &job.cwd).map_err(system("prepare the unit's folder"))?;
    let fifo = |name| {
        let path = folder.join(name);
        nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).map_err(io::Error::from)?;
        // Also for writing: there is no end of file before systemd has opened it.
        pipe::OpenOptions::new()
            .read_write(true)
            .open_receiver(&path)
    };
    let stdout = fifo("stdout").map_err(system("make a named pipe"))?;
    Ok((stdout, fifo("stderr").map_err(system("make a named pipe"))?))
}

fn clear(folder: &Path) -> Result<(), SupervisorError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(SupervisorError::System {
            what: "clear the unit's folder",
            source: error,
        }),
        _ => Ok(()),
    }
}

fn is_no_such_unit(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::MethodError(name, ..) if name.as_str() == NO_SUCH_UNIT)
}

fn bus(call: &'static str, unit: &str, source: zbus::Error) -> SupervisorError {
    SupervisorError::Bus {
        call,
        unit: unit.to_owned(),
        source,
    }
}

/// A unit that was started.
struct Instance {
    systemd: Systemd,
    unit: String,
    folder: PathBuf,
    state: UnitProxy<'static>,
    service: ServiceProxy<'static>,
    main_pid: Option<u32>,
    exit: Option<Exit>,
}

impl Instance {
    async fn wait(&mut self) -> Result<Exit, SupervisorError> {
        if let Some(exit) = self.exit {
            return Ok(exit);
        }
        let failed = |call| move |source| bus(call, "the party's unit", source);
        // The stream starts with the present state.
        let mut changes = self.state.receive_active_state_changed().await;
        loop {
            let state = self
                .state
                .active_state()
                .await
                .map_err(failed("ActiveState"))?;
            if matches!(state.as_str(), "inactive" | "failed") {
                break;
            }
            if changes.next().await.is_none() {
                return Err(bus(
                    "ActiveState",
                    &self.unit,
                    zbus::Error::InputOutput(io::Error::other("the bus is gone").into()),
                ));
            }
        }
        let code = self
            .service
            .exec_main_code()
            .await
            .map_err(failed("ExecMainCode"))?;
        let status = self
            .service
            .exec_main_status()
            .await
            .map_err(failed("ExecMainStatus"))?;
        let result = self.service.result().await.map_err(failed("Result"))?;
        if !matches!(result.as_str(), "success" | "exit-code" | "signal") {
            // Such as `oom-kill` or `timeout`: the receipt has the signal, the journal the word.
            tracing::warn!("{} ended with systemd's result {result}", self.unit);
        }
        let exit = if code == CLD_EXITED {
            Exit::Code(status)
        } else {
            Exit::Signal(status)
        };
        self.exit = Some(exit);
        // A failed unit stays loaded until somebody says that they have seen it; one that is gone has no error left.
        let _ = self
            .systemd
            .manager(&self.unit)
            .await?
            .reset_failed_unit(&self.unit)
            .await;
        clear(&self.folder)?;
        Ok(exit)
    }
}

impl Running for Instance {
    fn main_pid(&self) -> Option<u32> {
        self.main_pid
    }

    fn ended(&mut self) -> BoxFuture<'_, Result<Exit, SupervisorError>> {
        self.wait().boxed()
    }

    fn kill(&mut self) -> BoxFuture<'_, Result<(), SupervisorError>> {
        async move {
            if self.exit.is_none() {
                self.systemd.stop(&self.unit).await?;
                self.wait().await?;
            }
            Ok(())
        }
        .boxed()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if self.exit.is_some() {
            return;
        }
        // Nobody waits for it; if the agent itself goes, the unit's gate sees its socket close.
        let (systemd, unit) = (self.systemd.clone(), self.unit.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = systemd.stop(&unit).await {
                    tracing::warn!(error = %crate::text::chain(&error), "a unit is left");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests;
