//! DSSE envelopes: the only way a document enters E3.
//!
//! Follows the DSSE protocol 1.0.2 (secure-systems-lab/dsse `protocol.md` and `envelope.md`): what is
//! signed is the pre-authentication encoding (PAE) of payload type and bytes *as carried*. Nothing is
//! canonicalised or serialised again, and a payload comes out only through [`Envelope::verify`].
//! Which keys count, and how many, is the caller's business: see [`crate::trust`].

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::document::{Document, DocumentError};
use crate::key::{PublicKey, SecretKey};
use crate::limits;
use crate::text::{DETAIL, clean};

/// A signed document as it travels: bytes, their type, and signatures over both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    payload_type: String,
    payload: Vec<u8>,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    /// A hint (rule 1): it may speed up the search for the key and decides nothing.
    hint: String,
    bytes: [u8; 64],
}

/// A document that enough keys have signed. There is no other way to make one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Verified<T> {
    /// What was signed.
    pub document: T,
    /// The digest of the payload bytes: what other documents call it by.
    pub digest: Digest,
    /// The accepted keys that signed it.
    pub signers: BTreeSet<PublicKey>,
}

/// Why an envelope is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Rule 3.
    #[error("it has {size} bytes and may have {limit}")]
    TooLarge {
        /// Bytes offered.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not the JSON of a DSSE envelope, or cut off.
    #[error("it is not a signed envelope: {0}")]
    Malformed(String),
    /// Rule 2.
    #[error("it holds a document of type `{found}`, expected `{expected}`")]
    WrongType {
        /// The type that was asked for.
        expected: String,
        /// The type that the envelope names.
        found: String,
    },
    /// Rule 1.
    #[error("{valid} of the accepted keys signed it, {threshold} must")]
    Threshold {
        /// Accepted keys with a valid signature.
        valid: usize,
        /// Keys needed.
        threshold: usize,
    },
    /// Properly signed, but not a sensible document.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

/// The JSON form. Unknown fields are ignored, as DSSE asks of consumers: nothing in them is signed.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wire {
    /// `application/vnd.e3.<kind>.v1+json`.
    payload_type: String,
    /// The document, base64.
    payload: String,
    /// Signatures over type and payload as DSSE encodes them together (PAE).
    signatures: Vec<WireSignature>,
}

/// One signature.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
pub(crate) struct WireSignature {
    /// A hint whose key it may be; it decides nothing.
    #[serde(default)]
    keyid: String,
    /// Ed25519, 64 bytes, base64.
    sig: String,
}

/// DSSE's pre-authentication encoding: lengths make it unambiguous.
fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    );
    [head.as_bytes(), payload].concat()
}

/// DSSE allows both alphabets to consumers; producers write the standard one.
fn decode(text: &str) -> Result<Vec<u8>, EnvelopeError> {
    let bytes = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text));
    bytes.map_err(|_| EnvelopeError::Malformed("bad base64".to_owned()))
}

impl Envelope {
    /// Puts `document` into an envelope signed by `keys`.
    pub fn sign<T: Document>(document: &T, keys: &[&SecretKey]) -> Result<Self, DocumentError> {
        document.check()?;
        let payload =
            serde_json::to_vec(document).map_err(|e| DocumentError::Json(e.to_string()))?;
        let mut envelope = Self {
            payload_type: T::payload_type(),
            payload,
            signatures: Vec::new(),
        };
        for key in keys {
            envelope.add_signature(key);
        }
        Ok(envelope)
    }

    /// Adds one more signature over the same bytes; signing twice with one key changes nothing.
    pub fn add_signature(&mut self, key: &SecretKey) {
        let bytes = key.sign(&pae(&self.payload_type, &self.payload));
        let signature = Signature {
            hint: key.public().to_string(),
            bytes,
        };
        if !self.signatures.contains(&signature) {
            self.signatures.push(signature);
        }
    }

    /// Takes over the signatures of another copy of the same envelope, in any order.
    ///
    /// Returns false, and changes nothing, if the other one holds other bytes.
    pub fn merge(&mut self, other: &Self) -> bool {
        if (&self.payload_type, &self.payload) != (&other.payload_type, &other.payload) {
            return false;
        }
        for signature in &other.signatures {
            if !self.signatures.contains(signature) {
                self.signatures.push(signature.clone());
            }
        }
        true
    }

    /// Reads an envelope of at most `limit` bytes (rule 3: the length is checked before any parsing).
    pub fn parse(bytes: &[u8], limit: usize) -> Result<Self, EnvelopeError> {
        if bytes.len() > limit {
            return Err(EnvelopeError::TooLarge {
                size: bytes.len(),
                limit,
            });
        }
        let wire: Wire = serde_json::from_slice(bytes)
            .map_err(|e| EnvelopeError::Malformed(clean(&e.to_string(), DETAIL)))?;
        if wire.signatures.len() > limits::SIGNATURES {
            return Err(EnvelopeError::Malformed(format!(
                "more than {} signatures",
                limits::SIGNATURES
            )));
        }
        let signatures = wire.signatures.iter().map(|s| {
            let bytes = decode(&s.sig)?.try_into();
            let bytes = bytes
                .map_err(|_| EnvelopeError::Malformed("a signature has 64 bytes".to_owned()))?;
            Ok(Signature {
                hint: s.keyid.clone(),
                bytes,
            })
        });
        Ok(Self {
            payload_type: wire.payload_type,
            payload: decode(&wire.payload)?,
            signatures: signatures.collect::<Result<_, EnvelopeError>>()?,
        })
    }

    /// The JSON form, on one line.
    pub fn to_bytes(&self) -> Vec<u8> {
        let wire = Wire {
            payload_type: self.payload_type.clone(),
            payload: STANDARD.encode(&self.payload),
            signatures: self
                .signatures
                .iter()
                .map(|s| WireSignature {
                    keyid: s.hint.clone(),
                    sig: STANDARD.encode(s.bytes),
                })
                .collect(),
        };
        serde_json::to_vec(&wire).expect("strings always serialise")
    }

    /// Which of `keys` have signed this envelope, each counted once however often it signed (rule 1).
    pub fn signers<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a PublicKey>,
    ) -> BTreeSet<PublicKey> {
        let message = pae(&self.payload_type, &self.payload);
        let by = |key: &PublicKey| {
            let text = key.to_string();
            // Signatures that claim this key are tried first; the others are tried all the same.
            let (claimed, rest): (Vec<_>, Vec<_>) =
                self.signatures.iter().partition(|s| s.hint == text);
            claimed
                .iter()
                .chain(&rest)
                .any(|s| key.verify(&message, &s.bytes))
        };
        let unique: BTreeSet<&PublicKey> = keys.into_iter().collect();
        unique.into_iter().filter(|key| by(key)).copied().collect()
    }

    /// Opens the envelope: a document of type `T` that at least `threshold` different ones of `keys`
    /// have signed. A threshold of zero is never reached.
    pub fn verify<'a, T: Document>(
        &self,
        keys: impl IntoIterator<Item = &'a PublicKey>,
        threshold: usize,
    ) -> Result<Verified<T>, EnvelopeError> {
        self.expect_type::<T>()?;
        let signers = self.signers(keys);
        if threshold == 0 || signers.len() < threshold {
            return Err(EnvelopeError::Threshold {
                valid: signers.len(),
                threshold,
            });
        }
        Ok(Verified {
            document: self.decode()?,
            digest: self.digest(),
            signers,
        })
    }

    /// The digest of the payload bytes.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.payload)
    }

    /// The payload for showing it to a person who is about to sign it. Nothing may be decided by it.
    pub fn unverified<T: Document>(&self) -> Result<T, EnvelopeError> {
        self.expect_type::<T>()?;
        Ok(self.decode()?)
    }

    /// How many signatures the envelope carries, valid or not.
    pub fn signature_count(&self) -> usize {
        self.signatures.len()
    }

    /// Rule 2: a type that was not asked for is refused.
    fn expect_type<T: Document>(&self) -> Result<(), EnvelopeError> {
        let expected = T::payload_type();
        if self.payload_type == expected {
            return Ok(());
        }
        let found = clean(&self.payload_type, 80);
        Err(EnvelopeError::WrongType { expected, found })
    }

    fn decode<T: Document>(&self) -> Result<T, DocumentError> {
        let document: T = serde_json::from_slice(&self.payload)
            .map_err(|e| DocumentError::Json(clean(&e.to_string(), DETAIL)))?;
        document.check()?;
        Ok(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pae_matches_the_vector_of_the_dsse_specification() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }
}
