//! What Tailscale's daemon says of itself, made into what the fleet is told.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e3_core::mesh::NotJoined;
use e3_core::time::Time;
use serde::Deserialize;

/// What its words about a login that failed begin with.
const LOGIN_ERROR: &str = "last login error was: ";

/// As much of the daemon's status as is looked at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Status {
    backend_state: String,
    #[serde(default)]
    have_node_key: bool,
    #[serde(rename = "Self", default)]
    own: Option<Machine>,
    #[serde(default)]
    health: Option<Vec<String>>,
    #[serde(default)]
    peer: Option<HashMap<String, Machine>>,
}

/// A machine of the network.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Machine {
    #[serde(default)]
    public_key: String,
    #[serde(rename = "TailscaleIPs", default)]
    addresses: Option<Vec<IpAddr>>,
    #[serde(default)]
    key_expiry: Option<String>,
    /// The relay that it is reached by: nothing if none is.
    #[serde(default)]
    relay: String,
    /// Where it is reached straight, if it is.
    #[serde(default)]
    cur_addr: String,
}

/// Where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has no key of its own, so it needs one to be let in.
    NeedsKey,
    /// It has one that the control server does not accept, or not yet.
    Refused(NotJoined),
    /// It is on its way; the last error on it, if there was one.
    Starting(Option<String>),
    /// It is in.
    In {
        /// Its address.
        address: Ipv4Addr,
        /// Its public key, in base64.
        key: String,
    },
}

impl Status {
    pub(super) fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// Where it stands, at this time.
    pub(super) fn standing(&self) -> Standing {
        let own = self.own.as_ref();
        match self.backend_state.as_str() {
            // A key that it was given and that nobody has accepted yet does not count as its own.
            "NeedsLogin" if !self.have_node_key => Standing::NeedsKey,
            // It is not given another one: that would log out a machine that is only to be accepted again.
            "NeedsLogin" => {
                let since = own.and_then(|own| own.key_expiry.as_deref()?.parse::<Time>().ok());
                Standing::Refused(NotJoined::KeyExpired { since })
            }
            "NeedsMachineAuth" => Standing::Refused(NotJoined::NeedsApproval),
            "Running" => match own.and_then(|own| Some((own.address()?, own.key()?))) {
                Some((address, key)) => Standing::In { address, key },
                None => Standing::Starting(self.login_error()),
            },
            _ => Standing::Starting(self.login_error()),
        }
    }

    /// Why it could not log in last.
    pub(super) fn login_error(&self) -> Option<String> {
        let said = self.health.iter().flatten();
        let mut errors = said.filter_map(|line| Some(line.split_once(LOGIN_ERROR)?.1.to_owned()));
        errors.next()
    }

    /// Whether a relay of the network is reached.
    pub(super) fn has_relay(&self) -> bool {
        self.own.as_ref().is_some_and(|own| !own.relay.is_empty())
    }

    /// The addresses of the others that the control server tells of, by their public keys in base64. Those of whom nobody knows
    /// yet where they are are left out: the first packet to them would be lost, and the next one goes seconds later.
    pub(super) fn others(&self) -> HashMap<String, Ipv4Addr> {
        let others = self.peer.iter().flat_map(HashMap::values);
        others
            .filter(|other| !other.relay.is_empty() || !other.cur_addr.is_empty())
            .filter_map(|other| Some((other.key()?, other.address()?)))
            .collect()
    }

    /// The keys of those to whom packets go straight.
    pub(super) fn direct(&self) -> HashSet<String> {
        let others = self.peer.iter().flat_map(HashMap::values);
        let direct = others.filter(|other| !other.cur_addr.is_empty());
        direct.filter_map(Machine::key).collect()
    }
}

impl Machine {
    /// The IPv4 one: machines whose kernels have no IPv6 have no other, and each has it.
    fn address(&self) -> Option<Ipv4Addr> {
        let mut addresses = self.addresses.iter().flatten();
        addresses.find_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        })
    }

    fn key(&self) -> Option<String> {
        let digits = self.public_key.strip_prefix("nodekey:")?;
        if digits.len() != 64 {
            return None;
        }
        let bytes: Option<Vec<u8>> = (0..64)
            .step_by(2)
            .map(|place| u8::from_str_radix(digits.get(place..place + 2)?, 16).ok())
            .collect();
        let bytes = bytes.filter(|bytes| bytes.iter().any(|byte| *byte != 0))?;
        Some(STANDARD.encode(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const OWN: &str = "nodekey:594afadd047c5f71697b244dcff8a492ad351752ceee7fbe74ec5e9c6cff0e3b";
    const ZERO: &str = "nodekey:0000000000000000000000000000000000000000000000000000000000000000";

    /// As tailscaled 1.102 says it, shortened.
    fn status(change: impl FnOnce(&mut Value)) -> Status {
        let mut status = json!({
            "Version": "1.102.3", "TUN": true, "BackendState": "Running", "HaveNodeKey": true, "AuthURL": "",
            "TailscaleIPs": ["100.64.0.2", "fd7a:115c:a1e0::2"],
            "Self": {
                "ID": "2", "PublicKey": OWN, "HostName": "p1", "TailscaleIPs": ["fd7a:115c:a1e0::2", "100.64.0.2"],
                "Relay": "e3", "Online": true, "Tags": ["tag:e3-demo"],
            },
            "Health": [],
            "Peer": {
                "nodekey:6c4957b354ddfd46bcb260a211c60d809fa1b7fff3fda409c4292a7ab1284a01": {
                    "PublicKey": "nodekey:6c4957b354ddfd46bcb260a211c60d809fa1b7fff3fda409c4292a7ab1284a01",
                    "TailscaleIPs": ["100.64.0.1", "fd7a:115c:a1e0::1"], "Relay": "e3",
                },
            },
        });
        change(&mut status);
        Status::parse(status.to_string().as_bytes()).unwrap()
    }

    fn out(state: &str, have: bool, change: impl FnOnce(&mut Value)) -> Standing {
        let status = status(|status| {
            status["BackendState"] = json!(state);
            status["HaveNodeKey"] = json!(have);
            status["Self"]["PublicKey"] = json!(ZERO);
            status["Self"]["TailscaleIPs"] = Value::Null;
            status["Peer"] = Value::Null;
            change(status);
        });
        status.standing()
    }

    #[test]
    fn a_machine_that_is_in_has_an_address_and_a_key() {
        let status = status(|_| ());
        let Standing::In { address, key } = status.standing() else {
            panic!("{:?}", status.standing());
        };
        assert_eq!(address, Ipv4Addr::new(100, 64, 0, 2));
        assert_eq!(key, "WUr63QR8X3FpeyRNz/ikkq01F1LO7n++dOxenGz/Djs=");
        let others = status.others();
        let other = others.get("bElXs1Td/Ua8smCiEcYNgJ+ht//z/aQJxCkqerEoSgE=");
        assert_eq!(other, Some(&Ipv4Addr::new(100, 64, 0, 1)));
        assert!(status.has_relay());
        let unknown = self::status(|status| {
            let peers = status["Peer"].as_object_mut().unwrap();
            peers
                .values_mut()
                .for_each(|peer| peer["Relay"] = json!(""));
        });
        assert!(unknown.others().is_empty());
    }

    #[test]
    fn a_key_is_asked_for_once_and_never_where_there_was_one() {
        assert_eq!(out("NeedsLogin", false, |_| ()), Standing::NeedsKey);
        let expired = |since| Standing::Refused(NotJoined::KeyExpired { since });
        // While it runs it knows when; after a restart it does not.
        let at = "2026-11-23T00:05:44Z";
        let told = out("NeedsLogin", true, |status| {
            status["Self"]["KeyExpiry"] = json!(at);
        });
        assert_eq!(told, expired(Some(at.parse().unwrap())));
        let told = out("NeedsLogin", true, |status| {
            status["AuthURL"] = json!("https://hs/register/x");
        });
        assert_eq!(told, expired(None));
        let told = out("NeedsMachineAuth", true, |_| ());
        assert_eq!(told, Standing::Refused(NotJoined::NeedsApproval));
    }

    #[test]
    fn a_server_that_is_no_good_is_told_in_its_words() {
        let words = "fetch control key: Get \"https://hs/key\": x509: certificate signed by unknown authority";
        let told = out("NoState", true, |status| {
            status["Health"] = json!([
                "Tailscale is starting. Please wait.",
                format!("You are logged out. The last login error was: {words}"),
            ]);
        });
        assert_eq!(told, Standing::Starting(Some(words.to_owned())));
        assert_eq!(out("Starting", true, |_| ()), Standing::Starting(None));
        // In, it says, but nobody has told it its address yet.
        assert_eq!(out("Running", true, |_| ()), Standing::Starting(None));
    }

    #[test]
    fn what_is_no_status_is_refused() {
        for bad in ["", "{}", "[]", "{\"BackendState\":1}"] {
            assert!(Status::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
