//! A short secret for whoever has asked for it, and for nobody in between: X25519 (RFC 7748), HKDF-SHA256 (RFC 5869) and
//! ChaCha20-Poly1305 (RFC 8439), by ring. Both keys are used once and never leave the memory of who made them.
//!
//! Who asks must prove by other means that the public key is his: his request is signed. Who answers is not proved; that is
//! for whatever the secret is good for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::SystemRandom;
use zeroize::Zeroizing;

/// Bytes of a public key.
const PUBLIC: usize = 32;
/// What the keys are for: no other use of them gives the same.
const PURPOSE: &[u8] = b"e3 mesh key v1";

/// A question that is open: its answer can be read once.
pub struct Question {
    private: EphemeralPrivateKey,
    public: Vec<u8>,
}

/// What was sealed cannot be read: it is for another question, or was changed on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed answer is not for this question, or was changed on its way")]
pub struct Unreadable;

impl Question {
    /// A new one.
    pub fn new() -> Self {
        let private = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new());
        // A system without random numbers has no keys at all.
        let private = private.expect("the system has random numbers");
        let public = private.compute_public_key();
        let public = public.expect("a key has a public half").as_ref().to_vec();
        Self { private, public }
    }

    /// The public key that goes with it, in base64.
    pub fn public(&self) -> String {
        STANDARD.encode(&self.public)
    }

    /// Opens the answer. `about` is what both sides know of the question.
    pub fn open(self, answer: &str, about: &[u8]) -> Result<Zeroizing<String>, Unreadable> {
        let mut bytes = Zeroizing::new(STANDARD.decode(answer).map_err(|_| Unreadable)?);
        if bytes.len() < PUBLIC {
            return Err(Unreadable);
        }
        let (theirs, sealed) = bytes.split_at_mut(PUBLIC);
        let key = derive(self.private, theirs, &self.public, theirs)?;
        let text = key.open_in_place(nonce(), Aad::from(about), sealed);
        let text = text.map_err(|_| Unreadable)?;
        let text = std::str::from_utf8(text).map_err(|_| Unreadable)?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}

impl Default for Question {
    fn default() -> Self {
        Self::new()
    }
}

/// Seals `secret` to the public key of a question.
pub fn seal(secret: &str, question: &str, about: &[u8]) -> Result<String, Unreadable> {
    let asked = STANDARD.decode(question).map_err(|_| Unreadable)?;
    let mine = Question::new();
    let public = mine.public;
    let key = derive(mine.private, &asked, &asked, &public)?;
    let mut sealed = Zeroizing::new(secret.as_bytes().to_vec());
    key.seal_in_place_append_tag(nonce(), Aad::from(about), &mut *sealed)
        .map_err(|_| Unreadable)?;
    Ok(STANDARD.encode([&public[..], &sealed[..]].concat()))
}

/// The key of one answer, from both halves and both public keys.
fn derive(
    private: EphemeralPrivateKey,
    peer: &[u8],
    asked: &[u8],
    answered: &[u8],
) -> Result<LessSafeKey, Unreadable> {
    let peer = UnparsedPublicKey::new(&X25519, peer);
    let key = agree_ephemeral(private, &peer, |shared| {
        let secret = Salt::new(HKDF_SHA256, PURPOSE).extract(shared);
        let info = [asked, answered];
        let okm = secret.expand(&info, &CHACHA20_POLY1305);
        okm.map(|okm| LessSafeKey::new(UnboundKey::from(okm)))
    });
    key.map_err(|_| Unreadable)?.map_err(|_| Unreadable)
}

/// Each key seals one thing only.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whoever_has_asked_can_read_the_answer() {
        let [mine, other, again, cut] = std::array::from_fn(|_| Question::new());
        let answer = seal("secret", &mine.public(), b"about").unwrap();
        assert!(!answer.contains("secret"));
        assert_eq!(other.open(&answer, b"about"), Err(Unreadable));
        assert_eq!(*mine.open(&answer, b"about").unwrap(), "secret");
        let answer = seal("secret", &again.public(), b"about").unwrap();
        assert_eq!(again.open(&answer, b"else"), Err(Unreadable));
        assert_eq!(cut.open("AAAA", b"about"), Err(Unreadable));
        for bad in ["", "!", "AAAA", &STANDARD.encode([0; 32])] {
            assert_eq!(seal("secret", bad, b"about"), Err(Unreadable), "{bad}");
        }
    }

    #[test]
    fn a_changed_answer_is_not_read() {
        let question = Question::new();
        let answer = seal("secret", &question.public(), b"about").unwrap();
        let mut bytes = STANDARD.decode(answer).unwrap();
        bytes[40] ^= 1;
        assert_eq!(
            question.open(&STANDARD.encode(bytes), b"about"),
            Err(Unreadable)
        );
    }
}
