//! The addresses that this agent tells the others.

use std::net::IpAddr;

/// `configured` with the port; or every address of this machine that others may reach.
pub fn advertised(configured: &[String], port: u16) -> Vec<String> {
    let hosts = if configured.is_empty() {
        own()
    } else {
        configured.to_vec()
    };
    hosts.iter().map(|host| with_port(host, port)).collect()
}

fn with_port(host: &str, port: u16) -> String {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]:{port}"),
        _ => format!("{host}:{port}"),
    }
}

fn own() -> Vec<String> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    let address = |interface: nix::ifaddrs::InterfaceAddress| {
        let storage = interface.address?;
        let v4 = storage
            .as_sockaddr_in()
            .map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| {
            storage
                .as_sockaddr_in6()
                .map(|address| IpAddr::V6(address.ip()))
        })
    };
    let mut addresses: Vec<IpAddr> = interfaces.filter_map(address).filter(is_public).collect();
    // IPv4 first: it is what most networks carry from end to end.
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses.iter().map(IpAddr::to_string).collect()
}

fn is_public(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_carry_the_port_in_either_family() {
        let configured = [
            "10.0.0.1".to_owned(),
            "fd99::1".to_owned(),
            "party.example".to_owned(),
        ];
        assert_eq!(
            advertised(&configured, 7332),
            ["10.0.0.1:7332", "[fd99::1]:7332", "party.example:7332"]
        );
    }
}
