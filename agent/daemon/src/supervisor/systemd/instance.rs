//! A unit from its start to its end.

use std::io;
use std::path::PathBuf;

use e3_core::document::Exit;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};

use super::Systemd;
use super::bus::{ServiceProxy, UnitProxy, bus};
use super::folder::clear;
use crate::supervisor::{Running, SupervisorError};

/// `waitid`'s code for a process that exited by itself; the others are signals.
pub(super) const CLD_EXITED: i32 = 1;

/// A unit that was started.
pub(super) struct Instance {
    pub(super) systemd: Systemd,
    pub(super) unit: String,
    pub(super) folder: PathBuf,
    pub(super) state: UnitProxy<'static>,
    pub(super) service: ServiceProxy<'static>,
    pub(super) main_pid: Option<u32>,
    pub(super) exit: Option<Exit>,
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
