//! The connections to a hub. They last, and so must be given up when this machine's addresses have changed: whoever waits for an
//! answer to where nobody is any more would do so until a timeout.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::{HubError, certificate};

/// Long enough for a phone line, short enough to notice a dead hub.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a connection is kept for the next request: less than hubs and web servers keep it, so
/// that no request meets a connection that is just being closed.
const IDLE: Duration = Duration::from_secs(8);
/// The longest silence within one answer.
const SILENCE: Duration = Duration::from_secs(20);
/// The same of an event stream, whose silence the hub breaks every 30 s.
const STREAM: Duration = Duration::from_secs(65);
/// A machine that gets another address reaches nobody for so long at most.
const SETTLE: Duration = Duration::from_secs(10);
/// Between two attempts then.
const AGAIN: Duration = Duration::from_millis(200);

/// The connections.
#[derive(Debug)]
pub(super) struct Lines {
    tls: rustls::ClientConfig,
    clients: Mutex<Clients>,
    moved: watch::Sender<()>,
}

#[derive(Debug, Clone)]
struct Clients {
    requests: reqwest::Client,
    events: reqwest::Client,
}

/// Whether the machine has moved since a request was sent.
#[derive(Debug)]
pub(super) struct Since(watch::Receiver<()>);

/// Whether to ask once more for what did not come: a session or an update that needs it is not to fail by a cable. Only for what
/// is immutable, where the same question has the same answer.
#[derive(Debug)]
pub(super) struct Again {
    since: Since,
    until: Option<Instant>,
}

impl Lines {
    /// None yet.
    pub(super) fn new(tls: rustls::ClientConfig) -> Result<Self, HubError> {
        let clients = Mutex::new(Clients::new(&tls)?);
        let moved = watch::Sender::new(());
        Ok(Self {
            tls,
            clients,
            moved,
        })
    }

    /// Gives up all of them.
    pub(super) fn renew(&self) {
        // It could be made before, so it can now.
        if let Ok(clients) = Clients::new(&self.tls) {
            *self.lock() = clients;
        }
        self.moved.send_replace(());
    }

    /// For one request.
    pub(super) fn requests(&self) -> reqwest::Client {
        self.lock().requests.clone()
    }

    /// For an event stream.
    pub(super) fn events(&self) -> reqwest::Client {
        self.lock().events.clone()
    }

    /// From now on.
    pub(super) fn since_now(&self) -> Since {
        Since(self.moved.subscribe())
    }

    /// For a request that is made again if this machine moves meanwhile.
    pub(super) fn again_if_moved(&self) -> Again {
        Again {
            since: self.since_now(),
            until: None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Since {
    /// Whether it has.
    pub(super) fn has_moved(&self) -> bool {
        self.0.has_changed().unwrap_or(false)
    }

    /// What comes of `work`, unless the machine moves.
    pub(super) async fn unless_moved<T>(
        &self,
        url: &str,
        work: impl Future<Output = reqwest::Result<T>>,
    ) -> Result<T, HubError> {
        // It stays known that the machine has moved.
        let mut moved = self.0.clone();
        tokio::select! {
            done = work => done.map_err(|error| HubError::of_request(url, &error)),
            // The lines live as long as what is waited for on them.
            Ok(()) = moved.changed() => Err(HubError::Unreachable {
                url: url.to_owned(),
                detail: "this machine's addresses have changed".to_owned(),
            }),
        }
    }
}

impl Again {
    /// Whether the machine has moved, and not long ago. Waits a moment then.
    pub(super) async fn may(&mut self) -> bool {
        if !self.since.has_moved() {
            return false;
        }
        let until = *self.until.get_or_insert_with(|| Instant::now() + SETTLE);
        let may = Instant::now() < until;
        if may {
            sleep(AGAIN).await;
        }
        may
    }
}

impl Clients {
    fn new(tls: &rustls::ClientConfig) -> Result<Self, HubError> {
        Ok(Self {
            requests: client(tls.clone(), SILENCE)?,
            events: client(tls.clone(), STREAM)?,
        })
    }
}

fn client(tls: rustls::ClientConfig, silence: Duration) -> Result<reqwest::Client, HubError> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(CONNECT)
        .read_timeout(silence)
        .pool_idle_timeout(IDLE)
        .tcp_nodelay(true)
        // A redirect could turn a PUT into something else, and a hub has no reason to send one.
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| certificate(error.to_string()))
}

#[cfg(test)]
mod tests {
    use e3_core::digest::Blob;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use crate::hub::{Hub, HubError, Topic};

    #[tokio::test]
    async fn what_a_session_is_made_of_is_asked_for_again_when_the_machine_has_moved() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", server.local_addr().unwrap());
        let hub = Hub::open(&url, None).unwrap();
        let serve = async {
            // The answer to the first one goes to where nobody is any more; then nobody is reached for a moment.
            let lost = server.accept().await.unwrap();
            hub.moved();
            drop(server.accept().await.unwrap());
            let (mut stream, _) = server.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let _ = stream.read(&mut request).await.unwrap();
            let answer =
                b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nprogram";
            stream.write_all(answer).await.unwrap();
            lost
        };
        let blob = Blob::of(b"program");
        let (bytes, _) = tokio::join!(hub.blob(&blob), serve);
        assert_eq!(bytes.unwrap(), b"program");
    }

    #[tokio::test]
    async fn a_machine_that_has_moved_waits_for_no_answer_and_begins_anew() {
        // It takes connections and never says anything, as a hub that answers to where nobody is any more.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let hub = Hub::open(&url, None).unwrap();
        for _ in 0..2 {
            let moves = async {
                let waiting = [
                    silent.accept().await.unwrap(),
                    silent.accept().await.unwrap(),
                ];
                hub.moved();
                waiting
            };
            let (head, events, _) = tokio::join!(hub.head(None), hub.events(&[Topic::Head]), moves);
            assert!(matches!(head.unwrap_err(), HubError::Unreachable { .. }));
            assert!(matches!(events.unwrap_err(), HubError::Unreachable { .. }));
        }
    }
}
