//! What `wg` is told: <https://man7.org/linux/man-pages/man8/wg.8.html>, "CONFIGURATION FILE FORMAT".
//!
//! Addresses are made here, endpoints were checked with the head (`e3_core::mesh::split`), and keys are 32 bytes: no text of
//! anybody becomes a setting.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e3_core::key::PublicKey;
use e3_core::mesh::wireguard::{Known, routes};
use e3_core::mesh::{PREFIX_BITS, Plan, Prefix, Roster};
use zeroize::Zeroizing;

/// Seconds between two packets to whoever has an endpoint, when there is nothing to say: that keeps a way open, or opens it from both
/// sides; routers forget who talks to whom after 30.
const KEEPALIVE: u8 = 15;

/// The device itself.
pub(super) fn interface(secret: &str, port: u16) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "[Interface]\nPrivateKey = {secret}\nListenPort = {port}\n"
    ))
}

/// Its addresses, and that the others of the networks are behind it.
pub(super) fn addresses(networks: &Networks, me: &PublicKey) -> String {
    let Networks { all, straight } = networks;
    let line = |prefix: &Prefix| format!("{}/{PREFIX_BITS}\n", prefix.party(me));
    [all, straight].map(line).concat()
}

/// The networks of one fleet's WireGuard.
pub(super) struct Networks {
    /// In which everybody is reached, one way or another.
    pub(super) all: Prefix,
    /// In which somebody is reached straight, or not at all.
    pub(super) straight: Prefix,
}

/// The others, each with what goes straight to them; anchors, and whoever else carries packets, also with what they carry.
pub(super) fn peers(
    networks: &Networks,
    me: &PublicKey,
    plan: &Plan,
    roster: &Roster,
    known: &Known,
) -> String {
    let is_anchor = plan.anchor(me).is_some();
    let routes = routes(me, plan, &known.heard);
    let mut text = String::new();
    for member in &roster.members {
        // wg refuses all of it for one key that is none.
        let (Some(carried), true) = (routes.get(&member.party), is_key(&member.key)) else {
            continue;
        };
        let straight = networks.straight.party(&member.party);
        let _ = write!(
            text,
            "[Peer]\nPublicKey = {}\nAllowedIPs = {straight}/128",
            member.key
        );
        for party in carried {
            let _ = write!(text, ", {}/128", networks.all.party(party));
        }
        text.push('\n');
        // Of several ways to an anchor wg knows one.
        let of_anchor = plan
            .anchor(&member.party)
            .and_then(|anchor| anchor.endpoints.first());
        let is_heard = known.heard.contains(&member.party);
        // Whoever is heard is where they are heard from, which wg knows best. Anchors wait for everybody else.
        let told = known
            .endpoints
            .get(&member.party)
            .filter(|_| !is_heard && !is_anchor);
        if let Some(endpoint) = of_anchor.cloned().or(told.map(ToString::to_string)) {
            let _ = writeln!(text, "Endpoint = {endpoint}");
        }
        if of_anchor.is_some() || told.is_some() || (is_heard && !is_anchor) {
            let _ = writeln!(text, "PersistentKeepalive = {KEEPALIVE}");
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
    fn fleet(anchors: usize, count: u8) -> (Networks, Vec<PublicKey>, Plan, Roster) {
        let root = Digest::of(b"root");
        let networks = Networks {
            all: Prefix::of(&root, "wireguard"),
            straight: Prefix::of(&root, "wireguard-direct"),
        };
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
            direct: false,
            anchors: anchors.collect(),
            backend: Backend::Wireguard(roster.clone()),
        };
        (networks, parties, plan, roster)
    }

    fn key(byte: u8) -> String {
        STANDARD.encode([byte; 32])
    }

    /// A peer's lines.
    fn peer(
        networks: &Networks,
        byte: u8,
        party: &PublicKey,
        carried: &[&PublicKey],
        more: &str,
    ) -> String {
        let mut carried: Vec<_> = carried.iter().collect();
        carried.sort();
        let carried: Vec<_> = carried
            .iter()
            .map(|party| format!(", {}/128", networks.all.party(party)))
            .collect();
        format!(
            "[Peer]\nPublicKey = {}\nAllowedIPs = {}/128{}\n{more}",
            key(byte),
            networks.straight.party(party),
            carried.concat(),
        )
    }

    #[test]
    fn a_party_reaches_anchors_straight_and_the_rest_by_the_first_one() {
        let (networks, parties, plan, roster) = fleet(2, 4);
        let [one, two, three, me] = &*parties else {
            panic!()
        };
        let expected = [
            peer(
                &networks,
                1,
                one,
                &[one, three],
                "Endpoint = 203.0.113.1:4242\nPersistentKeepalive = 15\n",
            ),
            peer(
                &networks,
                2,
                two,
                &[two],
                "Endpoint = 203.0.113.2:4242\nPersistentKeepalive = 15\n",
            ),
            peer(&networks, 3, three, &[], ""),
        ];
        let text = peers(&networks, me, &plan, &roster, &Known::default());
        assert_eq!(text, expected.concat());
    }

    #[test]
    fn whoever_may_be_reached_straight_is_tried_and_whoever_is_has_their_address() {
        let (networks, parties, plan, roster) = fleet(1, 3);
        let [one, two, me] = &*parties else { panic!() };
        let anchor = |carried: &[&PublicKey]| {
            peer(
                &networks,
                1,
                one,
                carried,
                "Endpoint = 203.0.113.1:4242\nPersistentKeepalive = 15\n",
            )
        };
        let mut known = Known::default();
        known
            .endpoints
            .insert(*two, "192.168.1.2:20001".parse().unwrap());
        let tried = peer(
            &networks,
            2,
            two,
            &[],
            "Endpoint = 192.168.1.2:20001\nPersistentKeepalive = 15\n",
        );
        let text = peers(&networks, me, &plan, &roster, &known);
        assert_eq!(text, anchor(&[one, two]) + &tried);
        known.heard.insert(*two);
        let heard = peer(&networks, 2, two, &[two], "PersistentKeepalive = 15\n");
        let text = peers(&networks, me, &plan, &roster, &known);
        assert_eq!(text, anchor(&[one]) + &heard);
    }

    #[test]
    fn at_an_anchor_nobody_has_more_than_their_own_addresses() {
        let (networks, parties, plan, roster) = fleet(2, 4);
        let text = peers(&networks, &parties[0], &plan, &roster, &Known::default());
        let allowed: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("AllowedIPs = "))
            .collect();
        let expected: Vec<_> = parties[1..]
            .iter()
            .map(|party| {
                format!(
                    "{}/128, {}/128",
                    networks.straight.party(party),
                    networks.all.party(party)
                )
            })
            .collect();
        assert_eq!(allowed, expected);
        // Only the other anchor is somewhere.
        assert_eq!(text.matches("Endpoint").count(), 1);
        assert!(!text.contains(&key(1)), "not itself");
    }

    #[test]
    fn a_key_that_is_none_keeps_nobody_else_out() {
        for bad in [
            "AAAA",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            &key(9).repeat(2),
        ] {
            let (networks, parties, mut plan, mut roster) = fleet(1, 3);
            assert!(roster.take_in(parties[1], bad));
            plan.backend = Backend::Wireguard(roster.clone());
            let text = peers(&networks, &parties[0], &plan, &roster, &Known::default());
            assert!(!text.contains(bad) && text.contains(&key(3)), "{bad}");
        }
    }

    #[test]
    fn whoever_is_no_member_is_no_peer() {
        let (networks, parties, mut plan, mut roster) = fleet(1, 3);
        let mut without = |party: usize, me: usize| {
            roster.revoke(&parties[party]);
            plan.backend = Backend::Wireguard(roster.clone());
            let known = Known {
                heard: parties.iter().copied().collect(),
                ..Known::default()
            };
            peers(&networks, &parties[me], &plan, &roster, &known)
        };
        assert!(!without(1, 0).contains(&key(2)));
        // Not even an anchor.
        assert_eq!(without(0, 2), "");
    }

    #[test]
    fn a_machine_listens_and_is_in_both_networks() {
        assert_eq!(
            *interface("k", 4242),
            "[Interface]\nPrivateKey = k\nListenPort = 4242\n"
        );
        let (networks, parties, ..) = fleet(1, 1);
        let (all, straight) = (
            networks.all.party(&parties[0]),
            networks.straight.party(&parties[0]),
        );
        assert_eq!(
            addresses(&networks, &parties[0]),
            format!("{all}/64\n{straight}/64\n")
        );
    }
}
