//! The agent at work: decides about each head that comes in, and starts and stops sessions.
//!
//! Everything that lasts runs as a task of its own, and is started here; coming up to that point is
//! [`crate::boot`]'s business. `face` tells about the agent, `resume` takes up what an earlier run has
//! left, `heads` takes in what the hub shows, `sessions` begins sessions.

mod face;
mod heads;
mod resume;
mod sessions;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use e3_core::degraded::Degraded;
use e3_core::digest::Digest;
use e3_core::document::SessionRef;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use self::face::Face;
use crate::board::{Board, Source};
use crate::boot;
use crate::config::{Settings, Supervisor};
use crate::error::AgentError;
use crate::mesh::gauge::Gauge;
use crate::outbox::Outbox;
use crate::peer::listen;
use crate::pulse::{self, Pulse};
use crate::session::driver::Command;
use crate::shared::Shared;
use crate::update::{Entered, Updater};
use crate::{asked, fitness, housekeeping, mesh, metrics, moves, presence, sync, update};

/// How often files that cannot be used are looked at again.
const RECHECK: Duration = Duration::from_secs(2);

/// Why the agent has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// For stage 0 to choose anew what runs.
    ForUpdate,
}

/// Runs the agent until `shutdown` resolves, or an update is ready and nothing else to do. Its status
/// can be asked for from the first moment on.
pub async fn run(
    settings: Settings,
    config: &Path,
    entered: Entered,
    shutdown: impl Future<Output = ()>,
) -> Result<Ended, AgentError> {
    let (board, pulse, gauge) = (Board::default(), Pulse::default(), Gauge::default());
    let bus = settings.supervisor == Supervisor::Systemd;
    update::effect::announce(&board, &settings.state, &entered);
    let mut face = Face::show(&board, &gauge, &settings.run, &pulse, bus)?;
    if let Some(address) = settings.metrics {
        face.tasks
            .spawn(metrics::serve_address(board.clone(), address));
    }
    let mut state = None;
    let up = OnceLock::new();
    let work = async {
        let on_trial = Updater::open(&settings.state, config.to_owned(), entered.clone());
        let (shared, listener) = tokio::select! {
            up = boot::come_up(&settings, &board, &mut state) => up?,
            () = on_trial.gives_up(settings.trial) => return Ok(Ended::ForUpdate),
        };
        gauge.starts(shared.clone());
        let updater = Updater::open(&settings.state, config.to_owned(), entered);
        let _ = up.set(updater.clone());
        serve(shared, listener, updater, &pulse, config).await
    };
    tokio::select! {
        result = work => result,
        () = shutdown => {
            if let Some(updater) = up.get() {
                updater.stopped();
            }
            Ok(Ended::Stopped)
        }
    }
}

/// Waits until the settings in `path` can be used, and says in the folder `run` what is wrong with them.
pub async fn settings(path: &Path, run: &Path) -> Result<Settings, AgentError> {
    let board = Board::default();
    let _face = Face::show(&board, &Gauge::default(), run, &Pulse::default(), true)?;
    loop {
        match Settings::load(path) {
            Ok(settings) => return Ok(settings),
            Err(error) => {
                let detail = crate::text::chain(&error);
                let reason = Degraded::Settings { detail };
                board.degraded(Source::Boot, Some(reason));
            }
        }
        tokio::time::sleep(RECHECK).await;
    }
}

/// Asks Python for its version now, so that the first session does not wait for it; and says if it is missing.
fn warm_up(shared: &Shared) {
    let shared = shared.clone();
    tokio::spawn(async move {
        if let Err(reason) = shared.pythons.find(&shared.settings.python).await {
            tracing::warn!(%reason, "sessions cannot run here yet");
        }
    });
}

/// What the main loop waits for.
enum Input {
    Head(Vec<u8>),
    Fetched(Box<SessionRef>, Vec<u8>),
    Ended(Digest),
}

/// The main loop's memory.
struct Agent {
    shared: Shared,
    running: HashMap<Digest, mpsc::Sender<Command>>,
    /// Sessions being fetched, not ours, or done: not to be fetched again.
    seen: HashSet<Digest>,
    /// Sessions of which something is kept that cannot be read, and why.
    unreadable: BTreeMap<Digest, Degraded>,
    inputs: mpsc::Sender<Input>,
    /// A copy goes with each session that is being fetched.
    fetching: Arc<()>,
    updater: Updater,
}

async fn serve(
    shared: Shared,
    listener: TcpListener,
    updater: Updater,
    pulse: &Pulse,
    config: &Path,
) -> Result<Ended, AgentError> {
    shared.links.spawn(listen::listen(
        listener,
        shared.identity.clone(),
        shared.sessions.clone(),
        mesh::networks(&shared.join.root),
    ));
    mesh::introduce(&shared);
    tokio::spawn(Outbox::deliver(shared.clone()));
    tokio::spawn(presence::run(shared.clone()));
    tokio::spawn(mesh::run(shared.clone()));
    tokio::spawn(moves::run(shared.clone()));
    tokio::spawn(asked::run(shared.clone(), config.to_owned()));
    let (inputs, mut incoming) = mpsc::channel(64);
    let (heads, mut new_heads) = mpsc::channel(4);
    housekeeping::tidy(&shared);
    warm_up(&shared);
    tokio::spawn(fitness::watch(
        shared.launcher.clone(),
        shared.board.clone(),
    ));
    let mut agent = Agent {
        shared: shared.clone(),
        running: HashMap::new(),
        seen: HashSet::new(),
        unreadable: BTreeMap::new(),
        inputs,
        fetching: Arc::default(),
        updater: updater.clone(),
    };
    agent.resume();
    tokio::spawn(sync::run(shared.clone(), heads));
    if shared.settings.update {
        tokio::spawn(updater.clone().run(shared.clone()));
    }
    // Only a watchdog wants to hear of it; an idle agent sleeps otherwise.
    let is_watched = sd_notify::watchdog_enabled().is_some();
    let mut beats = tokio::time::interval(pulse::BEAT);
    let mut looks = tokio::time::interval(RECHECK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pulse.beat();
        // News first: an update must not overtake a session that is on its way.
        let input = tokio::select! {
            biased;
            _ = beats.tick(), if is_watched => continue,
            _ = looks.tick(), if !agent.unreadable.is_empty() => {
                agent.look_again();
                continue;
            }
            Some(head) = new_heads.recv() => Input::Head(head),
            Some(input) = incoming.recv() => input,
            () = updater.wants_to_go(), if agent.is_idle() => {
                if updater.idle(&shared) {
                    tracing::info!("the agent starts over, for an update");
                    return Ok(Ended::ForUpdate);
                }
                continue;
            }
            else => return Ok(Ended::Stopped),
        };
        match input {
            Input::Head(bytes) => agent.take_head(&bytes).await,
            Input::Fetched(named, bytes) => agent.take_session(&named, &bytes),
            Input::Ended(manifest) => drop(agent.running.remove(&manifest)),
        }
    }
}

impl Agent {
    /// Whether no session runs or is being fetched.
    fn is_idle(&self) -> bool {
        self.running.is_empty() && Arc::strong_count(&self.fetching) == 1
    }
}
