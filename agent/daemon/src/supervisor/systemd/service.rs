//! A service of the machine that is neither started for a session nor ended with it: a mesh's daemon.

use super::bus::Bus;
use super::unit;
use crate::supervisor::SupervisorError;

/// One of E3's own services.
pub struct Service {
    bus: Bus,
    unit: String,
}

impl Service {
    /// The service that this unit describes.
    pub fn new(unit: &str) -> Self {
        Self {
            bus: Bus::system(),
            unit: unit.to_owned(),
        }
    }

    /// Whether it runs.
    pub async fn is_active(&self) -> Result<bool, SupervisorError> {
        unit::is_active(&self.bus, &self.unit).await
    }

    /// Starts it, and waits until it says that it has started.
    pub async fn start(&self) -> Result<(), SupervisorError> {
        let started = unit::start(&self.bus, &self.unit, async { Ok(()) });
        started.await.map(drop)
    }

    /// Has it take in what has changed, without an interruption.
    pub async fn reload(&self) -> Result<(), SupervisorError> {
        unit::reload(&self.bus, &self.unit).await
    }

    /// Sends it a signal.
    pub async fn signal(&self, signal: i32) -> Result<(), SupervisorError> {
        unit::signal(&self.bus, &self.unit, signal).await
    }

    /// Stops it, whether it runs or not, and has systemd forget how it ended.
    pub async fn stop(&self) -> Result<(), SupervisorError> {
        unit::end(&self.bus, &self.unit).await
    }

    /// Waits until it ends, and tells how.
    pub async fn ended(&self) -> Result<String, SupervisorError> {
        let end = unit::ended(&self.bus, &self.unit).await?;
        Ok(format!("{} ({})", end.result, end.status))
    }
}
