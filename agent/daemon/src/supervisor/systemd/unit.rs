//! One unit: started, stopped, looked at. Nothing waits in turns: systemd's signals wake, and what counts is then
//! read from systemd, so a signal that was lost with the bus is not waited for.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::SetOnce;
use zbus::fdo::PropertiesProxy;
use zbus::{Connection, OwnedObjectPath};

use super::bus::{
    Bus, RETRY, ServiceProxy, UnitProxy, failed, is_no_such_unit, manager, subscribe,
};
use crate::supervisor::SupervisorError;

/// For a start or stop job. The unit's own timeouts are below.
const JOB_DEADLINE: Duration = Duration::from_secs(40);

/// How a unit stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// `active`, `inactive`, `failed`, …
    pub(super) active: String,
    /// `running`, `exited`, …
    pub(super) sub: String,
    /// Whether systemd has something to do for it.
    pub(super) has_job: bool,
}

impl State {
    /// Whether its main process has ended, so that there is an end to read.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.active.as_str(), "inactive" | "failed") || self.sub == "exited"
    }
}

/// How its main process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    /// `success`, `exit-code`, `signal`, `oom-kill`, `timeout`, …
    pub(super) result: String,
    /// `waitid`'s code; 0 if systemd does not know it any more.
    pub(super) code: i32,
    /// Exit code or signal.
    pub(super) status: i32,
}

/// Starts the unit and waits until it runs; returns its main process. `meanwhile` is done as soon as systemd has begun; if
/// it cannot be, nothing of the unit is left.
pub(super) async fn start(
    bus: &Bus,
    unit: &str,
    meanwhile: impl Future<Output = Result<(), SupervisorError>>,
) -> Result<Option<u32>, SupervisorError> {
    let asked = SetOnce::new();
    let meanwhile = async {
        asked.wait().await;
        meanwhile.await
    };
    if let Err(error) = tokio::try_join!(job(bus, "start", unit, &asked), meanwhile) {
        if asked.initialized() && end(bus, unit).await.is_err() {
            end_later(bus, unit);
        }
        return Err(error);
    }
    let pid = async {
        let (_, service) = proxies(&bus.connection().await?, unit).await?;
        let pid = service.main_pid().await;
        pid.map_err(|source| failed("look at", unit, source))
    };
    Ok(pid.await.ok().filter(|pid| *pid != 0))
}

/// Has the unit take in what has changed, and waits until it has.
pub(super) async fn reload(bus: &Bus, unit: &str) -> Result<(), SupervisorError> {
    job(bus, "reload", unit, &SetOnce::new()).await
}

/// Sends a signal to the unit's main process.
pub(super) async fn signal(bus: &Bus, unit: &str, signal: i32) -> Result<(), SupervisorError> {
    let manager = manager(&bus.connection().await?).await?;
    let sent = manager.kill_unit(unit, "main", signal).await;
    sent.map_err(|source| failed("kill", unit, source))
}

/// Ends whatever of the unit is left, and has systemd forget it.
pub(super) async fn end(bus: &Bus, unit: &str) -> Result<(), SupervisorError> {
    stop(bus, unit).await?;
    forget(bus, unit).await;
    Ok(())
}

/// The same when nobody waits for it, however long the bus is gone: a unit must not outlive its session.
pub(super) fn end_later(bus: &Bus, unit: &str) {
    let (bus, unit) = (bus.clone(), unit.to_owned());
    // If the agent itself goes, systemd ends the unit with it.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    runtime.spawn(async move {
        loop {
            match end(&bus, &unit).await {
                Err(SupervisorError::NoBus(error)) => {
                    tracing::debug!(%error, %unit, "the bus is gone; its unit will be ended when it is back");
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => {
                    return tracing::error!(%unit, error = %crate::text::chain(&error), "a unit is left");
                }
                Ok(()) => return,
            }
        }
    });
}

/// Stops the unit; if its stop job does not end well, kills everything in it and stops it once more.
async fn stop(bus: &Bus, unit: &str) -> Result<(), SupervisorError> {
    let Err(error) = stop_job(bus, unit).await else {
        return Ok(());
    };
    tracing::warn!(error = %crate::text::chain(&error), "killing everything in it");
    let manager = manager(&bus.connection().await?).await?;
    let killed = manager.kill_unit(unit, "all", nix::libc::SIGKILL).await;
    killed.map_err(|source| failed("kill", unit, source))?;
    stop_job(bus, unit).await
}

/// A failed unit stays loaded until somebody says that they have seen it; one that is gone has no error left.
async fn forget(bus: &Bus, unit: &str) {
    let reset = async {
        let manager = manager(&bus.connection().await?).await?;
        match manager.reset_failed_unit(unit).await {
            Err(error) if is_no_such_unit(&error) => Ok(()),
            done => done.map_err(|source| failed("reset", unit, source)),
        }
    };
    if let Err(error) = reset.await {
        tracing::warn!(error = %crate::text::chain(&error), "a failed unit stays loaded");
    }
}

/// Whether systemd knows the unit and lets this user manage it: nothing of it runs, and stopping it is allowed or not.
/// It also has the bus start polkit, which the first session then need not wait for.
pub(super) async fn check(bus: &Bus, unit: &str) -> Result<(), SupervisorError> {
    let (proxy, _) = proxies(&bus.connection().await?, unit).await?;
    let state = proxy.load_state().await;
    let state = state.map_err(|source| failed("look at", unit, source))?;
    if state == "loaded" {
        return stop_job(bus, unit).await;
    }
    let unit = unit.to_owned();
    Err(SupervisorError::NoUnit { unit, state })
}

/// Whether the unit runs, or is about to.
pub(super) async fn is_active(bus: &Bus, unit: &str) -> Result<bool, SupervisorError> {
    let (proxy, _) = proxies(&bus.connection().await?, unit).await?;
    let state = state(&proxy, unit).await?;
    Ok(!state.has_ended() && state.active != "deactivating")
}

/// Waits until the unit's main process has ended, however long the bus is gone meanwhile.
pub(super) async fn ended(bus: &Bus, unit: &str) -> Result<End, SupervisorError> {
    loop {
        match ended_on(bus, unit).await {
            Err(SupervisorError::NoBus(error)) => {
                tracing::debug!(%error, "the bus is gone; waiting for it");
                tokio::time::sleep(RETRY).await;
            }
            done => return done,
        }
    }
}

async fn ended_on(bus: &Bus, unit: &str) -> Result<End, SupervisorError> {
    let connection = bus.connection().await?;
    let (proxy, service) = proxies(&connection, unit).await?;
    let lost = |source| failed("look at", unit, source);
    // Before the first look: no change may be missed between the two.
    let properties = PropertiesProxy::builder(&connection)
        .destination("org.freedesktop.systemd1")
        .path(proxy.inner().path().to_owned());
    let properties = properties.build().await.map_err(lost)?;
    let mut changes = properties
        .receive_properties_changed()
        .await
        .map_err(lost)?;
    let mut owners = proxy.inner().receive_owner_changed().await.map_err(lost)?;
    while !state(&proxy, unit).await?.has_ended() {
        tokio::select! {
            change = changes.next() => if change.is_none() { return Err(gone()) },
            // systemd has executed itself anew, or was gone.
            Some(owner) = owners.next() => if owner.is_some() { subscribe(&connection).await? },
            () = connection.closed() => return Err(gone()),
        }
    }
    end_of(&service, unit).await
}

async fn end_of(service: &ServiceProxy<'_>, unit: &str) -> Result<End, SupervisorError> {
    let read = async {
        Ok(End {
            code: service.exec_main_code().await?,
            status: service.exec_main_status().await?,
            result: service.result().await?,
        })
    };
    read.await.map_err(|source| failed("look at", unit, source))
}

/// Has systemd stop the unit, and waits until that is done.
async fn stop_job(bus: &Bus, unit: &str) -> Result<(), SupervisorError> {
    job(bus, "stop", unit, &SetOnce::new()).await
}

/// Has systemd start or stop the unit, and waits until that is done. `asked` is its job, once it is known: it outlives a
/// bus that does not.
async fn job(
    bus: &Bus,
    call: &'static str,
    unit: &str,
    asked: &SetOnce<OwnedObjectPath>,
) -> Result<(), SupervisorError> {
    let work = async {
        let mut lost = None;
        loop {
            match job_on(bus, call, unit, asked).await {
                Err(SupervisorError::NoBus(error)) => bus.wait(&mut lost, error).await?,
                done => return done,
            }
        }
    };
    let timeout = |_| SupervisorError::UnitTimeout {
        call,
        unit: unit.to_owned(),
        seconds: JOB_DEADLINE.as_secs(),
    };
    tokio::time::timeout(JOB_DEADLINE, work)
        .await
        .map_err(timeout)?
}

/// The same over one connection.
async fn job_on(
    bus: &Bus,
    call: &'static str,
    unit: &str,
    asked: &SetOnce<OwnedObjectPath>,
) -> Result<(), SupervisorError> {
    let lost = |source| failed(call, unit, source);
    let connection = bus.connection().await?;
    let manager = manager(&connection).await?;
    // Before the call: the job may be gone before its reply is here.
    let mut removed = manager.receive_job_removed().await.map_err(lost)?;
    let mut owners = manager
        .inner()
        .receive_owner_changed()
        .await
        .map_err(lost)?;
    let job = if let Some(job) = asked.get().cloned() {
        // The connection was lost since, and maybe the signal with it.
        let (proxy, service) = proxies(&connection, unit).await?;
        let state = state(&proxy, unit).await?;
        match (call, state.active.as_str()) {
            _ if state.has_job => {}
            ("start" | "reload", "active") | ("stop", "inactive" | "failed") => return Ok(()),
            (_, active) => {
                let result = active.to_owned();
                return Err(unit_job(call, unit, result, &service).await);
            }
        }
        job
    } else {
        let path = match call {
            "start" => manager.start_unit(unit, "replace").await,
            "reload" => manager.reload_unit(unit, "replace").await,
            _ => manager.stop_unit(unit, "replace").await,
        };
        match path {
            Err(error) if call == "stop" && is_no_such_unit(&error) => return Ok(()),
            path => {
                let path = path.map_err(lost)?;
                // It was not: that is asked above, and nobody else sets it.
                let _ = asked.set(path.clone());
                path
            }
        }
    };
    loop {
        tokio::select! {
            signal = removed.next() => {
                let signal = signal.ok_or_else(gone)?;
                let args = signal.args().map_err(lost)?;
                if *args.job() != job {
                    continue;
                }
                if args.result() == "done" {
                    return Ok(());
                }
                let (_, service) = proxies(&connection, unit).await?;
                return Err(unit_job(call, unit, args.result().clone(), &service).await);
            }
            Some(owner) = owners.next() => if owner.is_some() {
                // systemd has executed itself anew: it goes on with its jobs, but may have said so to nobody.
                subscribe(&connection).await?;
                return Err(gone());
            },
            () = connection.closed() => return Err(gone()),
        }
    }
}

/// The error of a job that did not end well, with the step at which the unit's start failed.
async fn unit_job(
    call: &'static str,
    unit: &str,
    result: String,
    service: &ServiceProxy<'_>,
) -> SupervisorError {
    let step = match end_of(service, unit).await {
        Ok(end) if call == "start" => step_name(end.status),
        _ => None,
    };
    SupervisorError::UnitJob {
        call,
        unit: unit.to_owned(),
        result: step.map_or(result.clone(), |step| format!("{result}, {step}")),
    }
}

/// What systemd was doing when it could not start a process, by the exit code that it uses for that.
fn step_name(status: i32) -> Option<&'static str> {
    Some(match status {
        200 => "it cannot enter the working directory",
        203 => "it cannot execute its program",
        209 | 222 => "it cannot open the named pipes of the outputs",
        217 => "it cannot make a user",
        218..=220 | 228..=232 => "it cannot take privileges away",
        226 => "it cannot make the file system",
        243 => "it cannot read the credentials",
        _ => return None,
    })
}

fn gone() -> SupervisorError {
    let source = std::io::Error::other("the connection was lost");
    SupervisorError::NoBus(zbus::Error::InputOutput(source.into()))
}

async fn state(proxy: &UnitProxy<'_>, unit: &str) -> Result<State, SupervisorError> {
    let read = async {
        Ok(State {
            has_job: proxy.job().await?.0 != 0,
            active: proxy.active_state().await?,
            sub: proxy.sub_state().await?,
        })
    };
    read.await.map_err(|source| failed("look at", unit, source))
}

/// The unit's proxies. Nothing is cached: not all that is read comes with a signal that would name it.
async fn proxies(
    connection: &Connection,
    unit: &str,
) -> Result<(UnitProxy<'static>, ServiceProxy<'static>), SupervisorError> {
    let lost = |source| failed("look at", unit, source);
    let path = manager(connection)
        .await?
        .load_unit(unit)
        .await
        .map_err(lost)?;
    let no = zbus::proxy::CacheProperties::No;
    let of_unit = UnitProxy::builder(connection).path(path.clone());
    let of_service = ServiceProxy::builder(connection).path(path);
    Ok((
        of_unit.cache_properties(no).build().await.map_err(lost)?,
        of_service
            .cache_properties(no)
            .build()
            .await
            .map_err(lost)?,
    ))
}
