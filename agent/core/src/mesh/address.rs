//! Addresses in a mesh follow from keys: nobody has to allocate or remember them, and no two parties get the same.
//!
//! A fleet has a /64 of its own for each backend (unique local addresses, RFC 4193), made from the digest of its first root; a
//! party's address in it is made from its identity key. So everybody who knows a manifest knows the addresses in it, and a certificate for a
//! wrong address shows by itself. Two of 2,000 parties share their 64 bits with a probability of 10^-13, and somebody who
//! wants the address of another party needs 2^64 keys; what that would give is packets, not a place in a session.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::digest::{Digest, Hasher};
use crate::key::PublicKey;

/// Bits of a fleet's network.
pub const PREFIX_BITS: u8 = 64;
/// Addresses that may stand for a party on a machine.
const LOCAL: u64 = (1 << 23) - 2;

/// The network of one fleet by one backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix([u8; 8]);

impl Prefix {
    /// The network of the fleet whose first root has this digest. A machine may be in two of them, so each backend has its own.
    pub fn of(first_root: &Digest, backend: &str) -> Self {
        let fleet = [first_root.as_bytes(), backend.as_bytes()].concat();
        let mut prefix = first(b"e3 mesh network", &fleet);
        // RFC 4193: locally assigned, with a random global identifier.
        prefix[0] = 0xfd;
        Self(prefix)
    }

    /// The address of a party.
    pub fn party(&self, party: &PublicKey) -> Ipv6Addr {
        let mut octets = [0; 16];
        octets[..8].copy_from_slice(&self.0);
        octets[8..].copy_from_slice(&first(b"e3 mesh party", party.as_bytes()));
        octets.into()
    }

    /// Whether an address belongs to it.
    pub fn contains(&self, address: &Ipv6Addr) -> bool {
        address.octets()[..8] == self.0
    }

    /// The network as it is written in configurations: `fd…::/64`.
    pub fn network(&self) -> String {
        let mut octets = [0; 16];
        octets[..8].copy_from_slice(&self.0);
        format!("{}/{PREFIX_BITS}", Ipv6Addr::from(octets))
    }
}

/// The address that stands for a party on every machine of its fleet, where connections and not packets are carried: in
/// 127.128.0.0/9, so that it leads nowhere but to the machine's own end of the mesh. Of 64 parties two have the same one with
/// a probability of 0.03 %. A machine may be in two such meshes, so each backend has its own.
pub fn local(party: &PublicKey, backend: &str) -> Ipv4Addr {
    let purpose = match backend {
        "link" => "e3 local address".to_owned(),
        other => format!("e3 local address {other}"),
    };
    let bits = u64::from_be_bytes(first(purpose.as_bytes(), party.as_bytes()));
    // Neither the first nor the last one, which mean a network and everybody in it.
    let host = 1 + u32::try_from(bits % LOCAL).unwrap_or(0);
    Ipv4Addr::from_bits(u32::from_be_bytes([127, 128, 0, 0]) + host)
}

/// The first eight bytes of a digest that is made for this purpose only.
fn first(purpose: &[u8], bytes: &[u8]) -> [u8; 8] {
    let mut hasher = Hasher::default();
    hasher.update(purpose);
    hasher.update(&[0]);
    hasher.update(bytes);
    let digest = hasher.finish();
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_bytes()[..8]);
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SecretKey;

    #[test]
    fn an_address_follows_from_fleet_and_key_and_from_nothing_else() {
        let [a, b] = [b"a", b"b"].map(|root| Prefix::of(&Digest::of(root), "nebula"));
        let [p, q] = [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]).public());
        assert_eq!(
            a.party(&p),
            Prefix::of(&Digest::of(b"a"), "nebula").party(&p)
        );
        assert_ne!(a.party(&p), a.party(&q));
        assert_ne!(a.party(&p), b.party(&p));
        assert_ne!(a, Prefix::of(&Digest::of(b"a"), "wireguard"));
        assert!(a.contains(&a.party(&p)) && !b.contains(&a.party(&p)));
        assert!(a.party(&p).is_unique_local());
        assert!(a.network().starts_with("fd") && a.network().ends_with("::/64"));
    }

    #[test]
    fn addresses_never_change() {
        // Certificates with them are out in the world.
        let prefix = Prefix::of(&Digest::of(b"root"), "nebula");
        let party = SecretKey::from_seed(&[7; 32]).public();
        assert_eq!(
            prefix.party(&party).to_string(),
            "fd94:672f:682a:9649:f93d:ee3d:b973:5ad4"
        );
    }

    #[test]
    fn a_local_address_is_the_machines_own_and_no_service_of_it() {
        let of = |seed, backend| local(&SecretKey::from_seed(&[seed; 32]).public(), backend);
        assert_eq!(of(1, "link"), of(1, "link"));
        let seeds = 0..64;
        let all: std::collections::BTreeSet<_> = seeds
            .flat_map(|seed| [of(seed, "link"), of(seed, "tor")])
            .collect();
        assert_eq!(all.len(), 128);
        for address in all {
            assert!(address.is_loopback() && address.octets()[1] >= 128);
            assert!(address != Ipv4Addr::LOCALHOST);
        }
    }
}
