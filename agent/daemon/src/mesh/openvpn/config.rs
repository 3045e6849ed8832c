//! What OpenVPN is told: <https://openvpn.net/community-docs/community-articles/openvpn-2-6-manual.html>.
//!
//! Names and addresses are made here, endpoints were checked with the head (`e3_core::mesh::split`), and digests are 32 bytes: no
//! text of anybody becomes a setting.

use std::fmt::Write as _;

use e3_core::digest::Digest;
use e3_core::key::PublicKey;
use e3_core::mesh::{Anchor, Member, PREFIX_BITS, Plan, Prefix, Roster, split};
use zeroize::Zeroizing;

use super::identity::{Digests, Identity};

/// What the server knows of one party: a file of this name.
pub(super) struct Known {
    /// What it calls itself.
    pub(super) name: String,
    /// The digest of its secret, for `mesh-openvpn`, and its address.
    pub(super) text: String,
}

/// The port on which the server is taken for a web server, and so is reached by TCP.
const TCP: u16 = 443;
/// For both ends. Without DCO, which would leave packets from one party to another to the kernel to forward.
const COMMON: &str = "\
dev e3openvpn
dev-type tun
topology subnet
# The smallest that IPv6 allows is 1280; below what any way leaves of 1,500 bytes.
tun-mtu 1300
persist-key
persist-tun
disable-dco
data-ciphers AES-256-GCM:CHACHA20-POLY1305
tls-version-min 1.3
tls-timeout 1
suppress-timestamps
verb 3
";
/// Whoever is silent for so long is gone: a ping every 4 s, 16 s for the server and twice as long for the others.
const SERVER: &str = "\
mode server
tls-server
dh none
client-to-client
keepalive 4 16
verify-client-cert none
username-as-common-name
script-security 2
auth-user-pass-verify /run/e3party/mesh-openvpn/admit via-file
client-config-dir /run/e3party/mesh-openvpn/open
ccd-exclusive
";
/// Nothing that the server pushes is taken but what belongs to the connection itself: it can neither set routes nor names.
const CLIENT: &str = "\
tls-client
pull
pull-filter accept \"ping\"
pull-filter accept \"peer-id\"
pull-filter accept \"cipher\"
pull-filter accept \"protocol-flags\"
pull-filter ignore \"\"
nobind
connect-retry 1 5
server-poll-timeout 5
resolv-retry infinite
";

/// The configuration of this machine's daemon.
pub(super) fn render(
    prefix: Prefix,
    me: &PublicKey,
    plan: &Plan,
    roster: &Roster,
    identity: &Identity,
) -> Zeroizing<String> {
    let own = prefix.party(me);
    let network = prefix.network();
    let network = network.trim_end_matches("/64");
    let mut text = Zeroizing::new(format!(
        "{COMMON}ifconfig-ipv6 {own}/{PREFIX_BITS} {network}\n"
    ));
    // There is one.
    for server in &plan.anchors {
        let port = server.port().unwrap_or_default();
        let more = if server.party == *me {
            serve(port, roster, identity)
        } else {
            connect(server, port, me, prefix, roster, identity)
        };
        *text += &more;
    }
    text
}

/// Whether the server is reached by TCP.
pub(in super::super) fn is_by_tcp(server: &Anchor) -> bool {
    server.port() == Some(TCP)
}

/// The server listens on all addresses, of version 4 as well.
fn serve(port: u16, roster: &Roster, identity: &Identity) -> Zeroizing<String> {
    let listen = if port == TCP {
        // Without the last word small messages wait for each other, 25 ms each time.
        "proto tcp6-server\ntcp-nodelay\n"
    } else {
        // Who is connected learns that the server ends.
        "proto udp6\nexplicit-exit-notify 1\n"
    };
    let (key, certificate) = (identity.key.as_str(), &identity.certificate);
    let mut text = Zeroizing::new(format!(
        "{SERVER}{listen}port {port}\n<key>\n{key}</key>\n<cert>\n{certificate}</cert>\n"
    ));
    // It wants to know somebody, and asks nobody for a certificate.
    *text += &accept(None);
    // Whoever is connected stays so. A server that is started anew, since it is told something new, asks them again.
    for revoked in &roster.revoked {
        let _ = writeln!(*text, "# without {revoked}");
    }
    text
}

/// The others connect to the server, whose certificate they know.
fn connect(
    server: &Anchor,
    port: u16,
    me: &PublicKey,
    prefix: Prefix,
    roster: &Roster,
    identity: &Identity,
) -> Zeroizing<String> {
    let (protocol, more) = if port == TCP {
        ("tcp-client", "socket-flags TCP_NODELAY\n")
    } else {
        ("udp", "explicit-exit-notify 1\n")
    };
    let (name, secret) = (name(prefix, me), identity.secret.as_str());
    let mut text = Zeroizing::new(format!(
        "{CLIENT}{more}<auth-user-pass>\n{name}\n{secret}\n</auth-user-pass>\n"
    ));
    for (host, port) in server.endpoints.iter().filter_map(|text| split(text)) {
        let _ = writeln!(*text, "remote {host} {port} {protocol}");
    }
    let known = roster.key(&server.party).and_then(Digests::read);
    *text += &accept(known.map(|known| known.certificate));
    text
}

/// Whose certificate is accepted. Never no line: OpenVPN would want an authority then.
fn accept(certificate: Option<Digest>) -> String {
    let nobody = Digest::from_bytes([0; 32]);
    let certificate = certificate.unwrap_or(nobody);
    let bytes = certificate.as_bytes().iter();
    let digits: Vec<String> = bytes.map(|byte| format!("{byte:02x}")).collect();
    format!(
        "<peer-fingerprint>\n{}\n</peer-fingerprint>\n",
        digits.join(":")
    )
}

/// What a party calls itself: OpenVPN tells parties apart by it, so it follows from their identity.
fn name(prefix: Prefix, party: &PublicKey) -> String {
    format!("{:032x}", u128::from(prefix.party(party)))
}

/// What the server knows of the others.
pub(super) fn known(prefix: Prefix, me: &PublicKey, plan: &Plan, roster: &Roster) -> Vec<Known> {
    if plan.anchor(me).is_none() {
        return Vec::new();
    }
    let of = |member: &Member| {
        let address = prefix.party(&member.party);
        let digest = Digests::read(&member.key)?.secret.hex();
        Some(Known {
            name: name(prefix, &member.party),
            text: format!("# {digest}\nifconfig-ipv6-push {address}/{PREFIX_BITS} {address}\n"),
        })
    };
    let others = roster.members.iter().filter(|member| member.party != *me);
    others.filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use e3_core::key::SecretKey;
    use e3_core::mesh::Backend;

    use super::*;

    struct Fleet {
        prefix: Prefix,
        parties: Vec<PublicKey>,
        plan: Plan,
        roster: Roster,
    }

    /// A server, and two others.
    fn fleet(endpoint: &str) -> Fleet {
        let parties: Vec<_> = (1..=3)
            .map(|seed| SecretKey::from_seed(&[seed; 32]).public())
            .collect();
        let mut roster = Roster::default();
        for (party, byte) in parties.iter().zip(1..) {
            assert!(roster.take_in(*party, &key(byte)));
        }
        let plan = Plan {
            direct: false,
            anchors: vec![Anchor {
                party: parties[0],
                endpoints: vec![endpoint.to_owned(), "[fd00::1]:4243".to_owned()],
            }],
            backend: Backend::Openvpn(roster.clone()),
        };
        let prefix = Prefix::of(&Digest::of(b"root"), "openvpn");
        Fleet {
            prefix,
            parties,
            plan,
            roster,
        }
    }

    /// Digests of a certificate and of a secret.
    fn key(byte: u8) -> String {
        STANDARD.encode([[byte; 32], [byte + 100; 32]].concat())
    }

    fn config(fleet: &Fleet, party: usize) -> String {
        let identity = Identity {
            secret: Zeroizing::new("SECRET".to_owned()),
            key: Zeroizing::new("KEY\n".to_owned()),
            certificate: "CERTIFICATE\n".to_owned(),
            public: String::new(),
        };
        let me = &fleet.parties[party];
        render(fleet.prefix, me, &fleet.plan, &fleet.roster, &identity).to_string()
    }

    fn files(fleet: &Fleet, party: usize) -> Vec<Known> {
        let me = &fleet.parties[party];
        known(fleet.prefix, me, &fleet.plan, &fleet.roster)
    }

    fn has(text: &str, line: &str) -> bool {
        text.lines().any(|other| other == line)
    }

    fn print(byte: u8) -> String {
        vec![format!("{byte:02x}"); 32].join(":")
    }

    #[test]
    fn the_others_know_the_server_and_show_it_their_secret() {
        let fleet = fleet("relay.example:4242");
        let client = config(&fleet, 1);
        assert!(has(&client, "remote relay.example 4242 udp"));
        assert!(has(&client, "remote fd00::1 4243 udp"));
        assert!(has(&client, &print(1)) && !has(&client, &print(3)));
        let (party, address) = (&fleet.parties[1], fleet.prefix.party(&fleet.parties[1]));
        let name = name(fleet.prefix, party);
        assert!(client.contains(&format!(
            "<auth-user-pass>\n{name}\nSECRET\n</auth-user-pass>\n"
        )));
        assert!(client.contains(&format!("ifconfig-ipv6 {address}/64 fd")));
        // What the server says of routes and names is not heard.
        assert!(has(&client, "pull-filter ignore \"\""));
        assert!(!client.contains("KEY\n"), "nobody asks for it");
        assert!(files(&fleet, 1).is_empty());
    }

    #[test]
    fn the_server_knows_whose_secret_gives_which_address() {
        let fleet = fleet("relay.example:4242");
        let server = config(&fleet, 0);
        assert!(has(&server, "port 4242") && has(&server, "proto udp6"));
        assert!(has(&server, "KEY") && has(&server, "CERTIFICATE"));
        assert!(!server.contains("SECRET"), "it shows it to nobody");
        let known = files(&fleet, 0);
        let address = fleet.prefix.party(&fleet.parties[1]);
        assert_eq!(known[0].name, name(fleet.prefix, &fleet.parties[1]));
        let digest = Digest::from_bytes([102; 32]).hex();
        assert_eq!(
            known[0].text,
            format!("# {digest}\nifconfig-ipv6-push {address}/64 {address}\n")
        );
        assert_eq!(known.len(), 2, "not itself");
    }

    #[test]
    fn whoever_comes_interrupts_nobody_and_whoever_was_revoked_is_thrown_out() {
        let mut fleet = fleet("relay.example:4242");
        let before = config(&fleet, 0);
        assert!(fleet.roster.take_in(fleet.parties[1], &key(9)));
        assert_eq!(config(&fleet, 0), before);
        fleet.roster.revoke(&fleet.parties[2]);
        assert_ne!(config(&fleet, 0), before);
        assert_eq!(files(&fleet, 0).len(), 1);
    }

    #[test]
    fn port_443_is_reached_by_tcp_without_waiting_for_more() {
        let fleet = fleet("relay.example:443");
        let (server, client) = (config(&fleet, 0), config(&fleet, 1));
        assert!(has(&server, "proto tcp6-server") && has(&server, "tcp-nodelay"));
        assert!(has(&client, "remote relay.example 443 tcp-client"));
        assert!(has(&client, "socket-flags TCP_NODELAY"));
        assert!(!server.contains("exit-notify") && !client.contains("exit-notify"));
    }

    #[test]
    fn a_key_that_is_none_keeps_nobody_else_out() {
        let mut fleet = fleet("relay.example:4242");
        assert!(fleet.roster.take_in(fleet.parties[1], "AAAA"));
        assert_eq!(files(&fleet, 0).len(), 1);
        // Of a server with such a key nothing is accepted.
        assert!(fleet.roster.take_in(fleet.parties[0], "BBBB"));
        assert!(has(&config(&fleet, 2), &print(0)));
    }
}
