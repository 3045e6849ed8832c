//! The supervisor for appliances: the template unit `e3-party@.service` that ships with the image
//! (`agent/dist/systemd`), started over D-Bus. The unit says what a session may do; this module names the instance,
//! sets the manifest's limits and the addresses of the session's parties for it, and waits for its end.
//!
//! For each instance it lays out a folder below [`ROOT`], which the unit knows as `%i`:
//!
//! | name | in the unit | what |
//! |---|---|---|
//! | `stdout`, `stderr` | `StandardOutput=file:`, `StandardError=file:` | named pipes: [`super::output`] reads and bounds them |
//! | `inputs/`, `tls/` | `LoadCredential=` | small inputs, this party's TLS certificate and key |
//! | `view/` | `/run/e3/session` | the gate's program and its socket |
//! | `program`, `mpyc` | `/run/e3/program`, `/run/e3/mpyc` | links to the checked files |
//! | `large` | `/run/e3/large` | link to inputs that are too large for a credential |
//!
//! systemd opens the first two rows as root. They cannot lead it anywhere: the file system knows no symbolic links
//! (`run-e3party.mount`). The links below it resolves by itself, also as root, for read-only mounts that only the
//! session's own user sees. What that leaves to an agent that was taken over: to show a session any folder of the
//! machine, also one behind a closed parent, of which the session then reads what everybody may read.
//!
//! All members of a job are in the unit's cgroup, so nothing escapes: [`super::Running::ended`] and
//! [`super::Running::kill`] resolve when systemd says that the unit is inactive, which with
//! `KillMode=control-group` means that the cgroup is empty.
//!
//! `bus` is the way to systemd, `unit` what is asked of it, `changes` what it and polkit tell unasked, `folder` what
//! lies below [`ROOT`], `instance` one unit from its start to its end, `limits` what is set for it, `service` a daemon that
//! belongs to no session.

mod bus;
mod changes;
mod folder;
mod instance;
mod limits;
mod service;
mod unit;

use std::path::{Path, PathBuf};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use self::bus::Bus;
use self::folder::Folder;
use self::instance::Instance;
use self::limits::Wanted;
pub use self::service::Service;
use super::{Job, Place, Started, Supervisor, SupervisorError, View};

/// Where the units find their folders. It stands in them, so it is no setting.
pub const ROOT: &str = "/run/e3party";
/// What a job sees, as `e3-party@.service` mounts it.
const VIEW: View = View {
    mpyc: "/run/e3/mpyc",
    program: "/run/e3/program",
    large: "/run/e3/large",
    work: "/work",
    inputs: "/inputs",
};

/// The supervisor.
#[derive(Clone)]
pub struct Systemd {
    bus: Bus,
    root: PathBuf,
    wanted: Wanted,
}

/// The unit of the job with this id.
pub fn unit_name(id: &str) -> String {
    format!("e3-party@{id}.service")
}

impl Default for Systemd {
    fn default() -> Self {
        Self::new()
    }
}

impl Systemd {
    /// Talks to systemd over the system bus, from the first time that there is something to say.
    pub fn new() -> Self {
        Self {
            bus: Bus::system(),
            root: PathBuf::from(ROOT),
            wanted: Wanted::default(),
        }
    }

    fn folder(&self, id: &str) -> Folder {
        Folder::new(self.root.join(id))
    }

    async fn start_job(&self, job: &Job) -> Result<Started, SupervisorError> {
        let folder = self.folder(&job.id);
        let started = self.try_start(job, &folder).await;
        if started.is_err() {
            // There are secrets in it.
            folder.clear()?;
        }
        started
    }

    async fn try_start(&self, job: &Job, folder: &Folder) -> Result<Started, SupervisorError> {
        let unit = unit_name(&job.id);
        let (stdout, stderr) = folder.pipes()?;
        // While systemd makes the unit's file system: what it loads for properties alone it forgets again, and reads
        // twice for each call. Until it is let go, the unit runs nothing but the gate.
        let kept = self.wanted.keep(&unit, job.limits);
        let main_pid = unit::start(&self.bus, &unit, kept.set(&self.bus)).await?;
        let running = Box::new(Instance {
            bus: self.bus.clone(),
            unit,
            folder: folder.clone(),
            kept,
            main_pid,
            watch: None,
            exit: None,
            finished: false,
        });
        Ok(Started {
            running,
            stdout,
            stderr,
        })
    }
}

impl Supervisor for Systemd {
    fn prepare(&self, job: &Job) -> Result<Place, SupervisorError> {
        let socket = self.folder(&job.id).prepare(job)?;
        Ok(Place {
            socket: Some(socket),
            view: Some(VIEW),
        })
    }

    fn start<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Started, SupervisorError>> {
        self.start_job(job).boxed()
    }

    fn reap_leftovers<'a>(
        &'a self,
        id: &'a str,
        _: &'a Path,
    ) -> BoxFuture<'a, Result<usize, SupervisorError>> {
        async move {
            let unit = unit_name(id);
            let folder = self.folder(id);
            let ran = folder.exists();
            // An agent that dies takes its units with it; what they have read stays, whether systemd answers or not.
            let ended = unit::end(&self.bus, &unit).await;
            folder.clear()?;
            ended?;
            Ok(usize::from(ran))
        }
        .boxed()
    }

    fn bounds_resources(&self) -> bool {
        limits::are_kept()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), SupervisorError>> {
        async {
            // This is asked whenever systemd has read its units anew.
            self.wanted.set_again(&self.bus).await;
            // Any instance: it need not exist, and is not started.
            let unit = unit_name("00000000000000000000000000000000");
            unit::check(&self.bus, &unit).await
        }
        .boxed()
    }

    fn changes(&self) -> BoxFuture<'_, Result<BoxStream<'static, ()>, SupervisorError>> {
        changes::of(&self.bus).boxed()
    }
}

#[cfg(test)]
mod tests;
