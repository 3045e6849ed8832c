//! The mesh of a fleet whose owner has chosen nothing: the built-in one, with a relay beside the hub.
//!
//! Where that relay is follows from the hub's address, so nobody is asked twice: the first head names it, and `e3 hub serve`
//! reads there where to listen. Whoever reaches the hub's port reaches the next one as well, as a rule.

use e3_core::mesh::link::{DISCOVERY_PORT, Link, Relay};
use e3_core::mesh::{Backend, Plan, Roster};
use reqwest::Url;

/// HTTPS, and what is usual where that port is taken.
const HTTPS: u16 = 443;
const OTHER_HTTPS: u16 = 8443;
/// Ports below this one are for the system's own services.
const UNPRIVILEGED: u16 = 1024;

/// What the first head says of it. `authority` signs the relay's certificate.
pub(crate) fn plan(relay: &str, authority: String) -> Plan {
    let relay = Relay {
        url: relay.to_owned(),
        discovery_port: DISCOVERY_PORT,
    };
    Plan {
        anchors: Vec::new(),
        direct: true,
        backend: Backend::Link(Link {
            relays: vec![relay],
            authorities: Some(authority),
            roster: Roster::default(),
        }),
    }
}

/// Where machines find the relay beside this hub, as a URL; nothing if the hub is a folder, which has nobody beside it.
pub(crate) fn relay_of(hub: &str) -> Option<String> {
    let hub: Url = hub.parse().ok()?;
    let host = hub.host_str().filter(|host| !host.is_empty())?;
    let port = match hub.port_or_known_default()? {
        HTTPS => OTHER_HTTPS,
        port if port < UNPRIVILEGED => HTTPS,
        u16::MAX => OTHER_HTTPS,
        port => port + 1,
    };
    Some(if port == HTTPS {
        format!("https://{host}")
    } else {
        format!("https://{host}:{port}")
    })
}

/// Whether nobody but this machine reaches this hub: then there is nobody to meet.
pub(crate) fn is_alone(hub: &str) -> bool {
    let url: Option<Url> = hub.parse().ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    let address: Option<std::net::IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_relay_is_beside_the_hub_and_never_at_its_port() {
        for (hub, relay) in [
            ("http://hub.example:8420", "https://hub.example:8421"),
            ("http://10.53.0.1:8420", "https://10.53.0.1:8421"),
            ("http://[fd00::1]:8420", "https://[fd00::1]:8421"),
            ("https://hub.example", "https://hub.example:8443"),
            ("https://hub.example:8443", "https://hub.example:8444"),
            ("http://hub.example", "https://hub.example"),
            ("https://hub.example:65535", "https://hub.example:8443"),
            ("https://hub.example/path/", "https://hub.example:8443"),
        ] {
            assert_eq!(relay_of(hub).as_deref(), Some(relay), "{hub}");
            let plan = plan(relay, String::new());
            let Backend::Link(link) = plan.backend else {
                panic!("another one")
            };
            link.relays[0].check().unwrap();
        }
        for none in ["file:///srv/hub", "nonsense", ""] {
            assert_eq!(relay_of(none), None, "{none}");
        }
    }

    #[test]
    fn a_hub_that_only_this_machine_reaches_is_known() {
        for alone in [
            "http://127.0.0.1:8420",
            "http://127.1.2.3:1",
            "http://localhost:8420",
            "http://[::1]:8420",
        ] {
            assert!(is_alone(alone), "{alone}");
        }
        for not in ["http://10.0.0.1:8420", "https://hub.example", "file:///srv"] {
            assert!(!is_alone(not), "{not}");
        }
    }
}
