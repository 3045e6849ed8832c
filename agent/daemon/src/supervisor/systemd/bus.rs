//! The way to systemd: a connection that is made again when it is lost, what of systemd's interface is used, and the
//! errors that come back.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::Instant;
use zbus::connection::Builder;
use zbus::fdo;
use zbus::{Connection, OwnedObjectPath, Variant};

use crate::supervisor::SupervisorError;

/// For one answer, also of systemd, which may have to wait for polkit. A bus that takes calls and answers none looks
/// like one that works, and whoever waits for it for ever can end no session.
const ANSWER: Duration = Duration::from_secs(15);
/// A restart of the bus takes about a second.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between attempts to reach a bus that is gone.
pub(super) const RETRY: Duration = Duration::from_millis(100);
/// systemd's error for a unit that is not loaded, so does not run.
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";
/// It told this client about signals already.
const SUBSCRIBED: &str = "org.freedesktop.systemd1.AlreadySubscribed";

/// What of systemd's manager is used.
#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
pub(super) trait Manager {
    fn subscribe(&self) -> zbus::Result<()>;
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn reload_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn kill_unit(&self, name: &str, whom: &str, signal: i32) -> zbus::Result<()>;
    fn reset_failed_unit(&self, name: &str) -> zbus::Result<()>;
    fn set_unit_properties(
        &self,
        name: &str,
        runtime: bool,
        properties: &[(&str, Variant<'_>)],
    ) -> zbus::Result<()>;
    /// systemd reads its units anew: at first with `true`, and with `false` when that is done.
    #[zbus(signal)]
    fn reloading(&self, active: bool) -> zbus::Result<()>;
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
pub(super) trait Unit {
    #[zbus(property)]
    fn load_state(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn active_state(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn sub_state(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn job(&self) -> zbus::Result<(u32, OwnedObjectPath)>;
}

/// What of a service is used.
#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Service",
    default_service = "org.freedesktop.systemd1"
)]
pub(super) trait Service {
    #[zbus(property)]
    fn result(&self) -> zbus::Result<String>;
    #[zbus(property, name = "ExecMainStatus")]
    fn exec_main_status(&self) -> zbus::Result<i32>;
    #[zbus(property, name = "ExecMainCode")]
    fn exec_main_code(&self) -> zbus::Result<i32>;
    #[zbus(property, name = "MainPID")]
    fn main_pid(&self) -> zbus::Result<u32>;
}

/// What of polkit is used.
#[zbus::proxy(
    interface = "org.freedesktop.PolicyKit1.Authority",
    default_service = "org.freedesktop.PolicyKit1",
    default_path = "/org/freedesktop/PolicyKit1/Authority"
)]
pub(super) trait Authority {
    /// It has read its rules anew.
    #[zbus(signal)]
    fn changed(&self) -> zbus::Result<()>;
}

type Dial = dyn Fn() -> BoxFuture<'static, zbus::Result<Connection>> + Send + Sync;

/// A connection to systemd, made when it is first needed and again when it was lost. Cheap to clone.
#[derive(Clone)]
pub(super) struct Bus {
    dial: Arc<Dial>,
    /// For a bus that is gone to come back, before what was asked of it is given up.
    pub(super) patience: Duration,
    current: Arc<Mutex<Option<Connection>>>,
}

impl Bus {
    /// Over the system bus.
    pub(super) fn system() -> Self {
        Self::by(
            Arc::new(|| dial(Builder::system(), ANSWER).boxed()),
            PATIENCE,
        )
    }

    /// By this way.
    pub(super) fn by(dial: Arc<Dial>, patience: Duration) -> Self {
        Self {
            dial,
            patience,
            current: Arc::default(),
        }
    }

    /// Waits a moment before what has failed with this error is tried again, or gives it up with the error when the bus
    /// has been gone since `lost` for too long.
    pub(super) async fn wait(
        &self,
        lost: &mut Option<Instant>,
        error: zbus::Error,
    ) -> Result<(), SupervisorError> {
        let since = *lost.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.patience {
            return Err(SupervisorError::NoBus(error));
        }
        tokio::time::sleep(RETRY).await;
        Ok(())
    }

    /// A connection on which systemd sends its signals.
    pub(super) async fn connection(&self) -> Result<Connection, SupervisorError> {
        let mut current = self.current.lock().await;
        if let Some(connection) = current
            .as_ref()
            .filter(|connection| !connection.is_closed())
        {
            return Ok(connection.clone());
        }
        let connection = (self.dial)().await.map_err(SupervisorError::NoBus)?;
        subscribe(&connection).await?;
        *current = Some(connection.clone());
        Ok(connection)
    }
}

/// Connects, and waits for no answer for longer than that.
pub(super) async fn dial(builder: Builder<'static>, answer: Duration) -> zbus::Result<Connection> {
    let connection = builder.method_timeout(answer).build();
    let late = |_| Err(io::Error::from(io::ErrorKind::TimedOut).into());
    tokio::time::timeout(answer, connection)
        .await
        .unwrap_or_else(late)
}

/// Without it systemd sends no signals about units. Once more does no harm, and is needed when systemd was restarted.
pub(super) async fn subscribe(connection: &Connection) -> Result<(), SupervisorError> {
    match manager(connection).await?.subscribe().await {
        Err(error) if is(&error, SUBSCRIBED) => Ok(()),
        done => done.map_err(|source| failed("subscribe to", "systemd", source)),
    }
}

pub(super) async fn manager(
    connection: &Connection,
) -> Result<ManagerProxy<'static>, SupervisorError> {
    let proxy =
        ManagerProxy::builder(connection).cache_properties(zbus::proxy::CacheProperties::No);
    proxy
        .build()
        .await
        .map_err(|source| failed("reach", "systemd", source))
}

/// The error of a call, by what must be done about it.
pub(super) fn failed(call: &'static str, unit: &str, source: zbus::Error) -> SupervisorError {
    let unit = unit.to_owned();
    if is_loss(&source) {
        return SupervisorError::NoBus(source);
    }
    match &source {
        zbus::Error::FDO(error) => match **error {
            fdo::Error::AccessDenied(_)
            | fdo::Error::AuthFailed(_)
            | fdo::Error::InteractiveAuthorizationRequired(_) => {
                SupervisorError::NotAllowed { call, unit, source }
            }
            _ if is_without_polkit(&error.to_string()) => {
                SupervisorError::NotAllowed { call, unit, source }
            }
            _ => SupervisorError::Bus { call, unit, source },
        },
        zbus::Error::MethodError(_, Some(text), _) if is_without_polkit(text) => {
            SupervisorError::NotAllowed { call, unit, source }
        }
        _ if is_no_such_unit(&source) => SupervisorError::NoUnit {
            unit,
            state: "not-found".to_owned(),
        },
        _ => SupervisorError::Bus { call, unit, source },
    }
}

/// Whether systemd could not ask polkit: the error tells of its unit, or that the bus could not have it started.
fn is_without_polkit(text: &str) -> bool {
    text.contains("polkit.service") || text.contains("org.freedesktop.PolicyKit1")
}

/// Whether the bus, or systemd on it, was gone: a restart of either, mostly.
fn is_loss(error: &zbus::Error) -> bool {
    match error {
        zbus::Error::InputOutput(_) | zbus::Error::Handshake(_) | zbus::Error::Address(_) => true,
        zbus::Error::FDO(error) => matches!(
            **error,
            fdo::Error::Disconnected(_)
                | fdo::Error::IOError(_)
                | fdo::Error::NoReply(_)
                | fdo::Error::NameHasNoOwner(_)
                | fdo::Error::ServiceUnknown(_)
                | fdo::Error::NoServer(_)
        ),
        _ => false,
    }
}

pub(super) fn is_no_such_unit(error: &zbus::Error) -> bool {
    is(error, NO_SUCH_UNIT)
}

fn is(error: &zbus::Error, name: &str) -> bool {
    matches!(error, zbus::Error::MethodError(found, ..) if found.as_str() == name)
}
