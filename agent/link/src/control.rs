//! The control socket: one line with a question, one line with the answer.
//!
//! It is for the agent. Who may ask is decided by the kernel's word about the caller: root, this
//! process's own user, whoever owns the configuration, who decides about everything here anyway, and
//! whoever has this process's group for its own: as a unit it has a group that is the agent's.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use e3_core::mesh::link::{ANSWER, Answer, Config, REQUEST, Request};
use nix::unistd::{getegid, geteuid};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::error::LinkError;
use crate::mesh::Shared;
use crate::report;

/// Questions at a time.
const ASKERS: usize = 16;
/// From the connection to the answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// Asks the main loop for another configuration, and to say what came of it.
pub(crate) struct Reload {
    /// Which one; it is read again if there is none.
    pub(crate) config: Option<Box<Config>>,
    pub(crate) tell: oneshot::Sender<Answer>,
}

/// Makes the socket, in place of one that a process left behind.
pub(crate) fn listen(path: &Path) -> Result<UnixListener, LinkError> {
    let failed = |source| LinkError::Control {
        path: path.to_owned(),
        source,
    };
    if fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(LinkError::ControlTaken(path.to_owned()));
        }
        fs::remove_file(path).map_err(failed)?;
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(failed)?;
    Ok(listener)
}

/// Answers for ever. `owner` may ask, too.
pub(crate) async fn serve(
    listener: UnixListener,
    owner: u32,
    shared: Arc<Shared>,
    reload: mpsc::Sender<Reload>,
) {
    let room = Arc::new(Semaphore::new(ASKERS));
    let allowed = [0, geteuid().as_raw(), owner];
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(permit) = room.clone().try_acquire_owned() else {
            continue;
        };
        let asker = stream.peer_cred();
        let may = |cred: tokio::net::unix::UCred| {
            allowed.contains(&cred.uid()) || cred.gid() == getegid().as_raw()
        };
        if !asker.is_ok_and(may) {
            tracing::warn!("a user who may not has asked at the control socket");
            continue;
        }
        let (shared, reload) = (shared.clone(), reload.clone());
        tokio::spawn(async move {
            let _permit = permit;
            let _ = timeout(DEADLINE, answer(stream, &shared, &reload)).await;
        });
    }
}

async fn answer(
    stream: UnixStream,
    shared: &Shared,
    reload: &mpsc::Sender<Reload>,
) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = Vec::new();
    let bound = u64::try_from(REQUEST).unwrap_or(u64::MAX);
    BufReader::new(read.take(bound))
        .read_until(b'\n', &mut line)
        .await?;
    let answer = match serde_json::from_slice(&line) {
        Ok(Request::Status) => Answer::Status(Box::new(report::status(shared))),
        Ok(Request::Moved) => {
            shared.carrier.moved();
            Answer::Heard
        }
        Ok(Request::Reload) => ask_for(None, reload).await,
        Ok(Request::Apply(config)) => ask_for(Some(config), reload).await,
        Err(_) => Answer::Refused(
            "this is no request; one is \"status\", \"reload\", \"moved\" or an \"apply\""
                .to_owned(),
        ),
    };
    let mut bytes = serde_json::to_vec(&answer)?;
    bytes.push(b'\n');
    write.write_all(&bytes).await?;
    write.shutdown().await
}

async fn ask_for(config: Option<Box<Config>>, reload: &mpsc::Sender<Reload>) -> Answer {
    let (tell, told) = oneshot::channel();
    let _ = reload.send(Reload { config, tell }).await;
    told.await
        .unwrap_or_else(|_| Answer::Refused("this e3-link is about to end".to_owned()))
}

/// Asks a running `e3-link` how it stands; the line that it answers.
pub async fn ask(path: &Path) -> Result<String, LinkError> {
    let failed = |source| LinkError::Control {
        path: path.to_owned(),
        source,
    };
    let asked = async {
        let mut stream = UnixStream::connect(path).await?;
        stream.write_all(b"\"status\"\n").await?;
        let mut text = String::new();
        let bound = u64::try_from(ANSWER).unwrap_or(u64::MAX);
        stream.take(bound).read_to_string(&mut text).await?;
        io::Result::Ok(text)
    };
    let text = timeout(DEADLINE, asked)
        .await
        .map_err(|_| LinkError::NoAnswer(path.to_owned()))?
        .map_err(failed)?;
    Ok(text.trim_end().to_owned())
}
