//! Tailscale's daemon, asked over its socket: HTTP/1.0, so an answer ends with its connection.
//!
//! It takes orders from the user whom its configuration names as operator, which is the agent's, and answers nobody else: the
//! socket's folder is the agent's group's. Its words: `ipn/localapi` in Tailscale's source; it is said to be unstable, so
//! only what is looked at here is taken for granted.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// Where its unit makes it.
const SOCKET: &str = "/run/e3-mesh-tailscale/socket";
/// For one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer: the status of a network of some thousand machines.
const ANSWER: u64 = 8 * 1024 * 1024;
/// Bytes of an answer's header.
const HEADER: usize = 16 * 1024;

/// The daemon's socket.
pub(super) struct Local {
    socket: PathBuf,
}

/// Why the daemon could not be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum LocalError {
    #[error("its socket {socket}")]
    Socket {
        socket: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("it does not answer on its socket")]
    Silent,
    #[error("its answer is not HTTP")]
    Answer,
    #[error("it refuses (HTTP {status}): {words}")]
    Refused { status: u16, words: String },
}

impl Local {
    pub(super) fn new() -> Self {
        Self {
            socket: SOCKET.into(),
        }
    }

    #[cfg(test)]
    pub(super) fn at(socket: &std::path::Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// What it says of itself and of all others, as JSON.
    pub(super) async fn status(&self) -> Result<Vec<u8>, LocalError> {
        self.ask("GET", "status", b"").await
    }

    /// Has it join with this key.
    pub(super) async fn join(&self, key: &str) -> Result<(), LocalError> {
        let options = Zeroizing::new(serde_json::json!({ "AuthKey": key }).to_string());
        self.ask("POST", "start", options.as_bytes()).await?;
        self.ask("POST", "login-interactive", b"").await?;
        Ok(())
    }

    /// Has it try once more with what it has.
    pub(super) async fn again(&self) -> Result<(), LocalError> {
        self.ask("POST", "start", b"{}").await?;
        Ok(())
    }

    /// Has it leave: the control server forgets the machine, and the machine its key, also if the server does not answer.
    pub(super) async fn leave(&self) -> Result<(), LocalError> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Profile {
            #[serde(rename = "ID", default)]
            id: String,
        }
        let Err(error) = self.ask("POST", "logout", b"").await else {
            return Ok(());
        };
        tracing::debug!(error = %crate::text::chain(&error), "the mesh's control server does not hear that this machine leaves");
        let profile = self.ask("GET", "profiles/current", b"").await?;
        let profile: Profile = serde_json::from_slice(&profile).map_err(|_| LocalError::Answer)?;
        // It stands in a path now.
        if profile.id.is_empty() || !profile.id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(LocalError::Answer);
        }
        let profile = format!("profiles/{}", profile.id);
        self.ask("DELETE", &profile, b"").await?;
        Ok(())
    }

    async fn ask(&self, method: &str, what: &str, body: &[u8]) -> Result<Vec<u8>, LocalError> {
        let asked = timeout(PATIENCE, self.exchange(method, what, body)).await;
        asked.map_err(|_| LocalError::Silent)?
    }

    async fn exchange(&self, method: &str, what: &str, body: &[u8]) -> Result<Vec<u8>, LocalError> {
        let failed = |source| LocalError::Socket {
            socket: self.socket.clone(),
            source,
        };
        let mut stream = UnixStream::connect(&self.socket).await.map_err(failed)?;
        let header = format!(
            "{method} /localapi/v0/{what} HTTP/1.0\r\nHost: local-tailscaled.sock\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(header.as_bytes()).await.map_err(failed)?;
        stream.write_all(body).await.map_err(failed)?;
        let mut answer = Vec::new();
        let read = stream.take(ANSWER).read_to_end(&mut answer).await;
        read.map_err(failed)?;
        parse(&answer)
    }
}

/// The body of an answer that is good.
fn parse(answer: &[u8]) -> Result<Vec<u8>, LocalError> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let head = &answer[..answer.len().min(HEADER)];
    let Ok(httparse::Status::Complete(length)) = response.parse(head) else {
        return Err(LocalError::Answer);
    };
    let status = response.code.unwrap_or_default();
    let body = &answer[length..];
    if (200..300).contains(&status) {
        return Ok(body.to_vec());
    }
    let words = String::from_utf8_lossy(&body[..body.len().min(300)]);
    Err(LocalError::Refused {
        status,
        words: words.trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    /// What comes of trying again with this answer, and what was asked.
    async fn answered(answer: &'static [u8]) -> (Result<(), LocalError>, String) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 4096];
            let mut length = 0;
            while !String::from_utf8_lossy(&asked[..length]).ends_with('}') {
                length += stream.read(&mut asked[length..]).await.unwrap();
            }
            stream.write_all(answer).await.unwrap();
            String::from_utf8_lossy(&asked[..length]).into_owned()
        });
        let told = Local::at(&socket).again().await;
        (told, server.await.unwrap())
    }

    #[tokio::test]
    async fn orders_go_over_the_socket_and_a_refusal_comes_back() {
        let (told, asked) = answered(b"HTTP/1.0 204 No Content\r\n\r\n").await;
        told.unwrap();
        assert!(
            asked.starts_with("POST /localapi/v0/start HTTP/1.0\r\n"),
            "{asked}"
        );
        assert!(asked.ends_with("\r\n\r\n{}"), "{asked}");
        let (told, _) = answered(b"HTTP/1.0 403 Forbidden\r\n\r\naccess denied\n").await;
        let error = told.unwrap_err().to_string();
        assert_eq!(error, "it refuses (HTTP 403): access denied");
        let (told, _) = answered(b"nonsense").await;
        assert!(matches!(told, Err(LocalError::Answer)));
    }

    #[tokio::test]
    async fn a_daemon_that_is_not_there_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let told = Local::at(&folder.path().join("socket")).status().await;
        assert!(matches!(told, Err(LocalError::Socket { .. })));
    }
}
