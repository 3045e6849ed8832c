//! Whether UDP gets from here to the hub, where it answers by UDP at the port of its URL (`e3_core::mesh::stun`).
//!
//! Only a hub that others reach by UDP tells something about this machine's own network: behind a proxy, or on a static web server,
//! it is never reached so.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use e3_core::mesh::stun::{self, Transaction};
use tokio::task::spawn_blocking;

use super::Hub;

/// A question may be lost, or its answer.
const TRIES: usize = 3;
/// For each answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes that a hub may say about it.
const SAYS: u64 = 64;
/// More addresses than this a name of a hub does not have.
const ADDRESSES: usize = 2;

impl Hub {
    /// Has the hub know that UDP gets to it, if it does. No answer is waited for.
    pub async fn greet_by_udp(&self) {
        self.ask_by_udp(1, Duration::ZERO).await;
    }

    /// Whether the hub does not answer by UDP, although others reach it so. Takes some seconds.
    pub async fn is_udp_blocked(&self) -> bool {
        // Whoever cannot ask knows nothing.
        if self.ask_by_udp(TRIES, PATIENCE).await != Some(false) {
            return false;
        }
        let says = self.optional("v1/udp", SAYS).await;
        matches!(says, Ok(Some(says)) if says == stun::heard(true).as_bytes())
    }

    /// Asks so often, and waits so long for each answer; whether there was one, if it could be asked at all.
    async fn ask_by_udp(&self, tries: usize, patience: Duration) -> Option<bool> {
        let url = self.address()?;
        let asked = spawn_blocking(move || ask(&url, tries, patience)).await;
        asked.ok().flatten()
    }
}

fn ask(url: &reqwest::Url, tries: usize, patience: Duration) -> Option<bool> {
    let addresses = url.socket_addrs(|| None).ok()?;
    let random = crate::random::bytes32();
    let transaction: Transaction = *random.first_chunk().expect("32 bytes");
    let mut asked = None;
    for _ in 0..tries {
        for address in addresses.iter().take(ADDRESSES) {
            match ask_at(*address, transaction, patience) {
                Ok(true) => return Some(true),
                Ok(false) => asked = Some(false),
                // A machine may have no IPv6.
                Err(_) => {}
            }
        }
    }
    asked
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
