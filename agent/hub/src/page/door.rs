//! Who is signed in: challenges, codes and cookies.
//!
//! An owner's key signs a challenge of this hub ([`Login`]); for that the hub gives out a code, good once and for a minute, and for
//! the code a cookie, good for an hour. A stranger makes the hub remember nothing: a challenge is a time and a random number under
//! a secret of this process, and only what a key of the fleet has signed takes room, of which each key has a share. What is given
//! out is kept as hashes. All of it is forgotten with the process, and another process over the same store does not know it: where
//! several stand behind one name, each visitor must stay with one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e3_client::random;
use e3_core::digest::Digest;
use e3_core::key::PublicKey;
use e3_core::time::Time;
use ring::hmac;
use zeroize::Zeroizing;

/// Seconds in which a challenge must be signed, and a code be used.
pub(crate) const MINUTE: u64 = 60;
/// Seconds for which somebody stays signed in.
pub(crate) const HOUR: u64 = 3600;
/// Sign-ins of one key at a time: a phone, some browsers. The oldest one ends for a new one.
const SHARE: usize = 8;
/// Bytes of a challenge before its tag: when it was made, and a random number.
const BODY: usize = 8 + 32;
const TAG: usize = 32;

/// What is known of who is signed in.
pub(crate) struct Door {
    secret: hmac::Key,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    /// Challenges that were signed by a key of the fleet: none is taken twice.
    used: BTreeMap<Digest, Time>,
    codes: HashMap<Digest, Ticket>,
    cookies: HashMap<Digest, Ticket>,
}

/// For whom something was given out, and until when it is good.
#[derive(Debug, Clone, Copy)]
struct Ticket {
    key: PublicKey,
    expires: Time,
    /// The visitor reaches this hub by TLS, whoever speaks it.
    secure: bool,
}

/// Somebody who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visitor {
    /// Whose key it was.
    pub(crate) key: PublicKey,
    /// What a form of this visitor's must carry: another site cannot read it.
    pub(crate) form: String,
}

/// A new cookie.
pub(crate) struct Cookie {
    pub(crate) value: Zeroizing<String>,
    pub(crate) secure: bool,
}

impl Default for Door {
    fn default() -> Self {
        let secret = random::bytes32();
        Self {
            secret: hmac::Key::new(hmac::HMAC_SHA256, secret.as_slice()),
            inside: Mutex::default(),
        }
    }
}

/// A new random text, and what is kept of it.
fn fresh() -> (Zeroizing<String>, Digest) {
    let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(random::bytes32().as_slice()));
    let hash = Digest::of(text.as_bytes());
    (text, hash)
}

/// Takes one of this key's share; the one that ends first makes room.
fn keep(tickets: &mut HashMap<Digest, Ticket>, hash: Digest, ticket: Ticket, now: Time) {
    tickets.retain(|_, other| other.expires > now);
    let of_key = tickets.iter().filter(|(_, other)| other.key == ticket.key);
    let of_key: Vec<_> = of_key.map(|(hash, other)| (other.expires, *hash)).collect();
    if of_key.len() >= SHARE
        && let Some((_, oldest)) = of_key.iter().min_by_key(|(expires, _)| *expires)
    {
        tickets.remove(oldest);
    }
    tickets.insert(hash, ticket);
}

impl Door {
    /// A new challenge.
    pub(crate) fn challenge(&self, now: Time) -> String {
        let mut bytes = now.unix().to_be_bytes().to_vec();
        bytes.extend_from_slice(random::bytes32().as_slice());
        let tag = hmac::sign(&self.secret, &bytes);
        bytes.extend_from_slice(tag.as_ref());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// When this challenge was made, if this process made it, and lately.
    fn made(&self, challenge: &str, now: Time) -> Option<Time> {
        let bytes = URL_SAFE_NO_PAD.decode(challenge).ok()?;
        if bytes.len() != BODY + TAG {
            return None;
        }
        let (body, tag) = bytes.split_at(BODY);
        hmac::verify(&self.secret, body, tag).ok()?;
        let made = Time::from_unix(i64::from_be_bytes(body[..8].try_into().ok()?));
        let age = now.since(made);
        (0..=i64::try_from(MINUTE).unwrap_or(i64::MAX))
            .contains(&age)
            .then_some(made)
    }

    /// A code for `key`, which has signed this challenge; nothing if the challenge is old, used, or not of this process.
    pub(crate) fn code(
        &self,
        challenge: &str,
        key: PublicKey,
        secure: bool,
        now: Time,
    ) -> Option<Zeroizing<String>> {
        self.made(challenge, now)?;
        let mut inside = self.inside();
        inside.used.retain(|_, until| *until > now);
        let until = now.plus(2 * MINUTE);
        let is_new = inside
            .used
            .insert(Digest::of(challenge.as_bytes()), until)
            .is_none();
        if !is_new {
            return None;
        }
        let (code, hash) = fresh();
        let expires = now.plus(MINUTE);
        let ticket = Ticket {
            key,
            expires,
            secure,
        };
        keep(&mut inside.codes, hash, ticket, now);
        Some(code)
    }

    /// A cookie for a code, which is then used up.
    pub(crate) fn enter(&self, code: &str, now: Time) -> Option<Cookie> {
        let mut inside = self.inside();
        let ticket = inside.codes.remove(&Digest::of(code.as_bytes()))?;
        if ticket.expires <= now {
            return None;
        }
        let (value, hash) = fresh();
        let expires = now.plus(HOUR);
        keep(&mut inside.cookies, hash, Ticket { expires, ..ticket }, now);
        Some(Cookie {
            value,
            secure: ticket.secure,
        })
    }

    /// Who has this cookie.
    pub(crate) fn visitor(&self, cookie: &str, now: Time) -> Option<Visitor> {
        let hash = Digest::of(cookie.as_bytes());
        let ticket = self.inside().cookies.get(&hash).copied()?;
        let form = hmac::sign(
            &self.secret,
            &[b"form ", hash.as_bytes().as_slice()].concat(),
        );
        (ticket.expires > now).then(|| Visitor {
            key: ticket.key,
            form: URL_SAFE_NO_PAD.encode(form),
        })
    }

    /// The end of this cookie.
    pub(crate) fn leave(&self, cookie: &str) {
        self.inside().cookies.remove(&Digest::of(cookie.as_bytes()));
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use e3_core::key::SecretKey;

    use super::*;

    fn key(n: u8) -> PublicKey {
        SecretKey::from_seed(&[n; 32]).public()
    }

    const START: i64 = 1_800_000_000;

    fn at(seconds: u64) -> Time {
        Time::from_unix(START).plus(seconds)
    }

    #[test]
    fn a_challenge_a_code_and_a_cookie_are_good_once_and_for_their_time() {
        let door = Door::default();
        let challenge = door.challenge(at(0));
        assert!(door.code("", key(1), true, at(0)).is_none());
        assert!(
            door.code(&challenge, key(1), true, at(MINUTE + 1))
                .is_none(),
            "late"
        );
        assert!(
            Door::default()
                .code(&challenge, key(1), true, at(0))
                .is_none(),
            "of another hub"
        );
        let code = door.code(&challenge, key(1), true, at(5)).unwrap();
        assert!(
            door.code(&challenge, key(1), true, at(6)).is_none(),
            "again"
        );
        assert!(door.enter("x", at(6)).is_none());
        let cookie = door.enter(&code, at(6)).unwrap();
        assert!(cookie.secure);
        assert!(door.enter(&code, at(7)).is_none(), "again");
        let visitor = door.visitor(&cookie.value, at(7)).unwrap();
        assert_eq!(visitor.key, key(1));
        assert!(door.visitor(&code, at(7)).is_none());
        assert!(door.visitor(&cookie.value, at(6 + HOUR)).is_none(), "late");
        door.leave(&cookie.value);
        assert!(door.visitor(&cookie.value, at(7)).is_none(), "signed out");
        let late = door
            .code(&door.challenge(at(0)), key(1), true, at(0))
            .unwrap();
        assert!(
            door.enter(&late, at(MINUTE)).is_none(),
            "a code that lay about"
        );
    }

    #[test]
    fn a_key_has_its_share_and_takes_nothing_of_the_others() {
        let door = Door::default();
        let enter = |n, second| {
            let code = door.code(&door.challenge(at(second)), key(n), false, at(second));
            door.enter(&code.unwrap(), at(second)).unwrap().value
        };
        let other = enter(2, 0);
        let cookies: Vec<_> = (0..=SHARE as u64).map(|second| enter(1, second)).collect();
        let is_in = |cookie: &str| door.visitor(cookie, at(20)).is_some();
        assert!(!is_in(&cookies[0]), "the oldest one made room");
        assert!(cookies[1..].iter().all(|cookie| is_in(cookie)));
        assert!(is_in(&other));
    }
}
