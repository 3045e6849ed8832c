//! The public half of a transport key.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::key::PublicKey;

/// What a party is called on the built-in mesh: the public half of its transport key, as 64
/// lower-case hexadecimal digits.
///
/// It is written otherwise than an identity, which is a `did:key`, so that nobody can take one for
/// the other: who owns a transport key is said by the identity's signature, not by the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(PublicKey);

/// Why a text is not an [`Id`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a transport key; it is written as 64 lower-case hexadecimal digits")]
pub struct IdError(String);

impl Id {
    /// The key as it is used.
    pub fn key(&self) -> &PublicKey {
        &self.0
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Reads 32 bytes, refusing weak keys.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, IdError> {
        PublicKey::from_bytes(bytes)
            .map(Self)
            .map_err(|_| IdError(Digest::from_bytes(*bytes).hex()))
    }

    /// The first eight digits, for people; never for deciding.
    pub fn short(&self) -> String {
        Digest::from_bytes(*self.as_bytes()).short()
    }
}

impl From<PublicKey> for Id {
    fn from(key: PublicKey) -> Self {
        Self(key)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&Digest::from_bytes(*self.as_bytes()).hex())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Id {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bytes = Digest::from_hex(text)
            .map(|digits| *digits.as_bytes())
            .map_err(|_| IdError(crate::text::clean(text, 80)))?;
        Self::from_bytes(&bytes)
    }
}

impl TryFrom<String> for Id {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SecretKey;

    #[test]
    fn an_id_has_one_spelling_and_is_no_identity() {
        let key = SecretKey::from_seed(&[5; 32]).public();
        let id = Id::from(key);
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in [
            key.to_string(),
            id.to_string().to_uppercase(),
            id.to_string()[..63].to_owned(),
            // The identity point: anybody can sign for it.
            format!("01{}", "0".repeat(62)),
        ] {
            assert!(bad.parse::<Id>().is_err(), "{bad}");
        }
    }
}
