//! What tells about the agent: status, metrics, banner, systemd, the bus.

use std::path::Path;

use e3_client::files;
use tokio::task::JoinSet;

use crate::board::Board;
use crate::error::AgentError;
use crate::mesh::gauge::Gauge;
use crate::pulse::Pulse;
use crate::{lock, metrics, status};

/// What tells about the agent: there from its first moment to its last.
pub(super) struct Face {
    _only_one: lock::Lock,
    pub(super) tasks: JoinSet<()>,
}

impl Face {
    /// `bus`: on the system bus, too; demos and laptops leave that alone.
    pub(super) fn show(
        board: &Board,
        gauge: &Gauge,
        run: &Path,
        pulse: &Pulse,
        bus: bool,
    ) -> Result<Self, AgentError> {
        if !run.exists() {
            files::private_folder(run)?;
        }
        // The sockets are this agent's alone; the state folder is locked when it can be.
        let only_one = lock::take(run)?;
        let mut tasks = JoinSet::new();
        let answers = status::serve(board.clone(), gauge.clone(), status::listen(run)?);
        tasks.spawn(answers);
        tasks.spawn(crate::notify::run(board.clone(), pulse.clone()));
        tasks.spawn(metrics::serve_socket(board.clone(), metrics::listen(run)?));
        tasks.spawn(crate::issue::run(board.clone(), run.to_owned()));
        if bus {
            tasks.spawn(crate::dbus::run(board.clone(), None));
        }
        Ok(Self {
            _only_one: only_one,
            tasks,
        })
    }
}
