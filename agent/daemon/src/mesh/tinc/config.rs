//! What tinc is told: <https://www.tinc-vpn.org/documentation/tinc.conf.5>.
//!
//! Names and addresses are made here, endpoints were checked with the head (`e3_core::mesh::split`), and keys are base64: no text
//! of anybody becomes a setting.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e3_core::key::PublicKey;
use e3_core::mesh::{Anchor, Member, PREFIX_BITS, Plan, Prefix, Roster, split};

/// Letters in a line of PEM.
const LINE: usize = 64;
/// Whoever is silent for 2 s is asked, and is gone 5 s later; and a way is tried again every second. That also bounds how long
/// packets go to where a peer was before it moved: what goes straight is not told that, and a session's barrier is patient for 20 s.
/// The digest's whole length is used, of which tinc would take 4 bytes.
const COMMON: &str = "\
Mode = router
Interface = e3tinc
PrivateKeyFile = /run/credentials/e3-mesh-tinc.service/key
StrictSubnets = yes
LocalDiscovery = yes
PingInterval = 2
PingTimeout = 5
MaxTimeout = 1
Cipher = aes-256-cbc
Digest = sha256
MACLength = 32
";

/// A party: a file of this name.
pub(super) struct Host {
    /// What tinc calls it.
    pub(super) name: String,
    /// Its address in the mesh, its key, and where it is if it is an anchor.
    pub(super) text: String,
}

/// The configuration of this machine's daemon. It listens on the port of the first anchor, as an anchor on its own.
pub(super) fn render(prefix: Prefix, me: &PublicKey, plan: &Plan) -> String {
    let own = plan.anchor(me).or_else(|| plan.anchors.first());
    let port = own.and_then(Anchor::port).unwrap_or_default();
    let mut text = format!("{COMMON}Name = {}\nPort = {port}\n", name(prefix, me));
    for anchor in plan.anchors.iter().filter(|anchor| anchor.party != *me) {
        let _ = writeln!(text, "ConnectTo = {}", name(prefix, &anchor.party));
    }
    text
}

/// Its address, and that the others of the network are behind its device.
pub(super) fn address(prefix: Prefix, me: &PublicKey) -> String {
    format!("{}/{PREFIX_BITS}", prefix.party(me))
}

/// All members, also this machine itself.
pub(super) fn hosts(prefix: Prefix, plan: &Plan, roster: &Roster) -> Vec<Host> {
    let of = |member: &Member| {
        let mut text = format!("Subnet = {}/128\n", prefix.party(&member.party));
        let endpoints = plan.anchor(&member.party).into_iter();
        let endpoints = endpoints.flat_map(|anchor| &anchor.endpoints);
        for (host, port) in endpoints.filter_map(|text| split(text)) {
            let _ = writeln!(text, "Address = {host} {port}");
        }
        text += &pem(&member.key)?;
        Some(Host {
            name: name(prefix, &member.party),
            text,
        })
    };
    roster.members.iter().filter_map(of).collect()
}

/// What tinc calls a party: letters, digits and underscores.
fn name(prefix: Prefix, party: &PublicKey) -> String {
    format!("p{:032x}", u128::from(prefix.party(party)))
}

/// A public key as PEM; none of what is not one.
fn pem(key: &str) -> Option<String> {
    // A sequence of two numbers, of which the first has 2048 bits at least.
    let bytes = STANDARD.decode(key).ok()?;
    if !bytes.starts_with(&[0x30, 0x82]) || bytes.len() < 256 {
        return None;
    }
    let mut text = "-----BEGIN RSA PUBLIC KEY-----\n".to_owned();
    let mut rest = key;
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(LINE));
        text += line;
        text.push('\n');
        rest = more;
    }
    Some(text + "-----END RSA PUBLIC KEY-----\n")
}

#[cfg(test)]
mod tests {
    use e3_core::digest::Digest;
    use e3_core::key::SecretKey;
    use e3_core::mesh::Backend;

    use super::*;

    /// A fleet of these parties, each with a key of its own; the first ones are anchors.
    fn fleet(anchors: usize, count: u8) -> (Prefix, Vec<PublicKey>, Plan, Roster) {
        let prefix = Prefix::of(&Digest::of(b"root"), "tinc");
        let parties: Vec<_> = (1..=count)
            .map(|seed| SecretKey::from_seed(&[seed; 32]).public())
            .collect();
        let mut roster = Roster::default();
        for (party, byte) in parties.iter().zip(1..) {
            assert!(roster.take_in(*party, &key(byte)));
        }
        let anchors = parties[..anchors].iter().zip(1..).map(|(party, last)| {
            let endpoints = vec![
                format!("203.0.113.{last}:424{last}"),
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
            backend: Backend::Tinc(roster.clone()),
        };
        (prefix, parties, plan, roster)
    }

    /// What looks like a key.
    fn key(byte: u8) -> String {
        let mut der = vec![byte; 270];
        der[..4].copy_from_slice(&[0x30, 0x82, 0x01, 0x0a]);
        STANDARD.encode(der)
    }

    fn has(text: &str, line: &str) -> bool {
        text.lines().any(|other| other == line)
    }

    #[test]
    fn everybody_connects_to_the_other_anchors_and_anchors_listen_where_they_are_found() {
        let (prefix, parties, plan, _) = fleet(2, 3);
        let [one, two] =
            [0, 1].map(|place| format!("ConnectTo = {}", name(prefix, &parties[place])));
        let of = |place: usize| render(prefix, &parties[place], &plan);
        assert!(has(&of(2), &one) && has(&of(2), &two) && has(&of(2), "Port = 4241"));
        assert!(!has(&of(1), &two) && has(&of(1), &one) && has(&of(1), "Port = 4242"));
        assert!(has(&of(0), "StrictSubnets = yes"));
    }

    #[test]
    fn an_address_belongs_to_one_key() {
        let (prefix, parties, plan, roster) = fleet(1, 2);
        let hosts = hosts(prefix, &plan, &roster);
        let address = prefix.party(&parties[1]);
        assert!(hosts[1].text.starts_with(&format!(
            "Subnet = {address}/128\n-----BEGIN RSA PUBLIC KEY-----\n"
        )));
        let body: String = hosts[1]
            .text
            .lines()
            .skip(2)
            .filter(|line| !line.starts_with('-'))
            .collect();
        assert_eq!(body, key(2));
        assert_eq!(hosts[1].name, name(prefix, &parties[1]));
        // Only an anchor is somewhere.
        assert!(has(&hosts[0].text, "Address = 203.0.113.1 4241"));
        assert!(has(&hosts[0].text, "Address = fd00::1 4242"));
    }

    #[test]
    fn a_key_that_is_none_keeps_nobody_else_out() {
        let (prefix, parties, plan, mut roster) = fleet(1, 3);
        assert!(roster.take_in(parties[1], "AAAA"));
        let names: Vec<_> = hosts(prefix, &plan, &roster)
            .into_iter()
            .map(|host| host.name)
            .collect();
        let expected = [0, 2].map(|place| name(prefix, &parties[place]));
        assert_eq!(names.len(), 2);
        assert!(expected.iter().all(|name| names.contains(name)));
    }

    #[test]
    fn a_name_is_one_for_tinc() {
        let (prefix, parties, ..) = fleet(1, 1);
        let name = name(prefix, &parties[0]);
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}
