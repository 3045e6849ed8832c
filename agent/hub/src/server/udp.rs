//! Answers by UDP at the port where the hub listens by TCP, so that a machine can tell a firewall that lets no UDP out from an
//! anchor of its mesh that is not there (`e3_core::mesh::stun`). Nothing else is said by UDP.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use e3_core::mesh::stun;
use tokio::net::UdpSocket;
use tokio::time::sleep;

use super::BREATH;
use crate::api::Hub;

/// Answers each question, for ever; none without a socket.
pub(super) async fn answer(hub: Arc<Hub>, socket: Option<UdpSocket>) {
    let Some(socket) = socket else { return };
    // Longer than a question, so that what is cut is none.
    let mut bytes = [0; stun::LENGTH + 1];
    loop {
        let (length, from) = match socket.recv_from(&mut bytes).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "nothing was read by UDP");
                sleep(BREATH).await;
                continue;
            }
        };
        let Some(answer) = stun::answer(&bytes[..length], from) else {
            continue;
        };
        if is_elsewhere(from.ip()) {
            hub.heard_by_udp.store(true, Ordering::Relaxed);
        }
        // It is asked again.
        let _ = socket.try_send_to(&answer, from);
    }
}

/// What comes from this machine tells nothing of any network.
fn is_elsewhere(from: IpAddr) -> bool {
    !from.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_not_elsewhere() {
        let of = |text: &str| is_elsewhere(text.parse().unwrap());
        for here in ["127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"] {
            assert!(!of(here), "{here}");
        }
        assert!(of("192.0.2.1") && of("2001:db8::1"));
    }
}
