//! A web server of fixed pages on this machine: what a test lets a Python index, or whatever else
//! is read over HTTP, answer. It knows GET alone, and one request per connection.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request's head; what is longer is none.
const HEAD: usize = 16 * 1024;

/// The server. Dropping it ends it.
#[derive(Debug)]
pub struct Pages {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Pages {
    /// Serves these: path, status, content type, body. Everything else is a 404.
    pub async fn serve(pages: Vec<(&str, u16, &str, Vec<u8>)>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        let answers: HashMap<String, Vec<u8>> = pages
            .into_iter()
            .map(|(path, status, kind, body)| (path.to_owned(), answer(status, kind, &body)))
            .collect();
        let missing = answer(404, "text/plain", b"");
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                let path = path(&mut stream).await.unwrap_or_default();
                // Whoever hangs up early has had enough.
                let _ = stream
                    .write_all(answers.get(&path).unwrap_or(&missing))
                    .await;
            }
        });
        Ok(Self {
            address,
            requests,
            task,
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often it was asked.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(status: u16, kind: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// The path that is asked for.
async fn path(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    head.split(' ').nth(1).map(str::to_owned)
}
