//! Comes up: from a machine with nothing but a join file to one that has an identity, trusts its
//! fleet's root, and has enrolled. Whatever can pass is waited for; whatever cannot is said.

use std::sync::Mutex;
use std::time::Duration;

use e3_client::files;
use e3_client::hub::Hub;
use e3_core::key::SecretKey;
use e3_core::time::Time;
use e3_core::trust::Trust;
use tokio::net::TcpListener;

use crate::board::Board;
use crate::config::Settings;
use crate::enrol;
use crate::error::AgentError;
use crate::join::{self, Join};
use crate::keeper::Keeper;
use crate::ledger::{self, Ledger};
use crate::outbox::Outbox;
use crate::party::Launcher;
use crate::peer::listen::Sessions;
use crate::peer::tls::Identity;
use crate::runtime::{Pythons, Runtimes};
use crate::shared::{Parts, Shared};
use crate::store::BlobStore;

/// How often a machine without a join file looks for one.
const JOIN_POLL: Duration = Duration::from_secs(2);
/// Between attempts to reach a hub for the first time, at most.
pub const MEET_RETRY: Duration = Duration::from_secs(30);

/// Comes up: identity, join file, trust, enrolment.
pub async fn start(
    settings: Settings,
    ledger: Ledger,
) -> Result<(Shared, TcpListener), AgentError> {
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
    // A token that could not be burnt is not used again: a machine that has enrolled starts without
    // its hub.
    let has_enrolled = ledger.joined().exists();
    if let Some(token) = join.token.as_ref().filter(|_| !has_enrolled) {
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
        launcher: Launcher::new(settings.supervisor, &settings.state, &settings.run)?
            .unfiltered(settings.unfiltered),
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
