//! What `wg` is told: <https://man7.org/linux/man-pages/man8/wg.8.html>, "CONFIGURATION FILE FORMAT".
//!
//! Addresses are made here, endpoints were checked with the head (`e3_core::mesh::split`), and keys are 32 bytes: no text of
//! anybody becomes a setting.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e3_core::key::PublicKey;
use e3_core::mesh::{PREFIX_BITS, Plan, Prefix, Roster};
use zeroize::Zeroizing;

/// Seconds between two packets to an anchor when there is nothing to say: routers forget who talks to whom after 30.
const KEEPALIVE: u8 = 15;

/// The device itself. An anchor listens on its port, everybody else on any.
pub(super) fn interface(secret: &str, port: Option<u16>) -> Zeroizing<String> {
    let port = port.map_or_else(String::new, |port| format!("ListenPort = {port}\n"));
    Zeroizing::new(format!("[Interface]\nPrivateKey = {secret}\n{port}"))
}

/// Its address, and that the others of the network are behind it.
pub(super) fn address(prefix: Prefix, me: &PublicKey) -> String {
    format!("{}/{PREFIX_BITS}", prefix.party(me))
}

/// The others: for an anchor everybody, each with nothing but its own address; for everybody else the anchors, of which the
/// first also has what is for, and comes from, the rest of the network.
pub(super) fn peers(prefix: Prefix, me: &PublicKey, plan: &Plan, roster: &Roster) -> String {
    let is_anchor = plan.anchor(me).is_some();
    let first = plan.anchors.first().map(|anchor| anchor.party);
    let mut text = String::new();
    for member in &roster.members {
        let anchor = plan.anchor(&member.party);
        // wg refuses all of it for one key that is none.
        if member.party == *me || (anchor.is_none() && !is_anchor) || !is_key(&member.key) {
            continue;
        }
        let allowed = if !is_anchor && first == Some(member.party) {
            prefix.network()
        } else {
            format!("{}/128", prefix.party(&member.party))
        };
        let _ = write!(
            text,
            "[Peer]\nPublicKey = {}\nAllowedIPs = {allowed}\n",
            member.key
        );
        // Of several ways to an anchor wg knows one.
        if let Some(endpoint) = anchor.and_then(|anchor| anchor.endpoints.first()) {
            let _ = writeln!(
                text,
                "Endpoint = {endpoint}\nPersistentKeepalive = {KEEPALIVE}"
            );
        }
    }
    text
}

/// Whether it is a public key of X25519.
fn is_key(text: &str) -> bool {
    matches!(STANDARD.decode_slice(text, &mut [0; 33]), Ok(32))
}

#[cfg(test)]
mod tests {
    use e3_core::digest::Digest;
    use e3_core::key::SecretKey;
    use e3_core::mesh::{Anchor, Backend};

    use super::*;

    /// A fleet of these parties, each with a key of its own; the first ones are anchors.
    fn fleet(anchors: usize, count: u8) -> (Prefix, Vec<PublicKey>, Plan, Roster) {
        let prefix = Prefix::of(&Digest::of(b"root"), "wireguard");
        let parties: Vec<_> = (1..=count)
            .map(|seed| SecretKey::from_seed(&[seed; 32]).public())
            .collect();
        let mut roster = Roster::default();
        for (party, byte) in parties.iter().zip(1..) {
            assert!(roster.take_in(*party, &key(byte)));
        }
        let anchors = parties[..anchors].iter().zip(1..).map(|(party, last)| {
            let endpoints = vec![
                format!("203.0.113.{last}:4242"),
                "[fd00::1]:4242".to_owned(),
            ];
            Anchor {
                party: *party,
                endpoints,
            }
        });
        let plan = Plan {
            anchors: anchors.collect(),
            backend: Backend::Wireguard(roster.clone()),
        };
        (prefix, parties, plan, roster)
    }

    fn key(byte: u8) -> String {
        STANDARD.encode([byte; 32])
    }

    #[test]
    fn a_party_reaches_anchors_straight_and_the_rest_by_the_first_one() {
        let (prefix, parties, plan, roster) = fleet(2, 4);
        let expected = format!(
            "[Peer]\nPublicKey = {}\nAllowedIPs = {}\nEndpoint = 203.0.113.1:4242\nPersistentKeepalive = 15\n\
             [Peer]\nPublicKey = {}\nAllowedIPs = {}/128\nEndpoint = 203.0.113.2:4242\nPersistentKeepalive = 15\n",
            key(1),
            prefix.network(),
            key(2),
            prefix.party(&parties[1]),
        );
        assert_eq!(peers(prefix, &parties[3], &plan, &roster), expected);
    }

    #[test]
    fn at_an_anchor_nobody_has_more_than_an_address() {
        let (prefix, parties, plan, roster) = fleet(2, 4);
        let text = peers(prefix, &parties[0], &plan, &roster);
        let allowed: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("AllowedIPs = "))
            .collect();
        let expected: Vec<_> = parties[1..]
            .iter()
            .map(|party| format!("{}/128", prefix.party(party)))
            .collect();
        assert_eq!(allowed, expected);
        // Only the other anchor is somewhere.
        assert_eq!(text.matches("Endpoint").count(), 1);
        assert!(!text.contains(&key(1)), "not itself");
    }

    #[test]
    fn a_key_that_is_none_keeps_nobody_else_out() {
        let (prefix, parties, plan, mut roster) = fleet(1, 3);
        for bad in [
            "AAAA",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            &key(9).repeat(2),
        ] {
            assert!(roster.take_in(parties[1], bad));
            let text = peers(prefix, &parties[0], &plan, &roster);
            assert!(!text.contains(bad) && text.contains(&key(3)), "{bad}");
        }
    }

    #[test]
    fn whoever_is_no_member_is_no_peer() {
        let (prefix, parties, plan, mut roster) = fleet(1, 3);
        roster.revoke(&parties[1]);
        assert!(!peers(prefix, &parties[0], &plan, &roster).contains(&key(2)));
        // Not even an anchor.
        roster.revoke(&parties[0]);
        assert_eq!(peers(prefix, &parties[2], &plan, &roster), "");
    }

    #[test]
    fn only_an_anchor_listens_on_a_port_that_others_know() {
        assert_eq!(*interface("k", None), "[Interface]\nPrivateKey = k\n");
        assert_eq!(
            *interface("k", Some(4242)),
            "[Interface]\nPrivateKey = k\nListenPort = 4242\n"
        );
    }
}
