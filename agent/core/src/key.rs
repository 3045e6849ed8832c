//! Ed25519 keys, and `did:key` as their text form.
//!
//! A public key is written as `did:key:z…` (the did:key method, multicodec 0xed01, base58btc), and
//! read back only if it is canonical and not of small order. A secret key lives in a PKCS#8 PEM file
//! that standard tools can read; this module neither opens files nor draws random numbers.

mod words;

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, spki::der::pem::LineEnding};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A public Ed25519 key; its text form is a `did:key`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(VerifyingKey);

const METHOD: &str = "did:key:z";
/// Multicodec `ed25519-pub`, as an unsigned varint.
const MULTICODEC: [u8; 2] = [0xed, 0x01];

/// Why something is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not of the form `did:key:z…`.
    #[error("`{0}` is not a public key; a key is written as did:key:z6Mk…")]
    NotDid(String),
    /// The text decodes to something else than one canonical Ed25519 key.
    #[error("`{0}` is not an Ed25519 key")]
    NotEd25519(String),
    /// A key of small order: signatures under it prove nothing.
    #[error("`{0}` is a weak key that anybody can sign for")]
    Weak(String),
    /// Not a PKCS#8 PEM file with an Ed25519 key.
    #[error(
        "this is not a secret key; it should be a PEM file that starts with -----BEGIN PRIVATE KEY-----"
    )]
    NotSecret,
}

impl PublicKey {
    /// Reads the 32 bytes of a key, refusing weak ones.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let text = || bs58::encode(bytes).into_string();
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotEd25519(text()))?;
        if key.is_weak() {
            Err(KeyError::Weak(text()))
        } else {
            Ok(Self(key))
        }
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Whether `signature` over `message` is this key's, by the strict rules: no malleability, no
    /// small-order components.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0
            .verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature))
            .is_ok()
    }

    /// The last eight characters, for people; never for deciding.
    pub fn short(&self) -> String {
        let text = self.to_string();
        text[text.len() - 8..].to_owned()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 34];
        bytes[..2].copy_from_slice(&MULTICODEC);
        bytes[2..].copy_from_slice(self.as_bytes());
        write!(f, "{METHOD}{}", bs58::encode(bytes).into_string())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        // Rule 3: base58 decoding takes quadratic time, so the length is looked at first.
        let shown = || crate::text::clean(text, 80);
        let body = text
            .strip_prefix(METHOD)
            .ok_or_else(|| KeyError::NotDid(shown()))?;
        if body.len() > 64 {
            return Err(KeyError::NotDid(shown()));
        }
        let bytes = bs58::decode(body)
            .into_vec()
            .map_err(|_| KeyError::NotDid(shown()))?;
        let key: &[u8; 32] = bytes
            .strip_prefix(&MULTICODEC)
            .and_then(|key| key.try_into().ok())
            .ok_or_else(|| KeyError::NotEd25519(shown()))?;
        // One key, one text: base58 has one spelling for bytes that do not start with zeros, and these start with 0xed.
        Self::from_bytes(key).map_err(|error| match error {
            KeyError::Weak(_) => KeyError::Weak(shown()),
            _ => KeyError::NotEd25519(shown()),
        })
    }
}

impl TryFrom<String> for PublicKey {
    type Error = KeyError;
    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

crate::text_schema!(
    PublicKey,
    "PublicKey",
    "^did:key:z[1-9A-HJ-NP-Za-km-z]{46,50}$",
    "an Ed25519 key as did:key"
);

/// A secret Ed25519 key. It is wiped from memory when dropped, and prints only its public half.
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// Makes a key from 32 random bytes, which the caller draws.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed, for tokens that carry a one-time key.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// The key as a PKCS#8 PEM text.
    pub fn to_pem(&self) -> Zeroizing<String> {
        self.0
            .to_pkcs8_pem(LineEnding::LF)
            .expect("an Ed25519 key always encodes")
    }

    /// Reads a PKCS#8 PEM text.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        SigningKey::from_pkcs8_pem(text)
            .map(Self)
            .map_err(|_| KeyError::NotSecret)
    }

    /// The key as PKCS#8 DER, which TLS libraries take.
    pub fn to_der(&self) -> Zeroizing<Vec<u8>> {
        let document = self
            .0
            .to_pkcs8_der()
            .expect("an Ed25519 key always encodes");
        Zeroizing::new(document.as_bytes().to_vec())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.public())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn did_key_matches_the_published_vector() {
        // W3C CCG did:key test vectors, ed25519-x25519.json, seed of 32 zero bytes.
        let key = SecretKey::from_seed(&[0; 32]).public();
        assert_eq!(
            key.to_string(),
            "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"
        );
        assert_eq!(key.to_string().parse(), Ok(key));
    }

    #[test]
    fn other_keys_and_other_texts_are_refused() {
        let did = SecretKey::from_seed(&[7; 32]).public().to_string();
        for bad in [
            "",
            "did:key:z",
            &did[8..],
            &did.to_uppercase(),
            &format!("{did}1"),
            &format!("did:key:z{}", "1".repeat(400)),
        ] {
            assert!(bad.parse::<PublicKey>().is_err(), "{bad}");
        }
        // A second spelling could be counted as a second key: no other character in any place reads as the same key.
        let key: PublicKey = did.parse().unwrap();
        for place in METHOD.len()..=did.len() {
            for other in '\0'..='\u{ff}' {
                let mut changed: Vec<char> = did.chars().collect();
                changed.insert(place, other);
                assert_ne!(changed.iter().collect::<String>().parse(), Ok(key));
                changed.remove(place);
                if let Some(char) = changed.get_mut(place).filter(|char| **char != other) {
                    *char = other;
                    assert_ne!(changed.iter().collect::<String>().parse(), Ok(key));
                }
            }
        }
        // did:key of an X25519 key: the right length, another codec.
        let x25519 = "did:key:z6LSbysY2xFMRpGMhb7tFTLMpeuPRaqaWM1yECx2AtzE3KCc";
        assert!(matches!(
            x25519.parse::<PublicKey>(),
            Err(KeyError::NotEd25519(_))
        ));
        // The identity point has small order.
        let mut weak = [0; 32];
        weak[0] = 1;
        assert!(matches!(
            PublicKey::from_bytes(&weak),
            Err(KeyError::Weak(_))
        ));
    }

    #[test]
    fn secret_keys_round_trip_and_do_not_print() {
        let key = SecretKey::from_seed(&[3; 32]);
        let again = SecretKey::from_pem(&key.to_pem()).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(format!("{key:?}"), format!("SecretKey({})", key.public()));
        assert!(SecretKey::from_pem("nonsense").is_err());
        assert!(key.public().verify(b"m", &key.sign(b"m")));
        assert!(!key.public().verify(b"n", &key.sign(b"m")));
    }
}
