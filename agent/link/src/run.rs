//! `e3-link run`: from the configuration to the end.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use e3_client::clock::Clock;
use e3_client::files;
use e3_core::mesh::link::{Answer, CONFIG, Config};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::carrier::Carrier;
use crate::endpoint::Quic;
use crate::error::{LinkError, chain};
use crate::mesh::{Mesh, Shared, accept};
use crate::onion::{Onion, Place};
use crate::{control, home, key, onion};

/// How often the peers are looked at, and the watchdog is fed.
const LOOK: Duration = Duration::from_secs(1);

/// What is to carry the connections.
pub enum By<'a> {
    /// QUIC: the built-in mesh.
    Quic,
    /// Tor, by this program.
    Tor(&'a Path),
}

/// Carries connections until told to stop.
pub async fn run(path: &Path, by: By<'_>) -> Result<(), LinkError> {
    let mut config = load(path)?;
    let key = key::read(&config.key)?;
    let id = key.id();
    let clock = Clock::default();
    // Before the first relay is judged.
    if let Some(floor) = config.clock_floor {
        clock.set_floor(floor);
    }
    let carrier = match by {
        By::Quic => Carrier::Quic(Arc::new(Quic::bind(&config, &key, &clock).await?)),
        By::Tor(program) => {
            let place = Place::make(&config, program)?;
            Carrier::Onion(Onion::new(key.into_secret(), place))
        }
    };
    let shared = Shared::new(carrier.clone(), id, clock);
    let listener = control::listen(&config.control)?;
    let owner = std::fs::metadata(path).map_or(0, |file| file.uid());
    let (ask, mut asked) = mpsc::channel(4);
    let mut mesh = Mesh::new(shared.clone());
    mesh.apply(&config);
    let control = tokio::spawn(control::serve(listener, owner, shared.clone(), ask));
    let mut accepting = match &carrier {
        Carrier::Quic(quic) => {
            if !config.relays.is_empty() {
                tokio::spawn(home::keep(quic.clone()));
            }
            let accepting = accept(shared.clone(), quic.clone());
            tokio::spawn(async move {
                accepting.await;
                LinkError::Closed
            })
        }
        Carrier::Onion(onion) => tokio::spawn(onion::start(&shared, onion)?),
    };
    let mut signals = Signals::new()?;
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tracing::info!(id = %shared.id, peers = config.peers.len(), "ready");
    tell(&[NotifyState::Ready]);
    loop {
        tokio::select! {
            _ = look.tick() => {
                mesh.look();
                feed();
            }
            Some(asked) = asked.recv() => {
                let next = match asked.config {
                    Some(given) => given.check().map(|()| *given).map_err(|error| chain(&error)),
                    None => load(path).map_err(|error| chain(&error)),
                };
                // The asker may have gone.
                let _ = asked.tell.send(take(next, &mut config, &mut mesh, &shared));
            }
            _ = signals.hangup.recv() => {
                let next = load(path).map_err(|error| chain(&error));
                take(next, &mut config, &mut mesh, &shared);
            }
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
            ended = &mut accepting => return Err(ended.unwrap_or(LinkError::Closed)),
        }
    }
    tell(&[NotifyState::Stopping]);
    accepting.abort();
    control.abort();
    mesh.close().await;
    let _ = std::fs::remove_file(&config.control);
    Ok(())
}

fn load(path: &Path) -> Result<Config, LinkError> {
    Config::parse(&files::read_bounded(path, CONFIG)?).map_err(|source| LinkError::Config {
        path: path.to_owned(),
        source,
    })
}

/// Puts another configuration into effect. What is wrong with it is said, and nothing changes.
fn take(
    next: Result<Config, String>,
    config: &mut Config,
    mesh: &mut Mesh,
    shared: &Arc<Shared>,
) -> Answer {
    if let Ok(since) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, since]);
    }
    let next = next.and_then(|next| match next.wants_restart(config) {
        Some(field) => Err(format!("a change of `{field}` wants a restart")),
        None => Ok(next),
    });
    let answer = match next {
        Ok(next) => {
            mesh.apply(&next);
            shared.reloaded(None);
            *config = next;
            tracing::info!(
                generation = config.generation,
                peers = config.peers.len(),
                "another configuration is in effect"
            );
            Answer::Reloaded(config.generation)
        }
        Err(why) => {
            let why = e3_core::text::clean(&why, e3_core::text::DETAIL);
            tracing::warn!(why, "the new configuration is refused");
            shared.reloaded(Some(why.clone()));
            Answer::Refused(why)
        }
    };
    tell(&[NotifyState::Ready]);
    answer
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, LinkError> {
        let on = |kind| signal(kind).map_err(LinkError::Runtime);
        Ok(Self {
            hangup: on(SignalKind::hangup())?,
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
        })
    }
}

/// Tells systemd's watchdog, if there is one, that the main loop turns.
pub(crate) fn feed() {
    if sd_notify::watchdog_enabled().is_some() {
        tell(&[NotifyState::Watchdog]);
    }
}

/// A word to systemd, if it is there.
pub(crate) fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd cannot be told how this is");
    }
}
