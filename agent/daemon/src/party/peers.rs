//! Where the other parties are, for a program that may reach them and nobody else.

use std::net::{IpAddr, Ipv4Addr};

use e3_core::session::Reason;
use e3_core::session::barrier::host_and_port;

use super::Around;
use crate::gate::talk::Go;

/// Where clouds tell a machine about itself.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// The addresses of all parties but this one. A name becomes the address that it stands for now: a program that may
/// reach nobody else cannot ask who that is.
pub(super) async fn resolve(go: &mut Go, around: &Around) -> Result<Vec<IpAddr>, Reason> {
    let may_be = |address: &IpAddr| {
        may_be_another_machine(*address) || around.local.contains(&address.to_canonical())
    };
    let seen = around.seen.iter().copied();
    let mut peers: Vec<IpAddr> = seen.filter(may_be).collect();
    for (place, endpoint) in go.parties.iter_mut().enumerate() {
        if place == go.index {
            continue;
        }
        let claimed = endpoint.clone();
        let unknown = |detail: &str| Reason::Supervisor {
            detail: format!("party {place} is at {claimed}, but {detail}"),
        };
        let (host, port) = host_and_port(endpoint).ok_or_else(|| unknown("that is no address"))?;
        let address = if let Ok(address) = host.parse() {
            address
        } else {
            let found = tokio::net::lookup_host((host, port)).await;
            let found = found.map_err(|error| unknown(&format!("that is not found: {error}")))?;
            let first = { found }.next();
            let address = first.ok_or_else(|| unknown("that is nowhere"))?;
            // With the zone of an address that is this network's own.
            *endpoint = match address {
                std::net::SocketAddr::V6(v6) if v6.scope_id() != 0 => {
                    format!("{}%{}:{port}", v6.ip(), v6.scope_id())
                }
                _ => format!("{}:{port}", address.ip()),
            };
            address.ip()
        };
        if !may_be(&address) {
            return Err(unknown("no other machine is there"));
        }
        peers.push(address);
    }
    peers.sort_unstable();
    peers.dedup();
    Ok(peers)
}

/// Whether a party can be there. Each says by itself where it is, and the program may then talk to that address: it must
/// not be one at which this machine's own services answer, or everybody at once, or a cloud's metadata service, which
/// tells secrets to whoever asks from here.
fn may_be_another_machine(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let is_own = address.is_loopback() || address.is_unspecified();
    let is_for_all = address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST);
    !is_own && !is_for_all && address != IpAddr::V4(METADATA)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn go(parties: &[&str]) -> Go {
        Go {
            index: 0,
            parties: parties.iter().map(|party| (*party).to_owned()).collect(),
            ssl: false,
            authorities: None,
        }
    }

    #[tokio::test]
    async fn everybody_but_this_party_is_found_once() {
        let mut some = go(&[
            "10.0.0.1:7000",
            "10.0.0.3:7001",
            "10.0.0.2:7002",
            "10.0.0.2:7003",
            "fd00::2:7004",
        ]);
        let peers = resolve(&mut some, &Around::default()).await.unwrap();
        let texts: Vec<String> = peers.iter().map(IpAddr::to_string).collect();
        assert_eq!(texts[texts.len() - 1], "fd00::2");
        assert!(texts.contains(&"10.0.0.2".to_owned()) && texts.contains(&"10.0.0.3".to_owned()));
        assert!(!texts.contains(&"10.0.0.1".to_owned()));
        assert_eq!(peers.len(), 3);
    }

    #[tokio::test]
    async fn a_party_cannot_be_where_this_machine_or_nobody_is() {
        for place in [
            "127.0.0.1:22",
            "::1:22",
            "::ffff:127.0.0.1:22",
            "localhost:22",
            "0.0.0.0:22",
            ":::22",
            "224.0.0.251:5353",
            "255.255.255.255:9",
            "169.254.169.254:80",
        ] {
            let reason = resolve(&mut go(&["10.0.0.1:7000", place]), &Around::default()).await;
            let reason = reason.unwrap_err().to_string();
            let expected = format!("party 1 is at {place}, but no other machine is there");
            assert!(reason.contains(&expected), "{reason}");
        }
        // A name became the address that it stands for, before it was judged.
        let mut named = go(&["10.0.0.1:7000", "localhost:22"]);
        resolve(&mut named, &Around::default()).await.unwrap_err();
        let (host, _) = host_and_port(&named.parties[1]).unwrap();
        assert!(host.parse::<IpAddr>().unwrap().is_loopback());
        let mut plain = go(&["10.0.0.1:7000", "169.254.7.7:7000", "fe80::1:7000"]);
        let peers = resolve(&mut plain, &Around::default()).await.unwrap();
        assert_eq!(peers.len(), 2);
    }

    #[tokio::test]
    async fn of_this_machines_own_addresses_only_those_that_stand_for_a_party_are_in_reach() {
        let [party, service] = ["127.128.7.9", "127.0.0.1"].map(|text| text.parse().unwrap());
        let around = Around {
            seen: vec![service, party],
            local: vec![party],
        };
        let mut good = go(&["127.128.7.7:7000", "127.128.7.9:7000"]);
        assert_eq!(resolve(&mut good, &around).await.unwrap(), [party]);
        let mut bad = go(&["127.128.7.7:7000", "127.128.7.8:7000"]);
        resolve(&mut bad, &around).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_party_that_is_nowhere_is_named() {
        let mut some = go(&["10.0.0.1:7000", "nowhere.invalid:7001"]);
        let reason = resolve(&mut some, &Around::default()).await;
        let reason = reason.unwrap_err().to_string();
        assert!(
            reason.contains("party 1 is at nowhere.invalid:7001"),
            "{reason}"
        );
    }
}
