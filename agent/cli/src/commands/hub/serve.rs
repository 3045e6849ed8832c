//! `e3 hub serve`: the hub in this process, from the fleet's folder.

use std::future::Future;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use e3_client::{clock, files};
use e3_core::limits;
use e3_core::mesh::link::RelayReady;
use e3_hub::{Bound, Headscale, Location, Page, ServeError, Settings, Tailscale, Tls};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::beside::{Beside, Place};
use crate::args::{Global, HubServe, PageFor};
use crate::commands::fleet::HEAD;
use crate::error::Error;
use crate::fleet_file::Fleet;
use crate::output::{Answer, Output};

/// The store's place in the fleet's folder, if nobody names another one.
const STORE: &str = "hub";
/// The port, if nobody names another one.
const PORT: u16 = 8420;
/// The file in the fleet's folder with the authority of the relay's certificate, if that is the hub's own.
pub const RELAY_CA: &str = "relay-ca.pem";
/// The folder in the fleet's folder with the hub's own authority and certificate.
pub const HUB_TLS: &str = "keys/hub-tls";

/// Starts the hub of a fleet; returns once it listens.
///
/// An empty store gets the folder's first root and head; a store that has them is left as it is.
pub async fn start(
    fleet: Option<&Fleet>,
    settings: Settings,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<Bound, Error> {
    let failed = |listen: SocketAddr| {
        move |source: ServeError| Error::Serve {
            listen: listen.to_string(),
            source,
        }
    };
    if let Some(fleet) = fleet {
        initialise(fleet, &settings.location)
            .await?
            .map_err(failed(settings.listen))?;
    }
    let listen = settings.listen;
    e3_hub::serve(settings, shutdown)
        .await
        .map_err(failed(listen))
}

/// Puts the folder's documents into an empty store. One that is in use has newer ones already.
async fn initialise(fleet: &Fleet, location: &Location) -> Result<Result<(), ServeError>, Error> {
    let root = files::read_bounded(&fleet.root_path(1), limits::ENVELOPE)?;
    if let Location::Folder(folder) = location
        && folder.join(HEAD).exists()
    {
        let theirs = files::read_bounded(&folder.join("root/1.json"), limits::ENVELOPE)?;
        let location = || location.to_string();
        return Ok(if theirs == root {
            Ok(())
        } else {
            Err(ServeError::AlreadyInitialised {
                location: location(),
            })
        });
    }
    let head = files::read_bounded(&fleet.folder.join(HEAD), limits::HEAD)?;
    Ok(
        match e3_hub::init(location, &root, Some(&head), clock::now()).await {
            // A bucket cannot be looked into beforehand; what lies there is checked by whoever reads it.
            Err(ServeError::AlreadyInitialised { .. })
                if !matches!(location, Location::Folder(_)) =>
            {
                Ok(())
            }
            other => other,
        },
    )
}

pub(super) async fn run(
    args: &HubServe,
    global: &Global,
    output: &Output,
) -> Result<Answer, Error> {
    let fleet = fleet(args, global)?;
    let listen = args
        .listen
        .unwrap_or_else(|| default_listen(fleet.as_ref()));
    let location = match (&args.dir, &fleet) {
        (Some(place), _) => place.parse().map_err(|source| Error::Serve {
            listen: listen.to_string(),
            source,
        })?,
        (None, Some(fleet)) => Location::Folder(fleet.folder.join(STORE)),
        (None, None) => Location::Folder(PathBuf::from(STORE)),
    };
    let mut settings = Settings::new(location.clone(), listen, clock::now);
    let place = Place::find(args, fleet.as_ref(), &location)?;
    let host = place.as_ref().map(|place| place.host.as_str());
    settings.tls = tls(args, fleet.as_ref(), host);
    settings.headscale = headscale(args);
    settings.tailscale = tailscale(args);
    settings.page = match args.page {
        PageFor::Everyone => Page::Everyone,
        PageFor::Owners => Page::Owners,
        PageFor::Off => Page::Off,
    };
    log();
    let mut end = End::listen()?;
    let (stop, stopping) = tokio::sync::oneshot::channel();
    let bound = start(fleet.as_ref(), settings, async {
        // Also when the sender is gone: then nobody waits any more.
        let _ = stopping.await;
    })
    .await?;
    let scheme = if args.tls.is_empty() && args.tls_cert.is_none() {
        "http"
    } else {
        "https"
    };
    let url = format!("{scheme}://{}", bound.address);
    let relay = match &place {
        None => Ok(None),
        Some(place) => match place.start(args, fleet.as_ref(), &bound).await {
            Err(error) if !place.is_wanted => Err(error),
            done => Ok(Some(done?)),
        },
    };
    announce(&url, &location, fleet.as_ref(), &bound, &relay, output)?;
    end.come().await;
    if let Ok(Some(relay)) = relay {
        relay.relay.stop().await;
    }
    let _ = stop.send(());
    bound.stopped().await;
    Ok(Answer::new(
        "The hub has stopped.\n",
        json!({"hub": url, "stopped": true}),
    ))
}

/// Where machines look for the hub, if that is an address of its own and not a name or a proxy's.
fn default_listen(fleet: Option<&Fleet>) -> SocketAddr {
    let named = fleet.and_then(|fleet| fleet.hub.split_once("://")?.1.parse().ok());
    named.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)))
}

/// The fleet whose documents fill an empty store. A store that is filled already needs none.
fn fleet(args: &HubServe, global: &Global) -> Result<Option<Fleet>, Error> {
    let start = std::env::current_dir();
    let start = start.map_err(|source| Error::Folder {
        action: "find",
        path: ".".into(),
        source,
    })?;
    match Fleet::find(global.fleet.as_deref(), &start) {
        Ok(folder) => Ok(Some(Fleet::open(&folder)?)),
        Err(_) if args.dir.is_some() && global.fleet.is_none() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The hub's certificate. Its own one is also for the relay's name, if there is a relay.
fn tls(args: &HubServe, fleet: Option<&Fleet>, relay: Option<&str>) -> Tls {
    if args.tls_cert.is_none() && args.tls.is_empty() {
        return Tls::None;
    }
    certificate(args, fleet, relay)
}

/// The certificate that somebody named, or else one of the hub's own.
pub(super) fn certificate(args: &HubServe, fleet: Option<&Fleet>, relay: Option<&str>) -> Tls {
    if let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) {
        return Tls::Files {
            certificate: certificate.clone(),
            key: key.clone(),
        };
    }
    let folder = fleet
        .map_or(Path::new("."), |fleet| &fleet.folder)
        .join(HUB_TLS);
    let mut names = args.tls.clone();
    names.extend(relay.map(str::to_owned));
    names.dedup();
    Tls::SelfSigned { folder, names }
}

/// Writes a public file unless it is there as it should be.
pub(super) fn write_if_new(path: &Path, text: &str) -> Result<PathBuf, Error> {
    if files::read_bounded(path, 1 << 20).ok().as_deref() != Some(text.as_bytes()) {
        files::write_atomic(path, text.as_bytes())?;
    }
    Ok(path.to_owned())
}

fn tailscale(args: &HubServe) -> Option<Tailscale> {
    Some(Tailscale {
        secret: args.tailscale_oauth_file.clone()?,
        ephemeral: args.tailscale_ephemeral,
        url: Tailscale::URL.to_owned(),
    })
}

fn headscale(args: &HubServe) -> Option<Headscale> {
    Some(Headscale {
        url: args.headscale.clone()?,
        key: args.headscale_key_file.clone()?,
        ca: args.headscale_ca.clone(),
    })
}

/// Says that the hub is there as soon as it is, for people and for whoever started it as a process.
fn announce(
    url: &str,
    store: &Location,
    fleet: Option<&Fleet>,
    bound: &Bound,
    relay: &Result<Option<Beside>, Error>,
    output: &Output,
) -> Result<(), Error> {
    let mut ca = None;
    if let (Some(pem), Some(fleet)) = (&bound.ca_pem, fleet) {
        ca = Some(write_if_new(&fleet.folder.join("hub-ca.pem"), pem)?);
    }
    let mut out = std::io::stderr().lock();
    if output.is_json() {
        let mut line = json!({"hub": url, "store": store.to_string(), "hub_ca": ca});
        match relay {
            Ok(Some(relay)) => {
                line["relay"] = json!({
                    "url": relay.url, "ca": relay.ca, "listen": relay.relay.ready.listen, "discovery": relay.relay.ready.discovery,
                });
            }
            Ok(None) => {}
            Err(error) => line["no_relay"] = error.to_string().into(),
        }
        let _ = writeln!(out, "{line}");
    } else if !output.is_quiet() {
        let _ = writeln!(
            out,
            "The hub listens at {url}\nIts documents are in {store}"
        );
        if let (Some(path), Some(fleet)) = (&ca, fleet)
            && fleet.hub_ca.is_none()
        {
            let _ = writeln!(
                out,
                "Its certificate authority is {}; write hub_ca = \"hub-ca.pem\" into fleet.toml, then invite machines.",
                path.display()
            );
        }
        if let Some(fleet) =
            fleet.filter(|fleet| fleet.hub.starts_with("https:") && url.starts_with("http:"))
        {
            let _ = writeln!(
                out,
                "fleet.toml names {}: put a proxy that speaks TLS in front, or use --tls NAME.",
                fleet.hub
            );
        }
        match relay {
            Ok(None) => {}
            Ok(Some(relay)) => {
                let RelayReady { listen, discovery } = relay.relay.ready;
                let _ = writeln!(
                    out,
                    "The relay listens at {listen} (TCP) and {discovery} (UDP)"
                );
                if !relay.is_named {
                    let _ = writeln!(
                        out,
                        "Machines use it after `e3 mesh link --relay {}`",
                        relay.url
                    );
                } else if listen.ip().is_loopback() {
                    let _ = writeln!(
                        out,
                        "No other machine reaches it there: name an address by --relay-listen IP:PORT."
                    );
                }
            }
            Err(error) => {
                let _ = writeln!(
                    out,
                    "There is no relay, so machines compute together only where they reach each other: {error}"
                );
                // The head says where machines look for it, so another port is not chosen here.
                let remedy = match error {
                    Error::Relay { .. } | Error::Serve { .. } => Some("Make its ports free, or name others in the head: `e3 mesh link --direct --relay https://HOST:PORT`.".to_owned()),
                    other => other.remedy(),
                };
                let _ = writeln!(
                    out,
                    "  remedy: {} Or do without it: --no-relay.",
                    remedy.unwrap_or_default()
                );
            }
        }
        let _ = writeln!(out, "Stop it with Ctrl-C.");
    }
    Ok(())
}

/// Ctrl-C, or the service manager's wish to stop.
struct End {
    interrupt: Signal,
    terminate: Signal,
}

impl End {
    /// Listens from now on: whoever hears that the hub is there may stop it at once.
    fn listen() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(Error::Runtime);
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn come(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The hub's own log goes to standard error; `RUST_LOG` chooses how much.
fn log() {
    let asked = std::env::var("RUST_LOG")
        .ok()
        .and_then(|text| text.parse().ok());
    let filter: Targets = asked.unwrap_or_else(|| Targets::new().with_default(LevelFilter::WARN));
    // Somebody else has set one: then it is theirs.
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false);
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
}
