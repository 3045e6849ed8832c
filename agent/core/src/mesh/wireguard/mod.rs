//! By which peer of a WireGuard device packets go to whom.
//!
//! WireGuard takes a peer's packets only from the addresses that stand with it, and an address stands with one peer: so two
//! parties must agree whether they speak straight or by an anchor. They find out with addresses of their own for that ([`DIRECT`]),
//! which never stand with an anchor: whoever answers there is reached straight, and knows it in the same moment ([`Straight`]).

mod straight;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

pub use self::straight::{Action, Event, Known, Straight, TRY};
use super::Plan;
use crate::digest::Digest;
use crate::key::PublicKey;

/// The name of the second network of a fleet's WireGuard ([`Prefix::of`](super::Prefix::of)), in which packets only go straight.
pub const DIRECT: &str = "wireguard-direct";
/// The ports that machines choose theirs from, which no protocol of this decade has and kernels give to nobody by themselves.
const PORTS: (u16, u16) = (20_000, 10_000);

/// Whose addresses stand with whom on a party's device: the peers, each with those that it carries. `heard` are those that
/// answer straight.
///
/// - An anchor knows everybody, each with their own address.
/// - Everybody else knows everybody, too; each anchor has its own address, and so has everybody who is heard straight. What is for
///   anybody else goes by the first anchor that is heard, or by the first one, as long as none is.
///
/// So each other party's address stands with exactly one peer: its own, or an anchor.
pub fn routes(
    me: &PublicKey,
    plan: &Plan,
    heard: &BTreeSet<PublicKey>,
) -> BTreeMap<PublicKey, BTreeSet<PublicKey>> {
    let members = plan
        .backend
        .roster()
        .into_iter()
        .flat_map(|roster| &roster.members);
    let others: BTreeSet<PublicKey> = members
        .map(|member| member.party)
        .filter(|party| party != me)
        .collect();
    let anchors = plan.anchors.iter().map(|anchor| anchor.party);
    let anchors: Vec<PublicKey> = anchors.filter(|party| others.contains(party)).collect();
    let carrier = anchors
        .iter()
        .find(|anchor| heard.contains(anchor))
        .or(anchors.first());
    let is_anchor = plan.anchor(me).is_some();
    let mut routes: BTreeMap<_, BTreeSet<_>> = others
        .iter()
        .map(|party| (*party, BTreeSet::new()))
        .collect();
    for party in others {
        let is_next = is_anchor || anchors.contains(&party) || heard.contains(&party);
        let by = if is_next { Some(&party) } else { carrier };
        if let Some(peer) = by.and_then(|by| routes.get_mut(by)) {
            peer.insert(party);
        }
    }
    routes
}

/// The port that a machine listens on if it is no anchor.
pub fn port(party: &PublicKey) -> u16 {
    let digest = Digest::of(&[b"e3 wireguard port\0".as_slice(), party.as_bytes()].concat());
    let [high, low, ..] = *digest.as_bytes();
    PORTS.0 + u16::from_be_bytes([high, low]) % PORTS.1
}

/// Which of a party's endpoints is tried from a machine with these addresses: one in a network of the machine's own, or else one that
/// leads to the same machine from everywhere, or else the first one. WireGuard tries one at a time.
pub fn endpoint(told: &[SocketAddr], networks: &[(IpAddr, u8)]) -> Option<SocketAddr> {
    let is_near = |at: &&SocketAddr| {
        { networks.iter() }.any(|(address, bits)| is_in(at.ip(), *address, *bits))
    };
    let mut told = told.iter().filter(|at| is_of_a_machine(at.ip()));
    let near = told.clone().find(is_near);
    let public = || told.clone().find(|at| is_everywhere(at.ip()));
    near.or_else(public).or_else(|| told.next()).copied()
}

/// Whether it can be another machine's address at all.
fn is_of_a_machine(address: IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(is_link_local || address.is_loopback() || address.is_multicast() || address.is_unspecified())
}

/// Whether an address is in the network of another one, of so many bits.
fn is_in(address: IpAddr, other: IpAddr, bits: u8) -> bool {
    let (one, other, width) = match (address, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            (u128::from(one.to_bits()), u128::from(other.to_bits()), 32)
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits(), other.to_bits(), 128),
        _ => return false,
    };
    let host = width - u32::from(bits).min(width);
    bits > 0 && one >> host == other >> host
}

/// Whether it leads to the same machine from everywhere.
fn is_everywhere(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || is_shared
                || first == 0
                || first >= 240)
        }
        // Global unicast: 2000::/3.
        IpAddr::V6(v6) => v6.octets()[0] >> 5 == 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SecretKey;
    use crate::mesh::{Anchor, Backend, Member, Roster};

    fn party(seed: u8) -> PublicKey {
        SecretKey::from_seed(&[seed; 32]).public()
    }

    fn plan(members: u8, anchors: &[u8]) -> Plan {
        let member = |seed| Member {
            party: party(seed),
            key: format!("{seed}"),
        };
        let anchor = |seed: &u8| Anchor {
            party: party(*seed),
            endpoints: vec!["a:1".to_owned()],
        };
        Plan {
            direct: false,
            anchors: anchors.iter().map(anchor).collect(),
            backend: Backend::Wireguard(Roster {
                members: (0..members).map(member).collect(),
                revoked: Vec::new(),
            }),
        }
    }

    #[test]
    fn each_address_stands_with_one_peer_which_is_its_own_or_an_anchor() {
        // Every set of those who are heard, with every choice of anchors, as everybody sees it.
        for anchors in [&[1][..], &[1, 0], &[2, 1, 9], &[9, 3]] {
            let plan = plan(5, anchors);
            for (me, heard) in (0..5).flat_map(|me| (0..64_u32).map(move |bits| (me, bits))) {
                let heard: BTreeSet<_> = (0..6)
                    .filter(|seed| heard >> seed & 1 == 1)
                    .map(party)
                    .collect();
                let routes = routes(&party(me), &plan, &heard);
                assert_eq!(routes.len(), 4, "everybody is a peer, and nobody their own");
                for other in (0..5).filter(|other| *other != me).map(party) {
                    let by: Vec<_> = routes
                        .iter()
                        .filter(|(_, carried)| carried.contains(&other))
                        .map(|(by, _)| *by)
                        .collect();
                    let [by] = *by else { panic!("{by:?}") };
                    assert!(by == other || plan.anchor(&by).is_some());
                    // And nobody who is heard goes by anybody else.
                    assert!(by == other || !heard.contains(&other));
                }
                let carried: usize = routes.values().map(BTreeSet::len).sum();
                assert_eq!(carried, 4, "no address that is nobody's");
            }
        }
    }

    #[test]
    fn the_first_anchor_that_is_heard_carries() {
        let plan = plan(5, &[1, 2]);
        let carrier = |heard: &[u8]| {
            let heard = heard.iter().copied().map(party).collect();
            let routes = routes(&party(0), &plan, &heard);
            (1..5).find(|seed| routes[&party(*seed)].contains(&party(4)))
        };
        assert_eq!(carrier(&[]), Some(1));
        assert_eq!(carrier(&[1, 2]), Some(1));
        assert_eq!(carrier(&[2]), Some(2));
        assert_eq!(carrier(&[2, 4]), Some(4));
    }

    #[test]
    fn a_neighbour_is_tried_before_a_public_address_and_that_before_others() {
        let at = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let home: [(IpAddr, u8); 2] = [
            ("192.168.1.7".parse().unwrap(), 24),
            ("fd00::7".parse().unwrap(), 64),
        ];
        let tried = |told: &[&str]| {
            let told: Vec<_> = told.iter().map(|text| at(text)).collect();
            endpoint(&told, &home)
        };
        for (told, expected) in [
            (&["203.0.113.9:1", "192.168.1.9:1"][..], "192.168.1.9:1"),
            (&["192.168.2.9:1", "203.0.113.9:1"], "203.0.113.9:1"),
            (&["10.0.0.9:1", "192.168.2.9:1"], "10.0.0.9:1"),
            (&["203.0.113.9:1", "[fd00::9]:1"], "[fd00::9]:1"),
            (&["10.0.0.9:1", "[2001:db8::9]:1"], "[2001:db8::9]:1"),
        ] {
            assert_eq!(tried(told), Some(at(expected)), "{told:?}");
        }
        for nowhere in [
            "127.0.0.1:1",
            "169.254.0.1:1",
            "224.0.0.1:1",
            "255.255.255.255:1",
            "0.0.0.0:1",
            "[::1]:1",
            "[fe80::1]:1",
            "[ff02::1]:1",
        ] {
            assert_eq!(tried(&[nowhere]), None, "{nowhere}");
        }
    }

    #[test]
    fn ports_follow_from_keys_and_are_nobody_elses() {
        for seed in 0..32 {
            assert!((20_000..30_000).contains(&port(&party(seed))));
        }
        assert_eq!(port(&party(1)), port(&party(1)));
        assert_ne!(port(&party(1)), port(&party(2)));
    }
}
