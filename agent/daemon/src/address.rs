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

/// Where this machine is: its addresses, and its ways out.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    addresses: Vec<IpAddr>,
    routes: Vec<String>,
}

impl Place {
    /// As it is now.
    pub fn now() -> Self {
        let mut addresses = addresses();
        addresses.sort_unstable();
        let routes = [
            ("/proc/net/route", DEFAULT_4),
            ("/proc/net/ipv6_route", DEFAULT_6),
        ];
        let routes = routes.into_iter().flat_map(|(path, is_default)| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let found: Vec<String> = text.lines().filter_map(is_default).collect();
            found
        });
        let routes = routes.collect();
        Self { addresses, routes }
    }

    /// Whether there is a way to other networks.
    pub fn has_way_out(&self) -> bool {
        !self.routes.is_empty()
    }
}

/// The device and the gateway of a line about the way out; proc(5), `/proc/net/route`.
const DEFAULT_4: fn(&str) -> Option<String> = |line| {
    let words: Vec<&str> = line.split_whitespace().collect();
    match *words.as_slice() {
        [device, "00000000", gateway, .., "00000000", _, _, _] if !is_mesh(device) => {
            Some(format!("{device} {gateway}"))
        }
        _ => None,
    }
};
/// The same of `/proc/net/ipv6_route`, where a machine without a way out has one that leads nowhere.
const DEFAULT_6: fn(&str) -> Option<String> = |line| {
    let words: Vec<&str> = line.split_whitespace().collect();
    match *words.as_slice() {
        [to, "00", _, _, gateway, .., device] if to.bytes().all(|byte| byte == b'0') => {
            (device != "lo" && !is_mesh(device)).then(|| format!("{device} {gateway}"))
        }
        _ => None,
    }
};

/// Whether it is the device of one of the fleet's meshes.
fn is_mesh(device: &str) -> bool {
    let backend = device.strip_prefix("e3");
    backend.is_some_and(crate::mesh::is_daemon)
}

fn own() -> Vec<String> {
    addresses().iter().map(IpAddr::to_string).collect()
}

/// The addresses of the machine itself, not those that it has in meshes. IPv4 first: it is what most networks carry from end to
/// end.
pub fn addresses() -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = networks().into_iter().map(|(address, _)| address).collect();
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses
}

/// The same, each with the bits of its network.
pub fn networks() -> Vec<(IpAddr, u8)> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    let ip = |storage: nix::sys::socket::SockaddrStorage| {
        let v4 = storage
            .as_sockaddr_in()
            .map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| {
            storage
                .as_sockaddr_in6()
                .map(|address| IpAddr::V6(address.ip()))
        })
    };
    let bits = |mask: IpAddr| match mask {
        IpAddr::V4(mask) => mask.to_bits().leading_ones(),
        IpAddr::V6(mask) => mask.to_bits().leading_ones(),
    };
    interfaces
        .filter(|interface| !is_mesh(&interface.interface_name))
        .filter_map(|interface| {
            let bits = interface.netmask.and_then(ip).map_or(0, bits);
            Some((ip(interface.address?)?, u8::try_from(bits).unwrap_or(0)))
        })
        .filter(|(address, _)| is_public(address))
        .collect()
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

    #[test]
    fn a_way_out_is_told_from_other_routes() {
        let v4 = "eth0\t00000000\t0135A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0";
        assert_eq!(DEFAULT_4(v4).unwrap(), "eth0 0135A8C0");
        assert_eq!(
            DEFAULT_4(&v4.replace("eth0\t00000000", "eth0\t0035A8C0")),
            None
        );
        assert_eq!(
            DEFAULT_4("Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask"),
            None
        );
        let (zero, router) = ("0".repeat(32), "fe80000000000000000000000000cafe");
        let v6 = |device| {
            format!("{zero} 00 {zero} 00 {router} 00000400 00000001 00000000 00000003 {device}")
        };
        assert_eq!(DEFAULT_6(&v6("eth0")).unwrap(), format!("eth0 {router}"));
        assert_eq!(DEFAULT_6(&v6("lo")), None);
        assert_eq!(DEFAULT_6(&v6("e3nebula")), None);
        assert_eq!(DEFAULT_6(&v6("eth0").replacen("00 ", "40 ", 1)), None);
    }
}
