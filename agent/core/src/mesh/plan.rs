//! What the fleet wants its mesh to be: a part of the signed head.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::link::{Id, Link};
use super::{Headscale, Nebula, OnionKey, Roster, Tailscale};
use crate::document::{DocumentError, ensure};
use crate::key::PublicKey;
use crate::text::is_plain;

/// Anchors of one mesh.
const ANCHORS: usize = 8;
/// Endpoints of one anchor.
const ENDPOINTS: usize = 4;
/// Meshes of one fleet: the one it moves to, and the one it comes from.
pub const MESHES: usize = 2;

/// A mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The parties that everybody else can reach from outside the mesh: lighthouses, relays, hubs, as the backend calls
    /// them. The built-in mesh can do without any, and Tor has none. With one that is gone no new connection may come about, so two are better than one.
    pub anchors: Vec<Anchor>,
    /// Whether parties also tell the addresses of their machines, and meet there when not all of a session are in the mesh: what
    /// a fleet has whose owner has chosen nothing. Without it they meet in the mesh and nowhere else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub direct: bool,
    /// What carries the packets.
    pub backend: Backend,
}

/// A party that is reached by the address of its machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// The party.
    pub party: PublicKey,
    /// Where, as `host:port`, best first. It listens on the port of the first.
    pub endpoints: Vec<String>,
}

/// A mesh daemon, with what all machines must know for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Backend {
    /// Nebula, with certificates of version 2.
    Nebula(Nebula),
    /// WireGuard: the anchors are its hubs.
    Wireguard(Roster),
    /// OpenVPN: its one anchor is the server.
    Openvpn(Roster),
    /// tinc, which finds its own ways.
    Tinc(Roster),
    /// The built-in mesh, which carries connections.
    Link(Link),
    /// A Headscale server of the fleet's own.
    Headscale(Headscale),
    /// Tailscale's public server.
    Tailscale(Tailscale),
    /// Onion services of Tor, one for each party ([`OnionKey`]). It has no anchors.
    Tor(Roster),
}

impl Backend {
    /// The word for it: in paths, unit names and documents.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Nebula(_) => "nebula",
            Self::Wireguard(_) => "wireguard",
            Self::Openvpn(_) => "openvpn",
            Self::Tinc(_) => "tinc",
            Self::Link(_) => "link",
            Self::Headscale(_) => "headscale",
            Self::Tailscale(_) => "tailscale",
            Self::Tor(_) => "tor",
        }
    }

    /// The word for its daemon, of which a machine runs one: in the names of its unit and of its files.
    pub const fn daemon(&self) -> &'static str {
        match self {
            Self::Headscale(_) => "tailscale",
            other => other.name(),
        }
    }

    /// Whether a control server tells the parties of each other, so that nobody has to be an anchor.
    pub const fn is_controlled(&self) -> bool {
        matches!(self, Self::Headscale(_) | Self::Tailscale(_))
    }

    /// Whether nobody learns from it where the parties are.
    pub const fn is_hidden(&self) -> bool {
        matches!(self, Self::Tor(_))
    }

    /// Whether it carries connections, and no packets: a party is then an address of each machine's own.
    pub const fn carries_connections(&self) -> bool {
        matches!(self, Self::Link(_) | Self::Tor(_))
    }

    /// What a public key is in the mesh of this name: two that say the same are one machine's. Nothing if it can be no key there; one
    /// that cannot would make the whole head refused.
    pub fn identity(backend: &str, key: &str) -> Option<String> {
        match backend {
            "link" => key.parse::<Id>().ok().map(|id| id.to_string()),
            // Whoever names another one's service with a client key of his own has only copied it.
            "tor" => key
                .parse::<OnionKey>()
                .ok()
                .map(|key| key.service.to_string()),
            _ => Some(key.to_owned()),
        }
    }

    /// Who belongs to it, where the head says that itself.
    pub const fn roster(&self) -> Option<&Roster> {
        match self {
            Self::Nebula(_) | Self::Headscale(_) | Self::Tailscale(_) => None,
            Self::Wireguard(roster)
            | Self::Openvpn(roster)
            | Self::Tinc(roster)
            | Self::Tor(roster) => Some(roster),
            Self::Link(link) => Some(&link.roster),
        }
    }

    /// The same, to be changed.
    pub const fn roster_mut(&mut self) -> Option<&mut Roster> {
        match self {
            Self::Nebula(_) | Self::Headscale(_) | Self::Tailscale(_) => None,
            Self::Wireguard(roster)
            | Self::Openvpn(roster)
            | Self::Tinc(roster)
            | Self::Tor(roster) => Some(roster),
            Self::Link(link) => Some(&mut link.roster),
        }
    }
}

impl Plan {
    /// The anchor that this party is, if it is one.
    pub fn anchor(&self, party: &PublicKey) -> Option<&Anchor> {
        self.anchors.iter().find(|anchor| anchor.party == *party)
    }

    pub(crate) fn check(&self) -> Result<(), DocumentError> {
        let has_relay = matches!(&self.backend, Backend::Link(link) if !link.relays.is_empty());
        let may_be_alone = has_relay || self.backend.is_controlled() || self.backend.is_hidden();
        ensure(
            self.anchors.len() <= ANCHORS && (may_be_alone || !self.anchors.is_empty()),
            "meshes.anchors",
            "has none, or more than 8: the parties of a mesh meet through at least one, or through its control server",
        )?;
        let parties: BTreeSet<_> = self.anchors.iter().map(|anchor| anchor.party).collect();
        ensure(
            parties.len() == self.anchors.len(),
            "meshes.anchors",
            "names a party twice",
        )?;
        self.anchors.iter().try_for_each(Anchor::check)?;
        match &self.backend {
            Backend::Nebula(nebula) => nebula.check(),
            Backend::Wireguard(roster) | Backend::Tinc(roster) => roster.check(),
            Backend::Openvpn(roster) => {
                ensure(
                    self.anchors.len() == 1,
                    "meshes.anchors",
                    "has more than one: OpenVPN has one server, by which all packets go",
                )?;
                roster.check()
            }
            Backend::Link(link) => link.check(),
            Backend::Headscale(headscale) => headscale.check(),
            Backend::Tailscale(tailscale) => tailscale.check(),
            Backend::Tor(roster) => {
                ensure(
                    self.anchors.is_empty(),
                    "meshes.anchors",
                    "has some: with Tor nobody is told where a party is",
                )?;
                let keys = roster.members.iter().map(|member| &member.key);
                let services: BTreeSet<_> = keys
                    .filter_map(|key| Backend::identity("tor", key))
                    .collect();
                ensure(
                    services.len() == roster.members.len(),
                    "meshes.backend.members",
                    "has a key that is none of an onion service, or names a service twice",
                )?;
                roster.check()
            }
        }
    }
}

impl Anchor {
    /// The port that it listens on.
    pub fn port(&self) -> Option<u16> {
        split(self.endpoints.first()?).map(|(_, port)| port)
    }

    fn check(&self) -> Result<(), DocumentError> {
        let fits = (1..=ENDPOINTS).contains(&self.endpoints.len())
            && self.endpoints.iter().all(|text| split(text).is_some());
        ensure(
            fits,
            "meshes.anchors.endpoints",
            "is not one to four of host:port",
        )
    }
}

/// Checks the meshes of one head.
pub(crate) fn check_all(plans: &[Plan]) -> Result<(), DocumentError> {
    ensure(
        plans.len() <= MESHES,
        "meshes",
        "has more than 2: the new one, and the old one until it is dropped",
    )?;
    let daemons: BTreeSet<_> = plans.iter().map(|plan| plan.backend.daemon()).collect();
    ensure(
        daemons.len() == plans.len(),
        "meshes",
        "names a backend twice, or two that need the same daemon",
    )?;
    let ports = plans.iter().flat_map(|plan| &plan.anchors);
    let ports: Vec<_> = ports.map(|anchor| (anchor.party, anchor.port())).collect();
    let each: BTreeSet<_> = ports.iter().collect();
    ensure(
        each.len() == ports.len() || plans.len() < 2,
        "meshes.anchors",
        "has an anchor that listens on one port for two meshes: choose another port for the new one",
    )?;
    plans.iter().try_for_each(Plan::check)
}

/// Host and port of `host:port` or `[address]:port`; the host is a name or an address, and nothing that would mean something
/// in a configuration.
pub fn split(endpoint: &str) -> Option<(&str, u16)> {
    let (host, port) = endpoint.rsplit_once(':')?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let fits = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(is_name),
    };
    let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
    (fits && is_plain(endpoint, 300)).then_some((bare.unwrap_or(host), port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SecretKey;

    const PEM: &str =
        "-----BEGIN NEBULA CERTIFICATE V2-----\nAAAA\n-----END NEBULA CERTIFICATE V2-----\n";

    fn plan() -> Plan {
        Plan {
            direct: false,
            anchors: vec![Anchor {
                party: SecretKey::from_seed(&[1; 32]).public(),
                endpoints: vec!["203.0.113.10:4242".to_owned()],
            }],
            backend: Backend::Nebula(Nebula {
                authorities: PEM.to_owned(),
                revoked: Vec::new(),
            }),
        }
    }

    #[test]
    fn endpoints_are_names_or_addresses_with_a_port() {
        assert_eq!(split("a-b.example:4242"), Some(("a-b.example", 4242)));
        assert_eq!(split("[fd00::1]:1"), Some(("fd00::1", 1)));
        for bad in [
            "",
            "a",
            ":1",
            "a:0",
            "a:65536",
            "fd00::1:1x",
            "a b:1",
            "a\"]:1",
            "[a]:1",
            "[fd00::1:1",
            "a\n:1",
            "{a}:1",
        ] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }

    #[test]
    fn nothing_that_would_change_a_configuration_gets_into_a_plan() {
        plan().check().unwrap();
        let broken: [fn(&mut Plan); 6] = [
            |plan| plan.anchors.clear(),
            |plan| plan.anchors.push(plan.anchors[0].clone()),
            |plan| plan.anchors[0].endpoints.clear(),
            |plan| plan.anchors[0].endpoints = vec!["\"]\nlisten:1".to_owned()],
            |plan| {
                let Backend::Nebula(nebula) = &mut plan.backend else {
                    unreachable!()
                };
                nebula.authorities += "x: [1]\n";
            },
            |plan| {
                let Backend::Nebula(nebula) = &mut plan.backend else {
                    unreachable!()
                };
                nebula.revoked = vec!["no".to_owned()];
            },
        ];
        for (place, change) in broken.iter().enumerate() {
            let mut plan = plan();
            change(&mut plan);
            assert!(plan.check().is_err(), "{place}");
        }
    }

    #[test]
    fn the_built_in_mesh_has_relays_by_https_or_anchors() {
        let link = |change: fn(&mut Link)| {
            let mut link = Link {
                relays: vec![crate::mesh::link::Relay {
                    url: "https://relay.example:8443".to_owned(),
                    discovery_port: 7842,
                }],
                ..Link::default()
            };
            change(&mut link);
            let plan = Plan {
                anchors: Vec::new(),
                direct: true,
                backend: Backend::Link(link),
            };
            plan.check()
        };
        link(|_| ()).unwrap();
        let broken: [fn(&mut Link); 5] = [
            |link| link.relays.clear(),
            |link| link.relays[0].url = "http://relay.example".to_owned(),
            |link| link.relays[0].url = "https://a/b".to_owned(),
            |link| link.authorities = Some("none".to_owned()),
            |link| {
                let party = SecretKey::from_seed(&[1; 32]).public();
                link.roster.take_in(party, "AAAA");
            },
        ];
        for (place, change) in broken.into_iter().enumerate() {
            assert!(link(change).is_err(), "{place}");
        }
        let anchored = Plan {
            backend: Backend::Link(Link::default()),
            ..plan()
        };
        anchored.check().unwrap();
    }

    #[test]
    fn onion_services_have_keys_of_their_own_and_no_anchors() {
        let of = |key: &str| {
            let mut roster = Roster::default();
            roster.take_in(SecretKey::from_seed(&[1; 32]).public(), key);
            Plan {
                anchors: Vec::new(),
                backend: Backend::Tor(roster),
                direct: false,
            }
        };
        let key = OnionKey::of(&SecretKey::from_seed(&[2; 32])).to_string();
        of(&key).check().unwrap();
        of("AAAA").check().unwrap_err();
        // One that names the same service with another client key.
        let copied = OnionKey {
            client: OnionKey::of(&SecretKey::from_seed(&[3; 32])).client,
            ..key.parse().unwrap()
        };
        let copied = copied.to_string();
        let [owner, other] = [1, 4].map(|seed| SecretKey::from_seed(&[seed; 32]).public());
        let mut plan_of_two = of(&key);
        let identity = |key: &str| Backend::identity("tor", key);
        assert_eq!(identity("AAAA"), None);
        assert_eq!(identity(&key), identity(&copied));
        // So who copies a service is told, and does not come in.
        let shown = [(owner, key.clone()), (other, copied.clone())].into();
        let mut roster = Roster::default();
        let done = roster.let_in(&[owner, other], &shown, identity);
        assert_eq!((done.new.len(), done.disputed.len()), (0, 2));
        let roster = plan_of_two.backend.roster_mut().unwrap();
        assert!(roster.take_in(other, &copied));
        plan_of_two.check().unwrap_err();
        let anchored = Plan {
            anchors: plan().anchors,
            ..of(&key)
        };
        anchored.check().unwrap_err();
    }

    #[test]
    fn a_mesh_with_a_server_has_one_anchor() {
        let mut plan = Plan {
            backend: Backend::Openvpn(Roster::default()),
            ..plan()
        };
        plan.check().unwrap();
        plan.anchors.push(Anchor {
            party: SecretKey::from_seed(&[2; 32]).public(),
            ..plan.anchors[0].clone()
        });
        plan.check().unwrap_err();
        plan.backend = Backend::Wireguard(Roster::default());
        plan.check().unwrap();
    }

    #[test]
    fn a_fleet_has_two_different_meshes_at_most() {
        let mut other = Plan {
            backend: Backend::Wireguard(Roster::default()),
            ..plan()
        };
        check_all(&[other.clone(), plan()]).unwrap_err();
        other.anchors[0].endpoints = vec!["203.0.113.10:4243".to_owned()];
        check_all(&[]).unwrap();
        check_all(&[other.clone(), plan()]).unwrap();
        check_all(&[plan(), plan()]).unwrap_err();
        check_all(&[plan(), other.clone(), other]).unwrap_err();
    }
}
