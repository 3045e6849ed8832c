//! Lets a new binary check itself on this machine before it is ever tried: `e3-agent self-check`.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// It takes milliseconds; a Raspberry Pi that is busy may take a second.
const DEADLINE: Duration = Duration::from_secs(30);
/// More than this of what it says is of no use.
const SAID: u64 = 4096;

/// Why a binary did not pass.
#[derive(Debug)]
pub enum Failed {
    /// The machine does not execute it, but might if it were set up otherwise.
    Machine(String),
    /// The binary's own fault.
    Binary(String),
}

/// Runs the self-check of the binary at `path`, which must understand the configuration of this
/// machine.
pub async fn check(path: &Path, config: &Path) -> Result<(), Failed> {
    let child = tokio::process::Command::new(path)
        .arg("--config")
        .arg(config)
        .arg("self-check")
        // It has no business with the agent's own environment: sockets of systemd, credentials.
        .env_clear()
        .envs(std::env::var_os("TMPDIR").map(|folder| ("TMPDIR", folder)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|error| {
        let passing = [
            std::io::ErrorKind::PermissionDenied,
            std::io::ErrorKind::OutOfMemory,
            std::io::ErrorKind::ResourceBusy,
            std::io::ErrorKind::ExecutableFileBusy,
            std::io::ErrorKind::WouldBlock,
        ];
        let detail = format!("cannot be started: {error}");
        if passing.contains(&error.kind()) {
            Failed::Machine(detail)
        } else {
            Failed::Binary(detail)
        }
    })?;
    let stderr = child.stderr.take();
    let ended = async { tokio::join!(child.wait(), first_words(stderr)) };
    match tokio::time::timeout(DEADLINE, ended).await {
        Ok((Ok(status), _)) if status.success() => Ok(()),
        Ok((Ok(status), said)) => Err(Failed::Binary(format!("{status}: {}", said.trim()))),
        Ok((Err(error), _)) => Err(Failed::Machine(error.to_string())),
        Err(_) => {
            let seconds = DEADLINE.as_secs();
            Err(Failed::Binary(format!("no answer within {seconds} s")))
        }
    }
}

/// What it says, as far as it is of use; the rest is read away so that it does not block.
async fn first_words(stderr: Option<impl AsyncRead + Unpin>) -> String {
    let mut said = Vec::new();
    if let Some(mut stderr) = stderr {
        let _ = (&mut stderr).take(SAID).read_to_end(&mut said).await;
        let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    }
    String::from_utf8_lossy(&said).into_owned()
}
