//! Tor itself: a process that ends with this one, and what it is told.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use e3_core::mesh::link::Config;
use e3_core::mesh::{ClientKey, OnionKey};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until};

use super::control::{Control, ControlError};
use super::{Onion, PORT, accept};
use crate::error::{LinkError, chain};
use crate::mesh::Shared;

/// What else Tor is told, by whoever has a Tor network of his own: `DirAuthority` and the like.
const MORE: &str = "/etc/e3/tor.d";
/// How long Tor is left alone before it is told to look for all descriptors anew, when one was not found: the first time, the second,
/// and so on. It disturbs what works, so after that Tor's own quarter of an hour has to do, until there is reason to hope.
const AGAIN: [Duration; 5] = [
    Duration::from_secs(10),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(90),
    Duration::from_secs(270),
];

/// Where Tor's files are.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    program: PathBuf,
    /// For its sockets, and for nobody else.
    sockets: PathBuf,
    /// What it keeps: which relays it uses first, and what it knows of the others. It holds no key.
    data: PathBuf,
}

impl Place {
    /// Makes the folders: beside the control socket, and what the unit has for data.
    pub(crate) fn make(config: &Config, program: &Path) -> Result<Self, LinkError> {
        let failed = |path: &Path, source: io::Error| LinkError::Folder {
            path: path.to_owned(),
            source,
        };
        let sockets = config.control.with_extension("tor");
        let data = std::env::var_os("STATE_DIRECTORY");
        let data = data.map_or_else(|| sockets.join("data"), PathBuf::from);
        for folder in [&sockets, &data] {
            let mut builder = std::fs::DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(folder);
            made.map_err(|error| failed(folder, error))?;
            let private = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(folder, private).map_err(|error| failed(folder, error))?;
        }
        // A unit with a user of its own is given a symbolic link, by which Tor does not go.
        let data = std::fs::canonicalize(&data).map_err(|error| failed(&data, error))?;
        let program = program.to_owned();
        Ok(Self {
            program,
            sockets,
            data,
        })
    }

    /// Where Tor is asked for streams.
    pub(super) fn socks(&self) -> PathBuf {
        self.sockets.join("socks")
    }

    /// Where Tor delivers them.
    fn incoming(&self) -> PathBuf {
        self.sockets.join("incoming")
    }

    /// What Tor reads: it only carries what onion services need, and listens on no network.
    fn torrc(&self) -> String {
        let more = if Path::new(MORE).is_dir() {
            format!("%include {MORE}/*.conf\n")
        } else {
            String::new()
        };
        format!(
            "DataDirectory {}\n\
             SocksPort unix:{} IsolateSOCKSAuth ExtendedErrors OnionTrafficOnly\n\
             ClientOnly 1\n\
             AvoidDiskWrites 1\n\
             Log notice stdout\n\
             {more}",
            self.data.display(),
            self.socks().display(),
        )
    }
}

/// Starts Tor and everything that has to do with it. What comes back resolves when it has ended, with how.
pub(crate) fn start(
    shared: &Arc<Shared>,
    onion: &Arc<Onion>,
) -> Result<impl Future<Output = LinkError> + use<>, LinkError> {
    let place = &onion.place;
    let failed = |source| LinkError::Tor {
        detail: format!("{}: {source}", place.program.display()),
    };
    let incoming = place.incoming();
    let _ = std::fs::remove_file(&incoming);
    let listener = UnixListener::bind(&incoming).map_err(failed)?;
    tokio::spawn(accept::serve(listener, shared.clone(), onion.clone()));
    let torrc = place.sockets.join("torrc");
    e3_client::files::write_volatile(&torrc, place.torrc().as_bytes())?;
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
    ours.set_nonblocking(true).map_err(failed)?;
    let control = UnixStream::from_std(ours).map_err(failed)?;
    let mut child = Command::new(&place.program)
        .args(["--defaults-torrc", "/dev/null", "--ignore-missing-torrc"])
        .arg("-f")
        .arg(&torrc)
        // Its standard input is the connection by which it is owned: it ends when that does.
        .args(["--__OwningControllerFD", "0"])
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let last = said(&mut child);
    let (shared, onion) = (shared.clone(), onion.clone());
    Ok(async move {
        let detail = tokio::select! {
            why = keep(control, &shared, &onion) => chain(&why),
            ended = child.wait() => match ended {
                Ok(status) => format!("it has ended: {status}"),
                Err(error) => error.to_string(),
            },
        };
        let last = last.borrow().clone();
        LinkError::Tor {
            detail: e3_core::text::clean(&format!("{detail}; {last}"), e3_core::text::DETAIL),
        }
    })
}

/// Passes Tor's words on to the journal, as far as they are warnings; the last of these stays.
fn said(child: &mut Child) -> tokio::sync::watch::Receiver<String> {
    let (tell, last) = tokio::sync::watch::channel(String::new());
    if let Some(output) = child.stdout.take() {
        tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let line = e3_core::text::clean(&line, e3_core::text::DETAIL);
                // With a date and a level before it, of which the journal has its own.
                let is_bad = ["[warn]", "[err]"].iter().any(|mark| line.contains(mark));
                let text = line.split_once("] ").map_or(&*line, |(_, text)| text);
                if is_bad {
                    tracing::warn!(target: "e3_link::tor", "{text}");
                    let _ = tell.send(text.to_owned());
                } else {
                    tracing::debug!(target: "e3_link::tor", "{text}");
                }
            }
        });
    }
    last
}

/// Has Tor do what the configuration wants, for as long as it listens.
async fn keep(stream: UnixStream, shared: &Shared, onion: &Onion) -> ControlError {
    match converse(stream, shared, onion).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn converse(
    stream: UnixStream,
    shared: &Shared,
    onion: &Onion,
) -> Result<std::convert::Infallible, ControlError> {
    let mut control = Control::begin(stream, &onion.state).await?;
    let target = format!("unix:{}", onion.place.incoming().display());
    let mut wanted = onion.peers.subscribe();
    let (mut known, mut serves) = (Vec::new(), false);
    let (mut tries, mut last) = (0, None::<Instant>);
    loop {
        let next = wanted.borrow_and_update().clone();
        if next != known {
            tries = 0;
            let outcome = change(&mut control, onion, &known, &next).await;
            refused(onion, outcome)?;
            if clients(&next) != clients(&known) {
                let (key, clients) = (&onion.key, clients(&next));
                let served = control.serve(key, &clients, PORT, &target, serves).await;
                serves = !clients.is_empty() && served.is_ok();
                refused(onion, served)?;
            }
            known = next;
        }
        let due = async |tries: &mut usize| {
            onion.again.notified().await;
            if onion.hope.swap(false, Ordering::Relaxed) {
                *tries = 0;
            }
            match (AGAIN.get(*tries), last) {
                (Some(pause), Some(last)) => sleep_until(last + *pause).await,
                (Some(_), None) => {}
                (None, _) => std::future::pending().await,
            }
        };
        tokio::select! {
            error = control.listen() => return Err(error),
            _ = wanted.changed() => {}
            () = due(&mut tries) => {
                tries += 1;
                last = Some(Instant::now());
                // Tor forgets its keys with what it knows of the services.
                refused(onion, control.tell("SIGNAL NEWNYM").await.map(drop))?;
                let outcome = change(&mut control, onion, &[], &known).await;
                refused(onion, outcome)?;
                for peer in shared.peers() {
                    peer.came.notify_one();
                }
            }
            () = onion.hopes.notified() => {}
            () = onion.moved.notified() => {
                tracing::info!("the machine has moved: Tor makes its connections anew");
                for disabled in [1, 0] {
                    let told = control.tell(&format!("SETCONF DisableNetwork={disabled}")).await;
                    refused(onion, told.map(drop))?;
                }
                for peer in shared.peers() {
                    peer.came.notify_one();
                }
            }
        }
    }
}

/// Has Tor know the services that are new, and forget those that are gone.
async fn change(
    control: &mut Control<'_>,
    onion: &Onion,
    known: &[OnionKey],
    next: &[OnionKey],
) -> Result<(), ControlError> {
    let has =
        |list: &[OnionKey], peer: &OnionKey| list.iter().any(|other| other.service == peer.service);
    for gone in known.iter().filter(|peer| !has(next, peer)) {
        control.forget(&gone.service).await?;
    }
    for new in next.iter().filter(|peer| !has(known, peer)) {
        control.know(&new.service, &onion.client).await?;
    }
    Ok(())
}

fn clients(peers: &[OnionKey]) -> Vec<ClientKey> {
    let mut clients: Vec<_> = peers.iter().map(|peer| peer.client).collect();
    clients.sort_unstable();
    clients
}

/// What Tor refuses is told to whoever asks; only when it says nothing any more all ends.
fn refused(onion: &Onion, outcome: Result<(), ControlError>) -> Result<(), ControlError> {
    match outcome {
        Ok(()) => {
            onion.refused(None);
            Ok(())
        }
        Err(error @ ControlError::Refused { .. }) => {
            tracing::warn!(%error, "Tor does not do what it should");
            onion.refused(Some(error.to_string()));
            Ok(())
        }
        Err(error) => Err(error),
    }
}
