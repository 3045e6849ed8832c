//! The agent at work: decides about each head that comes in, and starts and stops sessions.
//!
//! Everything that lasts runs as a task of its own, and is started here; coming up to that point is
//! [`crate::boot`]'s business.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use e3_client::files;
use e3_core::degraded::Degraded;
use e3_core::digest::Digest;
use e3_core::document::{Progress, Session, SessionRef};
use e3_core::envelope::Envelope;
use e3_core::limits;
use e3_core::session::Checkpoint;
use e3_core::trust::{Refusal, TrustError};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::board::{self, Board, SessionNote, Source};
use crate::boot::{self, MEET_RETRY};
use crate::config::{Settings, Supervisor};
use crate::error::AgentError;
use crate::keeper::KeeperError;
use crate::outbox::Outbox;
use crate::peer::listen;
use crate::pulse::{self, Pulse};
use crate::session::driver::{self, Command, Standing};
use crate::session::folder::Folder;
use crate::shared::Shared;
use crate::update::{Entered, Updater};
use crate::{fitness, housekeeping, lock, metrics, presence, status, sync, update};

/// For walking the root chain; the rest of it is walked with the next head.
const ROOTS: Duration = Duration::from_secs(30);
/// Sessions remembered as somebody else's, so that they are not fetched again.
const IGNORED: usize = 4096;

/// How often settings that cannot be used are looked at again.
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
    let (board, pulse) = (Board::default(), Pulse::default());
    let bus = settings.supervisor == Supervisor::Systemd;
    update::effect::announce(&board, &settings.state, &entered);
    let mut face = Face::show(&board, &settings.run, &pulse, bus)?;
    if let Some(address) = settings.metrics {
        face.tasks
            .spawn(metrics::serve_address(board.clone(), address));
    }
    let mut state = None;
    let up = OnceLock::new();
    let work = async {
        let (shared, listener) = boot::come_up(&settings, &board, &mut state).await?;
        let updater = Updater::open(&settings.state, config.to_owned(), entered);
        let _ = up.set(updater.clone());
        serve(shared, listener, updater, &pulse).await
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
    let _face = Face::show(&board, run, &Pulse::default(), true)?;
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

/// What tells about the agent: there from its first moment to its last.
struct Face {
    _only_one: lock::Lock,
    tasks: JoinSet<()>,
}

impl Face {
    /// `bus`: on the system bus, too; demos and laptops leave that alone.
    fn show(board: &Board, run: &Path, pulse: &Pulse, bus: bool) -> Result<Self, AgentError> {
        if !run.exists() {
            files::private_folder(run)?;
        }
        // The sockets are this agent's alone; the state folder is locked when it can be.
        let only_one = lock::take(run)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(status::serve(board.clone(), status::listen(run)?));
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
) -> Result<Ended, AgentError> {
    tokio::spawn(listen::listen(
        listener,
        shared.identity.clone(),
        shared.sessions.clone(),
    ));
    tokio::spawn(Outbox::deliver(shared.clone()));
    tokio::spawn(presence::run(shared.clone()));
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
    loop {
        pulse.beat();
        // News first: an update must not overtake a session that is on its way.
        let input = tokio::select! {
            biased;
            _ = beats.tick(), if is_watched => continue,
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

    /// Takes up what was under way when the agent ended.
    fn resume(&mut self) {
        let mut over = Vec::new();
        for manifest in self.shared.ledger.sessions() {
            let folder = Folder::of(&self.shared.ledger, &manifest);
            self.seen.insert(manifest);
            match (folder.checkpoint(), folder.named(), folder.envelope()) {
                (Ok(Some(checkpoint)), Ok(Some(named)), Ok(envelope))
                    if !checkpoint.is_final()
                        || !folder.has_receipt()
                        || self.is_awaited(&folder, &envelope) =>
                {
                    self.take_up(&named, &envelope);
                }
                (Ok(Some(checkpoint)), named, envelope) => {
                    // Killed after the receipt was signed: what only the run needed may still be there.
                    folder.clear_run();
                    if let (Ok(Some(named)), Ok(envelope)) = (named, envelope) {
                        over.push((checkpoint, named, envelope));
                    }
                }
                // Cut off before it was whole: the head names it again.
                (Ok(None), ..) => drop(self.seen.remove(&manifest)),
                // It may have run: it is not begun again.
                (Err(error), ..) => {
                    tracing::error!(%manifest, error = %crate::text::chain(&error), "a session's state cannot be read; it is left alone");
                }
            }
        }
        let surplus = over.len().saturating_sub(board::SESSIONS);
        for (checkpoint, named, envelope) in over.drain(surplus..) {
            self.recall(&checkpoint, named, &envelope);
        }
    }

    /// Shows a session that ended before this agent was started.
    fn recall(&self, checkpoint: &Checkpoint, named: SessionRef, envelope: &[u8]) {
        let (progress, failure) = match checkpoint {
            Checkpoint::Failed { failure } => (Progress::Failed, Some(failure.clone())),
            _ => (Progress::Done, None),
        };
        // Verified when it was fetched; here it only gives the parties their names.
        let envelope = Envelope::parse(envelope, limits::ENVELOPE).ok();
        let session = envelope.and_then(|envelope| envelope.unverified::<Session>().ok());
        let parties = session.map_or_else(Vec::new, |session| session.parties);
        self.shared.board.recall(SessionNote {
            name: named.name,
            manifest: named.manifest,
            progress,
            failure,
            parties: parties.into_iter().map(|party| party.name).collect(),
        });
    }

    async fn take_head(&mut self, bytes: &[u8]) {
        // Bounded, or a slow hub would hold up everything else.
        match tokio::time::timeout(ROOTS, self.walk_roots(bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %crate::text::chain(&error), "the root chain cannot be walked");
            }
            Err(_) => tracing::warn!("the hub is too slow with the root chain"),
        }
        let accepted = self.shared.keeper().accept_head(bytes);
        match accepted {
            Ok(_) => {
                self.shared.board.trusts(self.shared.keeper().trust());
                self.shared.board.degraded(Source::Head, None);
                self.shared.board.degraded(Source::Disk, None);
            }
            Err(error) => {
                let detail = crate::text::chain(&error);
                tracing::warn!(error = %detail, "a head is refused");
                // Rule 11: the last good state stays; what is running goes on.
                let (source, reason) = match error {
                    KeeperError::Trust(TrustError::Expired { .. }) => (
                        Source::Head,
                        sync::unusable(&self.shared, Degraded::HeadExpired),
                    ),
                    KeeperError::Trust(TrustError::FromTheFuture { .. }) => (
                        Source::Head,
                        sync::unusable(&self.shared, Degraded::HubContradicts { detail }),
                    ),
                    KeeperError::Trust(_) => (Source::Head, Degraded::HubContradicts { detail }),
                    _ => (Source::Disk, Degraded::Disk { detail }),
                };
                return self.shared.board.degraded(source, Some(reason));
            }
        }
        let Some(head) = self.shared.keeper().head().cloned() else {
            return;
        };
        self.updater.head(head.release);
        for manifest in &head.revoked {
            if let Some(session) = self.running.get(manifest) {
                let _ = session.try_send(Command::Stop);
            }
        }
        for named in head.sessions {
            if !head.revoked.contains(&named.manifest) && self.seen.insert(named.manifest) {
                self.fetch(named);
            }
        }
        if self.seen.len() > IGNORED {
            let known: HashSet<Digest> = self.shared.ledger.sessions().into_iter().collect();
            self.seen.retain(|manifest| known.contains(manifest));
        }
    }

    /// Rule 4: one root at a time, as far as the head says there are any.
    async fn walk_roots(&self, head: &[u8]) -> Result<(), AgentError> {
        let missing = self
            .shared
            .keeper()
            .trust()
            .missing_roots(head)
            .map_err(KeeperError::from)?;
        for version in missing {
            let Some(root) = self.shared.hub.root(version).await? else {
                break;
            };
            self.shared.keeper().accept_root(&root)?;
        }
        Ok(())
    }

    fn fetch(&self, named: SessionRef) {
        let (shared, inputs) = (self.shared.clone(), self.inputs.clone());
        let fetching = Arc::clone(&self.fetching);
        tokio::spawn(async move {
            let fetching = fetching;
            let mut pause = Duration::from_millis(200);
            loop {
                match shared.hub.blob(&named.envelope).await {
                    Ok(bytes) => {
                        return drop(inputs.send(Input::Fetched(Box::new(named), bytes)).await);
                    }
                    Err(error) => {
                        tracing::warn!(session = %named.name, error = %crate::text::chain(&error), "a session cannot be fetched");
                    }
                }
                // The head may have moved on meanwhile.
                let current = |head: &e3_core::document::Head| head.sessions.contains(&named);
                if !shared.keeper().head().is_some_and(current) {
                    drop(fetching);
                    return drop(inputs.send(Input::Ended(named.manifest)).await);
                }
                tokio::time::sleep(sync::jitter(pause)).await;
                pause = (pause * 2).min(MEET_RETRY);
            }
        });
    }

    fn take_session(&mut self, named: &SessionRef, bytes: &[u8]) {
        let folder = Folder::of(&self.shared.ledger, &named.manifest);
        // In a statement of its own: the keeper is locked for no longer.
        let opened = self.shared.keeper().open_session(named, bytes);
        let session = match opened {
            Ok(session) => session,
            Err(refusal) => return self.note_refused(named, &refusal),
        };
        let Some(place) = session.document.party_index(&self.shared.me()) else {
            return;
        };
        match folder.create(named, bytes) {
            Ok(()) => self.begin(named.clone(), Standing::Accepted(session), place),
            Err(error) => {
                let detail = crate::text::chain(&error);
                tracing::error!(error = %detail, "a session cannot be kept");
                self.shared
                    .board
                    .degraded(Source::Disk, Some(Degraded::Disk { detail }));
                // Tried again with the next head.
                self.seen.remove(&named.manifest);
            }
        }
    }

    /// Whether others may still wait for this party's last word: it was killed just after it had signed
    /// its good receipt. They wait no longer than for a party that has to show up.
    fn is_awaited(&self, folder: &Folder, envelope: &[u8]) -> bool {
        let envelope = Envelope::parse(envelope, limits::ENVELOPE);
        let session = envelope.ok().and_then(|e| e.unverified::<Session>().ok());
        let until = folder
            .done_at()
            .zip(session)
            .map(|(done, session)| done.plus(session.deadlines.preflight));
        until.is_some_and(|until| self.shared.keeper().now() <= until)
    }

    /// Takes up a session that was accepted and kept before the agent ended.
    fn take_up(&mut self, named: &SessionRef, bytes: &[u8]) {
        let opened = self.shared.keeper().open_session(named, bytes);
        let (standing, place) = match opened {
            Ok(session) => {
                let place = session.document.party_index(&self.shared.me());
                (Standing::Accepted(session), place)
            }
            Err(refusal) => {
                self.note_refused(named, &refusal);
                let Some(session) = kept(named, bytes) else {
                    tracing::error!(session = %named.name, "what was kept of a session cannot be read");
                    return;
                };
                let place = session.party_index(&self.shared.me());
                (Standing::Refused(Box::new(session), refusal), place)
            }
        };
        if let Some(place) = place {
            self.begin(named.clone(), standing, place);
        }
    }

    fn note_refused(&self, named: &SessionRef, refusal: &Refusal) {
        tracing::warn!(session = %named.name, %refusal, "a session is refused");
        let noted = self.shared.keeper().note(
            "session",
            "refused",
            Some(named.manifest),
            &refusal.to_string(),
        );
        if let Err(error) = noted {
            tracing::error!(error = %crate::text::chain(&error), "cannot write the journal");
        }
    }

    fn begin(&mut self, named: SessionRef, standing: Standing, place: usize) {
        let (commands, received) = mpsc::channel(4);
        self.running.insert(named.manifest, commands);
        let (shared, inputs) = (self.shared.clone(), self.inputs.clone());
        tokio::spawn(async move {
            let manifest = named.manifest;
            let span =
                tracing::info_span!("session", session = %named.name, %manifest, party = place);
            driver::drive(shared, standing, place, named, received)
                .instrument(span)
                .await;
            let _ = inputs.send(Input::Ended(manifest)).await;
        });
    }
}

/// A session that was verified before it was kept, by keys that do not count any more. Nothing starts
/// by it: it only says whose session has to end.
fn kept(named: &SessionRef, bytes: &[u8]) -> Option<Session> {
    let envelope = Envelope::parse(bytes, limits::ENVELOPE).ok()?;
    let session = envelope.unverified().ok()?;
    (envelope.digest() == named.manifest).then_some(session)
}
