//! What Nebula is told. YAML takes JSON, so no text of anybody can become a setting.

use e3_core::mesh::{Anchor, Nebula, Plan, Prefix};
use serde_json::{Value, json};

use crate::shared::Shared;

/// Where its unit finds its credentials.
const CREDENTIALS: &str = "/run/credentials/e3-mesh-nebula.service";
/// The smallest that IPv6 allows, below what any way leaves of 1,500 bytes.
const MTU: u16 = 1300;

/// The configuration of this machine's daemon.
pub(super) fn render(shared: &Shared, plan: &Plan, nebula: &Nebula) -> String {
    let prefix = Prefix::of(&shared.join.root, "nebula");
    let me = shared.me();
    let anchor = plan.anchor(&me);
    let others = || plan.anchors.iter().filter(|other| other.party != me);
    let addresses: Vec<String> = others()
        .map(|other| prefix.party(&other.party).to_string())
        .collect();
    let endpoints: serde_json::Map<String, Value> = others()
        .map(|other| {
            (
                prefix.party(&other.party).to_string(),
                json!(other.endpoints),
            )
        })
        .collect();
    // An anchor is found by the others and asks nobody.
    let asked = if anchor.is_some() {
        &[][..]
    } else {
        &addresses
    };
    let config = json!({
        "pki": {
            "ca": format!("{CREDENTIALS}/ca.crt"),
            "cert": format!("{CREDENTIALS}/host.crt"),
            "key": format!("{CREDENTIALS}/host.key"),
            "blocklist": nebula.revoked,
            "disconnect_invalid": true,
        },
        "static_host_map": endpoints,
        "lighthouse": {"am_lighthouse": anchor.is_some(), "interval": 10, "hosts": asked},
        "listen": {"host": "::", "port": anchor.and_then(Anchor::port).unwrap_or(0)},
        "punchy": {"punch": true, "respond": true, "delay": "500ms", "respond_delay": "1s"},
        "relay": {"am_relay": anchor.is_some(), "use_relays": true, "relays": asked},
        "tun": {"dev": "e3nebula", "mtu": MTU},
        "logging": {"level": "info", "format": "text"},
        // Who is let through to whom is each machine's own business: its agent knows who is in a session.
        "firewall": {
            "outbound": [{"port": "any", "proto": "any", "host": "any"}],
            "inbound": [
                {"port": "any", "proto": "icmp", "group": "party"},
                {"port": "any", "proto": "tcp", "group": "party"},
            ],
        },
    });
    config.to_string() + "\n"
}
