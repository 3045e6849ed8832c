//! The agent: from a machine with nothing but a join file to a party that takes sessions.
//!
//! Everything that lasts runs as a task of its own; this file starts them in order, and decides
//! about each head that comes in.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use e3_client::files;
use e3_client::hub::Hub;
use e3_core::digest::Digest;
use e3_core::document::{Session, SessionRef};
use e3_core::envelope::Verified;
use e3_core::key::SecretKey;
use e3_core::session::Reason;
use e3_core::time::Time;
use e3_core::trust::{Trust, TrustError};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;

use crate::board::Board;
use crate::config::Settings;
use crate::enrol;
use crate::error::AgentError;
use crate::join::{self, Join};
use crate::keeper::{Keeper, KeeperError};
use crate::ledger::{self, Ledger};
use crate::outbox::Outbox;
use crate::party::Launcher;
use crate::peer::listen::{self, Sessions};
use crate::peer::tls::Identity;
use crate::runtime::{Pythons, Runtimes};
use crate::session::driver::{self, Command};
use crate::session::folder::Folder;
use crate::shared::{Parts, Shared};
use crate::store::BlobStore;
use crate::{housekeeping, presence, status, sync};

/// How often a machine without a join file looks for one.
const JOIN_POLL: Duration = Duration::from_secs(2);
/// Between attempts to reach a hub for the first time, at most.
const MEET_RETRY: Duration = Duration::from_secs(30);
/// Sessions remembered as somebody else's, so that they are not fetched again.
const IGNORED: usize = 4096;

/// Runs the agent until `shutdown` resolves.
pub async fn run(settings: Settings, shutdown: impl Future<Output = ()>) -> Result<(), AgentError> {
    let ledger = Ledger::open(&settings.state)?;
    let _only_one = crate::lock::take(&settings.state)?;
    let work = async {
        let (shared, listener) = start(settings, ledger).await?;
        serve(shared, listener).await
    };
    tokio::select! {
        result = work => result,
        () = shutdown => Ok(()),
    }
}

/// Comes up: identity, join file, trust, enrolment.
async fn start(settings: Settings, ledger: Ledger) -> Result<(Shared, TcpListener), AgentError> {
    let known = Keeper::load(&ledger)?;
    let (joined_from, join) = wait_for_join(&settings).await;
    let ca = join.hub_ca.as_deref().map(str::as_bytes);
    let hub = Hub::open(&join.hub, ca)?;
    let trust = match known {
        Some(trust) => trust,
        None => meet(&ledger, &hub, &join).await?,
    };
    // In this order (rule 12): an identity or a journal without trust state is never a first boot.
    let key = identity(&ledger)?;
    let keeper = Keeper::open(&ledger, trust)?;
    if let Some(token) = &join.token {
        enrol_with(&hub, &join, token, &key, keeper.now()).await?;
        if let Err(error) = join::burn_token(&joined_from) {
            tracing::warn!(error = %crate::text::chain(&error), "the token is used, but cannot be removed from the join file");
        }
    }
    ledger::save(&ledger.joined(), &join)?;
    let listener = TcpListener::bind(&settings.listen).await;
    let listener = listener.map_err(|source| AgentError::Listen {
        address: settings.listen.clone(),
        source,
    })?;
    let port = listener
        .local_addr()
        .map_or(crate::config::PORT, |address| address.port());
    let addresses = crate::address::advertised(&settings.advertise, port);
    let shared = Shared::new(Parts {
        identity: Identity::new(&key)?,
        blobs: BlobStore::open(&settings.state, settings.stores.clone())?,
        runtimes: Runtimes::open(&settings.state)?,
        pythons: Pythons::default(),
        launcher: Launcher::new(settings.supervisor, &settings.state, &settings.run).await?,
        keeper: Mutex::new(keeper),
        sessions: Sessions::default(),
        board: Board::default(),
        outbox: Outbox::default(),
        settings,
        ledger,
        join,
        joined_from,
        key,
        hub,
        addresses,
    });
    Ok((shared, listener))
}

/// The identity key: born here, never leaves.
fn identity(ledger: &Ledger) -> Result<SecretKey, AgentError> {
    let path = ledger.identity();
    if path.exists() {
        return Ok(files::read_key(&path)?);
    }
    let key = e3_client::random::key();
    files::write_secret(&path, key.to_pem().as_bytes())?;
    tracing::info!(party = %key.public(), "an identity was born");
    Ok(key)
}

/// Waits until there is a join file that can be read.
async fn wait_for_join(settings: &Settings) -> (std::path::PathBuf, Join) {
    let mut said = String::new();
    loop {
        let problem = match Join::find(&settings.join) {
            Ok(Some(found)) => return found,
            Ok(None) => format!("there is no join file at {}", settings.join[0].display()),
            Err(error) => crate::text::chain(&error),
        };
        if problem != said {
            tracing::warn!(%problem, "not joined; waiting for a join file");
            said = problem;
        }
        tokio::time::sleep(JOIN_POLL).await;
    }
}

/// First contact, however long it takes.
async fn meet(ledger: &Ledger, hub: &Hub, join: &Join) -> Result<Trust, AgentError> {
    let mut pause = Duration::from_millis(200);
    loop {
        match enrol::meet(ledger, hub, join, built()).await {
            Ok(trust) => return Ok(trust),
            Err(error) if error.is_passing() => {
                tracing::warn!(error = %crate::text::chain(&error), "the fleet cannot be met yet");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MEET_RETRY);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn enrol_with(
    hub: &Hub,
    join: &Join,
    token: &str,
    key: &SecretKey,
    now: Time,
) -> Result<(), AgentError> {
    let mut pause = Duration::from_millis(200);
    loop {
        match enrol::enrol(hub, join, token, key, now).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_passing() => {
                tracing::warn!(error = %crate::text::chain(&error), "cannot enrol yet");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MEET_RETRY);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Rule 10: never earlier than this agent was built, if the build says when that was.
fn built() -> Time {
    let epoch = option_env!("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok());
    epoch.map_or(Time::MIN, Time::from_unix)
}

/// Asks Python for its version now, so that the first session does not wait for it.
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
}

async fn serve(shared: Shared, listener: TcpListener) -> Result<(), AgentError> {
    files::private_folder(&shared.settings.run)?;
    let socket = status::socket(&shared.settings.run);
    let _ = std::fs::remove_file(&socket);
    let status = UnixListener::bind(&socket).map_err(|source| AgentError::Socket {
        path: socket,
        source,
    })?;
    tokio::spawn(status::serve(shared.clone(), status));
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
    let mut agent = Agent {
        shared: shared.clone(),
        running: HashMap::new(),
        seen: HashSet::new(),
        inputs,
    };
    agent.resume();
    tokio::spawn(sync::run(shared, heads));
    crate::notify::ready();
    loop {
        let input = tokio::select! {
            Some(head) = new_heads.recv() => Input::Head(head),
            Some(input) = incoming.recv() => input,
            else => return Ok(()),
        };
        match input {
            Input::Head(bytes) => agent.take_head(&bytes).await,
            Input::Fetched(named, bytes) => agent.take_session(&named, &bytes),
            Input::Ended(manifest) => drop(agent.running.remove(&manifest)),
        }
    }
}

impl Agent {
    /// Takes up what was under way when the agent ended.
    fn resume(&mut self) {
        for manifest in self.shared.ledger.sessions() {
            let folder = Folder::of(&self.shared.ledger, &manifest);
            self.seen.insert(manifest);
            let is_over = |c: &e3_core::session::Checkpoint| {
                use e3_core::session::Checkpoint::{Done, Failed};
                matches!(c, Done { .. } | Failed { .. }) && folder.path("receipt.json").exists()
            };
            match (folder.checkpoint(), folder.named(), folder.envelope()) {
                (Ok(Some(checkpoint)), Ok(Some(named)), Ok(envelope)) if !is_over(&checkpoint) => {
                    self.begin(&named, &envelope);
                }
                // Killed after the receipt was signed: what only the run needed may still be there.
                (Ok(Some(_)), ..) => folder.clear_run(),
                // Cut off before it was whole: the head names it again.
                _ => drop(self.seen.remove(&manifest)),
            }
        }
    }

    async fn take_head(&mut self, bytes: &[u8]) {
        if let Err(error) = self.walk_roots(bytes).await {
            tracing::warn!(error = %crate::text::chain(&error), "the root chain cannot be walked");
        }
        let accepted = self.shared.keeper().accept_head(bytes);
        match accepted {
            Ok(_) => self.shared.board.degraded(None),
            Err(error) => {
                let detail = crate::text::chain(&error);
                tracing::warn!(error = %detail, "a head is refused");
                // Rule 11: the last good state stays; what is running goes on.
                let reason = match error {
                    KeeperError::Trust(TrustError::Expired { .. }) => Reason::HeadExpired,
                    KeeperError::Trust(_) => Reason::HubContradicts { detail },
                    _ => Reason::Disk { detail },
                };
                return self.shared.board.degraded(Some(reason));
            }
        }
        let Some(head) = self.shared.keeper().head().cloned() else {
            return;
        };
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
        tokio::spawn(async move {
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
                    return;
                }
                tokio::time::sleep(sync::jitter(pause)).await;
                pause = (pause * 2).min(MEET_RETRY);
            }
        });
    }

    fn take_session(&mut self, named: &SessionRef, bytes: &[u8]) {
        let folder = Folder::of(&self.shared.ledger, &named.manifest);
        match self.open(named, bytes) {
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(refusal) => {
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
                return;
            }
        }
        match folder.create(named, bytes) {
            Ok(()) => self.begin(named, bytes),
            Err(error) => {
                let detail = crate::text::chain(&error);
                tracing::error!(error = %detail, "a session cannot be kept");
                self.shared.board.degraded(Some(Reason::Disk { detail }));
                // Tried again with the next head.
                self.seen.remove(&named.manifest);
            }
        }
    }

    /// Opens a session by the fleet's rules; `None` if this party is not in it.
    fn open(
        &self,
        named: &SessionRef,
        bytes: &[u8],
    ) -> Result<Option<(Verified<Session>, usize)>, e3_core::trust::Refusal> {
        let session = self.shared.keeper().open_session(named, bytes)?;
        let place = session.document.party_index(&self.shared.me());
        Ok(place.map(|place| (session, place)))
    }

    fn begin(&mut self, named: &SessionRef, bytes: &[u8]) {
        let (session, place) = match self.open(named, bytes) {
            Ok(Some(opened)) => opened,
            other => {
                tracing::warn!(session = %named.name, ?other, "a session cannot be taken up again");
                return;
            }
        };
        let (commands, received) = mpsc::channel(4);
        self.running.insert(named.manifest, commands);
        let (shared, inputs, named) = (self.shared.clone(), self.inputs.clone(), named.clone());
        tokio::spawn(async move {
            let manifest = named.manifest;
            driver::drive(shared, session, place, named, received).await;
            let _ = inputs.send(Input::Ended(manifest)).await;
        });
    }
}
