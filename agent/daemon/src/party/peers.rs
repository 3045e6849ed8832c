//! Where the other parties are, for a program that may reach them and nobody else.

use std::net::IpAddr;

use e3_core::session::Reason;
use e3_core::session::barrier::host_and_port;

use crate::gate::talk::Go;

/// The addresses of all parties but this one. A name becomes the address that it stands for now: a program that may
/// reach nobody else cannot ask who that is.
pub(super) async fn resolve(go: &mut Go) -> Result<Vec<IpAddr>, Reason> {
    let mut peers = Vec::new();
    for (place, endpoint) in go.parties.iter_mut().enumerate() {
        if place == go.index {
            continue;
        }
        let unknown = |detail: &str| Reason::Supervisor {
            detail: format!("party {place} is at {endpoint}, but {detail}"),
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
        peers.push(address);
    }
    peers.sort_unstable();
    peers.dedup();
    Ok(peers)
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
    async fn everybody_but_this_party_is_found_once_and_names_become_addresses() {
        let mut some = go(&[
            "10.0.0.1:7000",
            "10.0.0.3:7001",
            "10.0.0.2:7002",
            "10.0.0.2:7003",
            "fd00::2:7004",
            "localhost:7005",
        ]);
        let peers = resolve(&mut some).await.unwrap();
        let texts: Vec<String> = peers.iter().map(IpAddr::to_string).collect();
        assert_eq!(texts[texts.len() - 1], "fd00::2");
        assert!(texts.contains(&"10.0.0.2".to_owned()) && texts.contains(&"10.0.0.3".to_owned()));
        assert!(!texts.contains(&"10.0.0.1".to_owned()));
        let (host, _) = host_and_port(&some.parties[5]).unwrap();
        assert!(host.parse::<IpAddr>().unwrap().is_loopback());
        assert_eq!(peers.len(), 4);
    }

    #[tokio::test]
    async fn a_party_that_is_nowhere_is_named() {
        let mut some = go(&["10.0.0.1:7000", "nowhere.invalid:7001"]);
        let reason = resolve(&mut some).await.unwrap_err().to_string();
        assert!(
            reason.contains("party 1 is at nowhere.invalid:7001"),
            "{reason}"
        );
    }
}
