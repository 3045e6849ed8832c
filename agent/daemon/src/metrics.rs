//! Metrics as Prometheus reads them, on a socket in the run folder and, if the settings say so, on one
//! address.
//!
//! One short answer for each connection, a few connections at a time, everything bounded: whoever can
//! reach the address can read the numbers, and do nothing else.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use e3_core::document::Progress;
use e3_core::time::Time;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::board::Board;
use crate::error::AgentError;
use crate::phase::Phase;

/// A request with its headers is shorter.
const REQUEST: usize = 4096;
/// Headers in a request.
const HEADERS: usize = 32;
/// For one connection from beginning to end.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections at a time; others wait in the kernel.
const READERS: usize = 8;
/// Between attempts to bind an address that the mesh has not brought up yet.
const REBIND: Duration = Duration::from_secs(30);

/// Where the socket lies.
pub fn socket(run: &Path) -> PathBuf {
    run.join("metrics.sock")
}

/// Makes the socket; what an earlier agent has left goes.
pub fn listen(run: &Path) -> Result<UnixListener, AgentError> {
    let path = socket(run);
    let _ = std::fs::remove_file(&path);
    UnixListener::bind(&path).map_err(|source| AgentError::Socket { path, source })
}

/// Answers on the socket for ever.
pub async fn serve_socket(board: Board, listener: UnixListener) {
    let readers = Arc::new(Semaphore::new(READERS));
    loop {
        let Ok(permit) = Arc::clone(&readers).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        let board = board.clone();
        tokio::spawn(async move {
            let _ = timeout(PATIENCE, answer(stream, &board)).await;
            drop(permit);
        });
    }
}

/// Answers on an address for ever, from when it is there.
pub async fn serve_address(board: Board, address: SocketAddr) {
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) => tracing::warn!(%address, %error, "metrics cannot be shown there yet"),
        }
        tokio::time::sleep(REBIND).await;
    };
    let readers = Arc::new(Semaphore::new(READERS));
    loop {
        let Ok(permit) = Arc::clone(&readers).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        let board = board.clone();
        tokio::spawn(async move {
            let _ = timeout(PATIENCE, answer(stream, &board)).await;
            drop(permit);
        });
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    board: &Board,
) -> std::io::Result<()> {
    let (mut request, mut length) = ([0; REQUEST], 0);
    let status = loop {
        let read = stream.read(&mut request[length..]).await?;
        length += read;
        if let Some(status) = understand(&request[..length]) {
            break status;
        }
        if read == 0 || length == REQUEST {
            break "400 Bad Request";
        }
    };
    let body = match status {
        "200 OK" => text(board),
        other => format!("{other}; metrics are at GET /metrics\n"),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// The answer's status, as soon as the request is whole or wrong.
fn understand(bytes: &[u8]) -> Option<&'static str> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Err(_) => Some("400 Bad Request"),
        Ok(status) if status.is_partial() => None,
        Ok(_) if request.method != Some("GET") => Some("405 Method Not Allowed"),
        Ok(_) if request.path != Some("/metrics") => Some("404 Not Found"),
        Ok(_) => Some("200 OK"),
    }
}

/// All metrics.
fn text(board: &Board) -> String {
    let (phase, known, notes, counts) =
        (board.phase(), board.known(), board.notes(), board.counts());
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, values: &[(String, i64)]| {
        if values.is_empty() {
            return;
        }
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let plain = |value: i64| vec![(String::new(), value)];
    let perhaps = |value: Option<i64>| value.map_or_else(Vec::new, plain);
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);

    let version = env!("CARGO_PKG_VERSION");
    let arch = std::env::consts::ARCH;
    let build = format!("{{version=\"{version}\",arch=\"{arch}\"}}");
    metric(
        "e3_agent_info",
        "gauge",
        "The agent's version.",
        &[(build, 1)],
    );
    let phases = Phase::NAMES.map(|name| {
        (
            format!("{{phase=\"{name}\"}}"),
            i64::from(name == phase.name()),
        )
    });
    metric(
        "e3_phase",
        "gauge",
        "What the agent is doing: 1 for the one it is in.",
        &phases,
    );
    if let Phase::Degraded { reason } = &phase {
        let label = format!("{{reason=\"{}\"}}", reason.kind());
        metric(
            "e3_degraded",
            "gauge",
            "Why no new session is taken.",
            &[(label, 1)],
        );
    }
    metric(
        "e3_root_version",
        "gauge",
        "The newest root.",
        &perhaps(known.root.map(number)),
    );
    metric(
        "e3_head_counter",
        "gauge",
        "The newest head.",
        &perhaps(known.head.map(number)),
    );
    let age = known.head_signed.map(|signed| board.now().since(signed));
    metric(
        "e3_head_age_seconds",
        "gauge",
        "Since the newest head was signed.",
        &perhaps(age),
    );
    let expires = known.head_expires.map(Time::unix);
    metric(
        "e3_head_expiry_timestamp_seconds",
        "gauge",
        "When the newest head expires.",
        &perhaps(expires),
    );
    let running = notes
        .sessions
        .iter()
        .filter(|note| note.progress < Progress::Done)
        .count();
    metric(
        "e3_sessions_running",
        "gauge",
        "Sessions that have not ended.",
        &plain(number(running as u64)),
    );
    let mut ended: Vec<(String, i64)> = counts
        .ended
        .iter()
        .map(|(why, count)| {
            let (outcome, reason) = why
                .as_ref()
                .map_or(("done", ""), |why| ("failed", why.as_str()));
            (
                format!("{{outcome=\"{outcome}\",reason=\"{reason}\"}}"),
                number(*count),
            )
        })
        .collect();
    if !counts.ended.contains_key(&None) {
        ended.insert(0, ("{outcome=\"done\",reason=\"\"}".to_owned(), 0));
    }
    metric(
        "e3_sessions_ended_total",
        "counter",
        "Sessions that have ended since the agent was started.",
        &ended,
    );
    metric(
        "e3_hub_up",
        "gauge",
        "Whether the hub answered last time.",
        &plain(i64::from(notes.hub_error.is_none())),
    );
    metric(
        "e3_hub_errors_total",
        "counter",
        "Times that the hub did not answer.",
        &plain(number(counts.hub_errors)),
    );
    metric(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory.",
        &perhaps(resident()),
    );
    let open = std::fs::read_dir("/proc/self/fd").map(|entries| entries.count() as u64);
    metric(
        "process_open_fds",
        "gauge",
        "Open file descriptors.",
        &perhaps(open.ok().map(number)),
    );
    text
}

/// Resident memory in bytes.
fn resident() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use e3_core::degraded::Degraded;
    use tokio::net::UnixStream;

    use super::*;
    use crate::board::Source;

    async fn ask(path: &Path, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(path).await.unwrap();
        stream.write_all(request).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn prometheus_gets_its_numbers_and_everybody_else_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let board = Board::default();
        board.hub(Some("gone".to_owned()));
        board.degraded(Source::Head, Some(Degraded::HeadExpired));
        let serving = tokio::spawn(serve_socket(board, listen(folder.path()).unwrap()));
        let path = socket(folder.path());
        let good = ask(&path, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let (head, body) = good.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(
            head.contains(&format!("Content-Length: {}", body.len())),
            "{head}"
        );
        for line in [
            "e3_phase{phase=\"degraded\"} 1",
            "e3_phase{phase=\"ready\"} 0",
            "e3_degraded{reason=\"head-expired\"} 1",
            "e3_hub_up 0",
            "e3_hub_errors_total 1",
            "e3_sessions_running 0",
            "e3_sessions_ended_total{outcome=\"done\",reason=\"\"} 0",
        ] {
            assert!(body.lines().any(|other| other == line), "{line} in {body}");
        }
        // As Prometheus reads it: every line is a comment, or a name with perhaps labels, and a number.
        for line in body.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(
                value.parse::<f64>().is_ok() && name.starts_with(char::is_alphabetic),
                "{line}"
            );
        }
        for (request, status) in [
            (b"GET / HTTP/1.1\r\n\r\n".as_slice(), "404"),
            (b"POST /metrics HTTP/1.1\r\n\r\n", "405"),
            (b"\x16\x03\x01", "400"),
            (b"GET /metrics HTTP/1.1\r\n", "400"),
            (&[b'x'; 3 * REQUEST], "400"),
        ] {
            let answer = ask_anyway(&path, request).await;
            assert!(
                answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{answer}"
            );
        }
        serving.abort();
    }

    /// The same of somebody who does not mind being cut off.
    async fn ask_anyway(path: &Path, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(path).await.unwrap();
        let _ = stream.write_all(request).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn silent_readers_keep_nobody_else_out_for_long() {
        let folder = tempfile::tempdir().unwrap();
        let board = Board::default();
        let serving = tokio::spawn(serve_socket(board, listen(folder.path()).unwrap()));
        let path = socket(folder.path());
        let mut silent = Vec::new();
        for _ in 0..2 * READERS {
            silent.push(UnixStream::connect(&path).await.unwrap());
        }
        let asked = ask(&path, b"GET /metrics HTTP/1.1\r\n\r\n");
        let answer = timeout(4 * PATIENCE, asked).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        serving.abort();
    }
}
