//! A unit from its start to its end.

use std::net::IpAddr;

use e3_core::document::Exit;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::bus::Bus;
use super::folder::Folder;
use super::limits::Kept;
use super::unit;
use crate::supervisor::{Running, SupervisorError};

/// `waitid`'s code for a process that exited by itself; the others are signals.
pub(super) const CLD_EXITED: i32 = 1;

/// A unit that was started.
pub(super) struct Instance {
    pub(super) bus: Bus,
    pub(super) unit: String,
    pub(super) folder: Folder,
    pub(super) kept: Kept,
    pub(super) main_pid: Option<u32>,
    /// The wait for its main process, once somebody waits. It goes on where it was when they are interrupted: to begin
    /// anew takes a dozen messages.
    pub(super) watch: Option<BoxFuture<'static, Result<unit::End, SupervisorError>>>,
    /// How the main process ended, once that is known.
    pub(super) exit: Option<Exit>,
    /// Nothing of it is left.
    pub(super) finished: bool,
}

impl Instance {
    async fn wait(&mut self) -> Result<Exit, SupervisorError> {
        let exit = if let Some(exit) = self.exit {
            exit
        } else {
            let (bus, unit) = (&self.bus, &self.unit);
            let watch = self.watch.get_or_insert_with(|| {
                let (bus, unit) = (bus.clone(), unit.clone());
                async move { unit::ended(&bus, &unit).await }.boxed()
            });
            let ended = watch.await;
            self.watch = None;
            // Kept at once: whoever waits may be interrupted, and systemd forgets.
            *self.exit.insert(exit_of(&ended?))
        };
        self.finish().await?;
        Ok(exit)
    }

    /// Ends what is left of it, and forgets it.
    async fn finish(&mut self) -> Result<(), SupervisorError> {
        // Nobody listens to it any more, and signals that nobody takes hold up the connection.
        self.watch = None;
        if !self.finished {
            self.kept.forget();
            let ended = unit::end(&self.bus, &self.unit).await;
            self.folder.clear()?;
            ended?;
            self.finished = true;
        }
        Ok(())
    }
}

fn exit_of(end: &unit::End) -> Exit {
    if !matches!(end.result.as_str(), "success" | "exit-code" | "signal") {
        // Such as `oom-kill` or `timeout`: the receipt has the signal, the journal the word.
        tracing::warn!(result = %end.result, "a session's unit was ended by systemd");
    }
    match end.code {
        CLD_EXITED => Exit::Code(end.status),
        // Somebody else has stopped it, and systemd has forgotten how it ended.
        0 => Exit::Signal(nix::libc::SIGTERM),
        _ => Exit::Signal(end.status),
    }
}

impl Running for Instance {
    fn main_pid(&self) -> Option<u32> {
        self.main_pid
    }

    fn is_confined(&self) -> bool {
        true
    }

    fn allow<'a>(&'a mut self, peers: &'a [IpAddr]) -> BoxFuture<'a, Result<(), SupervisorError>> {
        self.kept.allow(&self.bus, peers).boxed()
    }

    fn ended(&mut self) -> BoxFuture<'_, Result<Exit, SupervisorError>> {
        self.wait().boxed()
    }

    fn kill(&mut self) -> BoxFuture<'_, Result<(), SupervisorError>> {
        self.finish().boxed()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        unit::end_later(&self.bus, &self.unit);
        // There are secrets in it. What the unit has opened it keeps.
        let _ = self.folder.clear();
    }
}
