//! Comes up: from a machine with nothing but a join file to one that has an identity, trusts its
//! fleet's root, and has enrolled.
//!
//! It never gives up (rule 11): whatever cannot be done now is said on the board, as a phase or as a
//! typed reason, and tried again.

pub(crate) mod trouble;

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use e3_client::clock::Clock;
use e3_client::files;
use e3_client::hub::Hub;
use e3_core::key::SecretKey;
use e3_core::time::Time;
use e3_core::trust::{PresenceCounter, Trust};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

use crate::board::{Board, Source};
use crate::config::Settings;
use crate::enrol::{self, EnrolError};
use crate::error::AgentError;
use crate::keeper::Keeper;
use crate::ledger::{self, Ledger, LedgerError};
use crate::lock::{self, Lock};
use crate::mesh;
use crate::mesh::link::ways::Ways;
use crate::mesh::wireguard::direct::Direct;
use crate::outbox::Outbox;
use crate::party::Launcher;
use crate::peer::listen::Sessions;
use crate::peer::thread::LinkThread;
use crate::peer::tls::Identity;
use crate::phase::Phase;
use crate::runtime::{Pythons, Runtimes};
use crate::shared::{Parts, Shared};
use crate::store::BlobStore;
use crate::{presence, reset};
use e3_client::join::{Join, JoinError, burn_token};

/// How often a machine without a join file looks for one.
const JOIN_POLL: Duration = Duration::from_secs(2);
/// Between attempts, at first ...
const RETRY: Duration = Duration::from_millis(200);
/// ... to reach a hub for the first time, at most ...
pub const MEET_RETRY: Duration = Duration::from_secs(30);
/// ... and to get over trouble of this machine's own, at most: a few files are looked at.
const TROUBLE_RETRY: Duration = Duration::from_secs(5);
/// A degraded machine that can still speak to its hub does so, for this long.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Comes up, however long it takes. The only error is another agent on the same state folder.
///
/// `lock` holds the state folder as soon as it can be had; the caller keeps it.
pub async fn come_up(
    settings: &Settings,
    board: &Board,
    lock: &mut Option<Lock>,
) -> Result<(Shared, TcpListener), AgentError> {
    let mut pause = RETRY;
    let mut told: Option<(e3_core::degraded::Degraded, Instant)> = None;
    loop {
        let error = match attempt(settings, board, lock).await {
            Ok(up) => {
                tracing::info!(addresses = up.0.addresses().join(" "), "joined");
                board.phase_is(Phase::Ready);
                board.degraded(Source::Boot, None);
                return Ok(up);
            }
            Err(error @ AgentError::Running { .. }) => return Err(error),
            Err(AgentError::JoinFileChanged) => continue,
            Err(error) => error,
        };
        let reason = trouble::of(&error);
        board.degraded(Source::Boot, Some(reason.clone()));
        let known = told.as_ref().filter(|(said, _)| *said == reason);
        if known.is_none() {
            pause = RETRY;
            tracing::error!(reason = reason.kind(), error = %crate::text::chain(&error), remedy = reason.remedy(), "degraded: this party takes no session");
        }
        // The fleet is told when the reason is new, and as often as it hears of a healthy party.
        if known.is_none_or(|(_, when)| when.elapsed() > settings.poll) {
            told = Some((reason.clone(), Instant::now()));
            let _ = tokio::time::timeout(LAST_WORDS, tell_fleet(settings, board)).await;
        }
        tokio::time::sleep(pause).await;
        let most = if reason.is_of_the_hub() {
            MEET_RETRY
        } else {
            TROUBLE_RETRY
        };
        pause = (pause * 2).min(most);
    }
}

/// Everything that coming up needs, once.
async fn attempt(
    settings: &Settings,
    board: &Board,
    lock: &mut Option<Lock>,
) -> Result<(Shared, TcpListener), AgentError> {
    let ledger = Ledger::open(&settings.state)?;
    if lock.is_none() {
        *lock = Some(lock::take(&settings.state)?);
    }
    if let Ok(key) = files::read_key(&ledger.identity()) {
        board.identity(key.public());
    }
    // Rule 12: an identity or a journal without trust state is never a first boot. Looked at before
    // anything else, and set right by nobody but the owner.
    let known = match Keeper::load(&ledger) {
        Ok(trust) => trust,
        Err(error) if reset::is_asked(&ledger) && reset::can_help(&error) => None,
        Err(error) => return Err(error.into()),
    };
    let clock = Clock::default();
    clock.set_floor(known.as_ref().map_or_else(built, |trust| trust.floor.time));
    let (joined_from, join, hub) = wait_for_join(settings, board, &clock).await;
    board.joins(&join);
    let trust = match known {
        Some(trust) => trust,
        None => meet(settings, &ledger, &hub, &join, board).await?,
    };
    if trust.root.fleet != join.fleet {
        return Err(AgentError::OtherFleet {
            has: trust.root.fleet,
            asked: join.fleet,
        });
    }
    board.trusts(&trust);
    let key = identity(&ledger)?;
    board.identity(key.public());
    let mut keeper = Keeper::open(&ledger, trust, clock)?;
    reset::conclude(&ledger, &mut keeper)?;
    // A token that could not be burnt is not used again: a machine that has enrolled starts without
    // its hub.
    let has_enrolled = ledger.joined().exists();
    if let Some(token) = join.token.as_ref().filter(|_| !has_enrolled) {
        let now = keeper.now();
        enrol_with(settings, &hub, &join, token, &key, now, board).await?;
        if let Err(error) = burn_token(&joined_from) {
            tracing::warn!(error = %crate::text::chain(&error), "the token is used, but cannot be removed from the join file");
        }
    }
    // Nobody reads it but people, so what a newer agent has written there stays.
    if !matches!(
        ledger::load::<Join>(&ledger.joined()),
        Err(LedgerError::Newer { .. })
    ) {
        ledger::save(&ledger.joined(), &join)?;
    }
    let links = LinkThread::start().map_err(AgentError::Runtime)?;
    let listener = TcpListener::bind(&settings.listen).await;
    let listener = listener.and_then(|listener| links.take(listener));
    let listener = listener.map_err(|source| AgentError::Listen {
        address: settings.listen.clone(),
        source,
    })?;
    let port = listener
        .local_addr()
        .map_or(crate::config::PORT, |address| address.port());
    let addresses = crate::address::advertised(&settings.advertise, port);
    let plans = keeper.head().map(|head| head.meshes.clone());
    let plans = plans.unwrap_or_default();
    board.addresses(mesh::first_addresses(&plans, &addresses));
    let me = key.public();
    let shared = Shared::new(Parts {
        identity: Identity::new(&key)?,
        blobs: BlobStore::open(&settings.state, settings.stores.clone())?,
        runtimes: Runtimes::open(&settings.state)?,
        pythons: Pythons::default(),
        launcher: Launcher::new(settings.supervisor, &settings.state, &settings.run)?
            .unfiltered(settings.unfiltered),
        keeper: Mutex::new(keeper),
        links,
        sessions: Sessions::default(),
        board: board.clone(),
        asked: Notify::new(),
        outbox: Outbox::default(),
        settings: settings.clone(),
        ledger,
        join,
        joined_from,
        key,
        hub,
        port,
        moves: watch::Sender::new(0),
        plans: watch::Sender::new(plans),
        ways: Ways::default(),
        direct: Direct::new(me),
    });
    Ok((shared, listener))
}

/// The identity key: born here, never leaves. Born once: see [`Ledger::has_served`].
fn identity(ledger: &Ledger) -> Result<SecretKey, AgentError> {
    let path = ledger.identity();
    if path.exists() {
        return files::read_key(&path).map_err(AgentError::Identity);
    }
    if ledger.has_served() {
        return Err(AgentError::IdentityMissing { path });
    }
    let key = e3_client::random::key();
    files::write_secret(&path, key.to_pem().as_bytes())?;
    tracing::info!(party = %key.public(), "an identity was born");
    Ok(key)
}

/// Waits until there is a join file that can be used.
async fn wait_for_join(settings: &Settings, board: &Board, clock: &Clock) -> (PathBuf, Join, Hub) {
    let mut said = None;
    loop {
        let problem = match find_join(&settings.join, clock) {
            Ok(Some(found)) => return found,
            Ok(None) => None,
            Err(error) => Some(crate::text::chain(&error)),
        };
        if said.as_ref() != Some(&problem) {
            let phase = Phase::WaitingForJoinFile {
                places: settings.join_places(),
                problem: problem.clone(),
            };
            tracing::warn!(%phase, remedy = phase.remedy(), "not joined");
            board.phase_is(phase);
            board.degraded(Source::Boot, None);
            said = Some(problem);
        }
        tokio::time::sleep(JOIN_POLL).await;
    }
}

/// The first join file that is there, and the hub that it names.
fn find_join(places: &[PathBuf], clock: &Clock) -> Result<Option<(PathBuf, Join, Hub)>, JoinError> {
    let Some((path, join)) = Join::find(places)? else {
        return Ok(None);
    };
    let hub = join.open_hub(&path, clock)?;
    Ok(Some((path, join, hub)))
}

/// First contact, however long it takes, unless the join file changes.
async fn meet(
    settings: &Settings,
    ledger: &Ledger,
    hub: &Hub,
    join: &Join,
    board: &Board,
) -> Result<Trust, AgentError> {
    board.phase_is(Phase::MeetingTheFleet { problem: None });
    let mut pause = RETRY;
    loop {
        let error = match enrol::meet(ledger, hub, join, built()).await {
            Ok(trust) => return Ok(trust),
            Err(error @ (EnrolError::Hub(_) | EnrolError::NoRoot)) => error,
            Err(error) => return Err(error.into()),
        };
        let problem = crate::text::chain(&error);
        tracing::warn!(error = %problem, "the fleet cannot be met yet");
        let problem = Some(problem);
        board.phase_is(Phase::MeetingTheFleet { problem });
        board.degraded(Source::Boot, None);
        pause = wait(settings, join, pause).await?;
    }
}

/// Enrols, however long it takes, unless the join file changes or the hub says no.
async fn enrol_with(
    settings: &Settings,
    hub: &Hub,
    join: &Join,
    token: &str,
    key: &SecretKey,
    now: Time,
    board: &Board,
) -> Result<(), AgentError> {
    board.phase_is(Phase::Enrolling { problem: None });
    let mut pause = RETRY;
    loop {
        let error = match enrol::enrol(hub, join, token, key, now).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_final() => return Err(error.into()),
            Err(error) => error,
        };
        let problem = crate::text::chain(&error);
        tracing::warn!(error = %problem, "cannot enrol yet");
        let problem = Some(problem);
        board.phase_is(Phase::Enrolling { problem });
        board.degraded(Source::Boot, None);
        pause = wait(settings, join, pause).await?;
    }
}

/// Waits before the next attempt, and looks whether `join` is still what there is; returns how long
/// to wait the next time.
async fn wait(settings: &Settings, join: &Join, pause: Duration) -> Result<Duration, AgentError> {
    tokio::time::sleep(pause).await;
    match Join::find(&settings.join) {
        Ok(Some((_, now))) if now == *join => Ok((pause * 2).min(MEET_RETRY)),
        _ => Err(AgentError::JoinFileChanged),
    }
}

/// Tells the fleet that this party is degraded, if it still has an identity and a join file.
async fn tell_fleet(settings: &Settings, board: &Board) {
    let key = Ledger::at(&settings.state).identity();
    // The trust state may be what is wrong.
    let clock = Clock::default();
    clock.set_floor(built());
    let (Ok(key), Ok(Some((_, join, hub)))) =
        (files::read_key(&key), find_join(&settings.join, &clock))
    else {
        return;
    };
    board.joins(&join);
    let mut counter = PresenceCounter::default();
    if let Err(error) = presence::publish(&hub, &key, board, &mut counter).await {
        tracing::debug!(%error, "the presence is not published");
    }
}

/// Rule 10: never earlier than this agent was built, if the build says when that was.
pub(crate) fn built() -> Time {
    let epoch = option_env!("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok());
    epoch.map_or(Time::MIN, Time::from_unix)
}

#[cfg(test)]
mod tests;
