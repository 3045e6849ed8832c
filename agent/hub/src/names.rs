//! Names of objects: the only way from a request's path to the store.
//!
//! A path is never taken over: it is read as a digest, a number or a key, and the store's path is
//! built from that value. So `..`, `%2e`, null bytes, other spellings and the like cannot reach the
//! store, whatever a request says.

use e3_core::digest::Digest;
use e3_core::key::PublicKey;
use e3_core::limits;
use object_store::path::Path;

/// A text that stands for exactly one value: read, written again, it is the same.
pub(crate) trait Segment: Sized {
    fn read(text: &str) -> Option<Self>;
}

impl Segment for Digest {
    fn read(text: &str) -> Option<Self> {
        Self::from_hex(text).ok()
    }
}

/// `<name>.json`.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Segment> Segment for Json<T> {
    fn read(text: &str) -> Option<Self> {
        T::read(text.strip_suffix(".json")?).map(Self)
    }
}

impl Segment for PublicKey {
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// The name of a mesh backend.
pub(crate) struct Backend(pub(crate) String);

impl Segment for Backend {
    fn read(text: &str) -> Option<Self> {
        e3_core::mesh::is_backend(text).then(|| Self(text.to_owned()))
    }
}

/// A root's version.
impl Segment for u64 {
    fn read(text: &str) -> Option<Self> {
        let number: Self = text.parse().ok()?;
        (number.to_string() == text).then_some(number)
    }
}

/// A party's place in its session.
impl Segment for usize {
    fn read(text: &str) -> Option<Self> {
        let number: Self = text.parse().ok()?;
        (number.to_string() == text && number < limits::PARTIES).then_some(number)
    }
}

pub(crate) fn head() -> Path {
    Path::from("head.json")
}

pub(crate) fn root(version: u64) -> Path {
    Path::from(format!("root/{version}.json"))
}

pub(crate) fn blob(digest: &Digest) -> Path {
    Path::from(format!("sha256/{}", digest.hex()))
}

pub(crate) fn receipt(manifest: &Digest, party: usize) -> Path {
    Path::from(format!("receipts/{}/{party}.json", manifest.hex()))
}

pub(crate) fn receipts(manifest: &Digest) -> Path {
    Path::from(format!("receipts/{}", manifest.hex()))
}

pub(crate) fn presence(party: &PublicKey) -> Path {
    Path::from(format!("presence/{party}.json"))
}

pub(crate) fn presences() -> Path {
    Path::from("presence")
}

/// What somebody asks the party.
pub(crate) fn request(party: &PublicKey) -> Path {
    Path::from(format!("requests/{party}.json"))
}

/// What the party has answered to that.
pub(crate) fn party_answer(party: &PublicKey) -> Path {
    Path::from(format!("answers/{party}.json"))
}

pub(crate) fn grant(Backend(backend): &Backend, party: &PublicKey) -> Path {
    Path::from(format!("mesh/{backend}/{party}.json"))
}

pub(crate) fn party(party: &PublicKey) -> Path {
    Path::from(format!("parties/{party}.json"))
}

pub(crate) fn parties() -> Path {
    Path::from("parties")
}

/// What takes an invite back.
pub(crate) fn withdrawn(invite: &Digest) -> Path {
    Path::from(format!("withdrawn/{}.json", invite.hex()))
}

pub(crate) fn invite(invite: &Digest) -> Path {
    Path::from(format!("invites/{}.json", invite.hex()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_spelling_of_a_name_is_read() {
        assert_eq!(u64::read("7"), Some(7));
        for text in [
            "",
            "07",
            "+7",
            " 7",
            "7 ",
            "-1",
            "99999999999999999999",
            "..",
            "7/8",
        ] {
            assert!(u64::read(text).is_none(), "{text}");
        }
        assert_eq!(usize::read("63"), Some(63));
        assert!(usize::read("64").is_none());
        let hex = Digest::of(b"x").hex();
        assert!(Digest::read(&hex).is_some());
        assert!(Digest::read(&hex.to_uppercase()).is_none());
        assert!(Json::<Digest>::read(&format!("{hex}.json")).is_some());
        assert!(Json::<Digest>::read(&hex).is_none());
        assert!(Json::<PublicKey>::read("../head.json").is_none());
        assert!(Backend::read("nebula").is_some());
        for text in ["", "..", "a/b", "A", "a.b", &"a".repeat(33)] {
            assert!(Backend::read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_key_stays_readable_in_its_path() {
        let key = e3_core::key::SecretKey::from_seed(&[1; 32]).public();
        assert_eq!(presence(&key).to_string(), format!("presence/{key}.json"));
    }
}
