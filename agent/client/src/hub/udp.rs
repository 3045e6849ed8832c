//! Whether UDP gets from here to the hub, where it answers by UDP at the port of its URL (`e3_core::mesh::stun`).
//!
//! Only a hub that others reach by UDP tells something about this machine's own network: behind a proxy, or on a static web server,
//! it is never reached so.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use e3_core::mesh::stun::{self, Transaction};
use serde::Deserialize;
use tokio::task::spawn_blocking;

use super::{Hub, HubError, Way};

/// A question may be lost, or its answer.
const TRIES: usize = 3;
/// For each answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// More addresses than this a name of a hub does not have.
const ADDRESSES: usize = 2;

impl Hub {
    /// Has the hub know that UDP gets to it, if it does. Nothing is waited for.
    pub fn greet_by_udp(&self) {
        if let Some(url) = self.parsed() {
            spawn_blocking(move || {
                // Who hears nothing is told nothing.
                let _ = ask(&url, 1, Duration::ZERO);
            });
        }
    }

    /// Whether the hub does not answer by UDP, although others reach it so. Takes some seconds.
    pub async fn is_udp_blocked(&self) -> bool {
        let Some(url) = self.parsed() else {
            return false;
        };
        let asked = spawn_blocking(move || ask(&url, TRIES, PATIENCE)).await;
        // Whoever cannot ask knows nothing.
        matches!(asked, Ok(Ok(false))) && self.is_heard_by_udp().await.unwrap_or(false)
    }

    /// Whether UDP of others has got to the hub since it was started.
    async fn is_heard_by_udp(&self) -> Result<bool, HubError> {
        #[derive(Deserialize)]
        struct Udp {
            heard: bool,
        }
        let bytes = self.optional("v1/udp", 1024).await?;
        let said = bytes.and_then(|bytes| serde_json::from_slice::<Udp>(&bytes).ok());
        Ok(said.is_some_and(|udp| udp.heard))
    }

    fn parsed(&self) -> Option<reqwest::Url> {
        let Way::Http { base, .. } = &self.way else {
            return None;
        };
        reqwest::Url::parse(base).ok()
    }
}

/// Asks so often, and waits so long for each answer; whether there was one.
fn ask(url: &reqwest::Url, tries: usize, patience: Duration) -> io::Result<bool> {
    let addresses = url.socket_addrs(|| None)?;
    let random = crate::random::bytes32();
    let transaction: Transaction = *random.first_chunk().expect("32 bytes");
    let mut sent = Err(io::ErrorKind::NotFound.into());
    for _ in 0..tries {
        for address in addresses.iter().take(ADDRESSES) {
            match ask_at(*address, transaction, patience) {
                Ok(true) => return Ok(true),
                // A machine may have no IPv6.
                Err(error) if sent.is_err() => sent = Err(error),
                Err(_) => {}
                Ok(false) => sent = Ok(false),
            }
        }
    }
    sent
}

fn ask_at(to: SocketAddr, transaction: Transaction, patience: Duration) -> io::Result<bool> {
    let any = if to.is_ipv4() {
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
    } else {
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
    };
    let socket = UdpSocket::bind(any)?;
    socket.send_to(&stun::question(transaction), to)?;
    let end = Instant::now() + patience;
    let mut bytes = [0; stun::LENGTH];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        socket.set_read_timeout(Some(left))?;
        // Whatever else comes is not waited for.
        if let Ok((length, _)) = socket.recv_from(&mut bytes)
            && stun::is_answer(&bytes[..length], transaction)
        {
            return Ok(true);
        }
    }
}
