//! Keys of a mesh of onion services: what a party is called there, and what lets the others find it.
//!
//! A party is an onion service (Tor, version 3). The service's Ed25519 key is its address; an X25519 key of its own is what the
//! other parties' services let it in by (client authorisation). Both are made from one seed, and both are named together,
//! so that nobody is a member with half of it.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curve25519_dalek::MontgomeryPoint;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::link::Id;
use crate::digest::Hasher;
use crate::key::SecretKey;

/// Bytes of both public keys.
const BOTH: usize = 64;

/// The public half of a key for client authorisation: 32 bytes of X25519, in base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientKey([u8; 32]);

/// What a member is called: 64 bytes in base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnionKey {
    /// The key of its onion service.
    pub service: Id,
    /// The key by which other services let it in.
    pub client: ClientKey,
}

/// Why a text names no such keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not base64 of the two public keys of an onion service")]
pub struct OnionKeyError;

/// The secret half of a [`ClientKey`].
pub struct ClientSecret(Zeroizing<[u8; 32]>);

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(…)")
    }
}

impl ClientSecret {
    /// The one that belongs to the onion service with this key.
    pub fn of(service: &SecretKey) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(b"e3 onion client");
        hasher.update(&[0]);
        hasher.update(&*service.seed());
        Self(Zeroizing::new(*hasher.finish().as_bytes()))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public half.
    pub fn public(&self) -> ClientKey {
        ClientKey(MontgomeryPoint::mul_base_clamped(*self.0).to_bytes())
    }

    /// What this party shows to another one, `to`, so that it knows who comes: an onion service is told who may come, not who
    /// does. Nobody else can make it, and it is of no use with anybody else. Nothing for a key that is none.
    pub fn shown_to(&self, own: &Id, to: &OnionKey) -> Option<Zeroizing<[u8; 32]>> {
        self.between(&to.client, own, &to.service)
    }

    /// What another party, `from`, shows to this one.
    pub fn shown_by(&self, own: &Id, from: &OnionKey) -> Option<Zeroizing<[u8; 32]>> {
        self.between(&from.client, &from.service, own)
    }

    fn between(&self, other: &ClientKey, from: &Id, to: &Id) -> Option<Zeroizing<[u8; 32]>> {
        let both = MontgomeryPoint(other.0).mul_clamped(*self.0);
        let both = Zeroizing::new(both.to_bytes());
        if *both == [0; 32] {
            // A point of small order, with which everybody has the same in common.
            return None;
        }
        let mut hasher = Hasher::default();
        hasher.update(b"e3 onion caller");
        hasher.update(&[0]);
        hasher.update(from.as_bytes());
        hasher.update(to.as_bytes());
        hasher.update(&*both);
        Some(Zeroizing::new(*hasher.finish().as_bytes()))
    }
}

impl OnionKey {
    /// Both public keys of the party that has this one.
    pub fn of(service: &SecretKey) -> Self {
        Self {
            service: service.public().into(),
            client: ClientSecret::of(service).public(),
        }
    }
}

impl fmt::Display for OnionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let both = [*self.service.as_bytes(), self.client.0].concat();
        f.write_str(&STANDARD.encode(both))
    }
}

impl FromStr for OnionKey {
    type Err = OnionKeyError;
    fn from_str(text: &str) -> Result<Self, OnionKeyError> {
        let mut both = [0; BOTH];
        if STANDARD.decode_slice(text, &mut both) != Ok(BOTH) {
            return Err(OnionKeyError);
        }
        let (mut service, mut client) = ([0; 32], [0; 32]);
        service.copy_from_slice(&both[..32]);
        client.copy_from_slice(&both[32..]);
        Ok(Self {
            service: Id::from_bytes(&service).map_err(|_| OnionKeyError)?,
            client: ClientKey::from_bytes(client)?,
        })
    }
}

impl ClientKey {
    fn from_bytes(bytes: [u8; 32]) -> Result<Self, OnionKeyError> {
        // Two texts for one key would be two members.
        let is_canonical = bytes[31] < 0x80;
        is_canonical.then_some(Self(bytes)).ok_or(OnionKeyError)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl TryFrom<String> for ClientKey {
    type Error = OnionKeyError;
    fn try_from(text: String) -> Result<Self, OnionKeyError> {
        let mut bytes = [0; 32];
        match STANDARD.decode_slice(text, &mut bytes) {
            Ok(32) => Self::from_bytes(bytes),
            _ => Err(OnionKeyError),
        }
    }
}

impl From<ClientKey> for String {
    fn from(key: ClientKey) -> Self {
        STANDARD.encode(key.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(seed: u8) -> SecretKey {
        SecretKey::from_seed(&[seed; 32])
    }

    #[test]
    fn both_keys_are_one_text_and_only_one() {
        let key = OnionKey::of(&secret(1));
        let text = key.to_string();
        assert_eq!((text.len(), text.parse()), (88, Ok(key)));
        let bytes = STANDARD.decode(&text).unwrap();
        let with = |place: usize, byte: u8| {
            let mut bytes = bytes.clone();
            bytes[place] = byte;
            STANDARD.encode(bytes)
        };
        let weak = STANDARD.encode([&[1], &[0; 31][..], &bytes[32..]].concat());
        for bad in [
            String::new(),
            STANDARD.encode(&bytes[..63]),
            STANDARD.encode([&bytes[..], &[0]].concat()),
            text.replace('=', ""),
            format!("{text}\n"),
            // Neither the other spelling of a key nor one that anybody can sign for.
            with(63, bytes[63] | 0x80),
            weak,
        ] {
            assert_eq!(bad.parse::<OnionKey>(), Err(OnionKeyError), "{bad}");
        }
    }

    #[test]
    fn the_two_keys_of_a_party_have_nothing_in_common() {
        let secret = secret(1);
        let client = ClientSecret::of(&secret);
        assert_ne!(client.as_bytes(), &*secret.seed());
        assert_ne!(
            client.public().as_bytes(),
            OnionKey::of(&secret).service.as_bytes()
        );
    }

    #[test]
    fn what_a_party_shows_is_known_by_the_other_one_and_by_nobody_else() {
        let [alice, bob, carol] = [1, 2, 3].map(secret);
        let [a, b, c] = [&alice, &bob, &carol].map(OnionKey::of);
        let of = ClientSecret::of;
        let shown = of(&alice).shown_to(&a.service, &b).unwrap();
        assert_eq!(shown, of(&bob).shown_by(&b.service, &a).unwrap());
        // Not the other way round, and with nobody else.
        for other in [
            of(&bob).shown_to(&b.service, &a),
            of(&alice).shown_to(&a.service, &c),
            of(&carol).shown_by(&c.service, &a),
            of(&carol).shown_to(&a.service, &b),
        ] {
            assert_ne!(Some(&shown), other.as_ref());
        }
    }

    #[test]
    fn with_a_key_of_small_order_nobody_has_anything_in_common() {
        for low in [[0; 32], {
            let mut one = [0; 32];
            one[0] = 1;
            one
        }] {
            let bad = OnionKey {
                client: ClientKey(low),
                ..OnionKey::of(&secret(2))
            };
            let own = OnionKey::of(&secret(1)).service;
            assert!(ClientSecret::of(&secret(1)).shown_to(&own, &bad).is_none());
        }
    }
}
