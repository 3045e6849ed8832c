//! What texts of a mesh may be: they end up in the configurations of daemons, so nothing that would mean something there is in
//! them.

use crate::document::{DocumentError, ensure};

/// Bytes of a public key as text: an RSA key of 4096 bits takes 800.
const KEY: usize = 1024;
/// Bytes in one line of PEM.
const LINE: usize = 80;

/// Whether this can be the name of a backend. It stands in paths and in the names of units.
pub fn is_backend(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
    (1..=32).contains(&text.len()) && text.bytes().all(is_word)
}

/// Checks what a document says of a party's key on a mesh.
pub(crate) fn check_key(at: &str, backend: &str, key: &str) -> Result<(), DocumentError> {
    ensure(
        is_backend(backend),
        &format!("{at}backend"),
        "is no name of a backend",
    )?;
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let fits = (1..=KEY).contains(&key.len()) && key.bytes().all(is_base64);
    ensure(fits, &format!("{at}key"), "is not base64 of at most 1 KiB")
}

/// Whether it is PEM that begins with this line, of at most so many bytes.
pub(super) fn is_pem(text: &str, begin: &str, limit: usize) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=- ".contains(&byte);
    text.len() <= limit
        && text.starts_with(begin)
        && text
            .lines()
            .all(|line| line.len() <= LINE && line.bytes().all(fits))
}

/// Whether it names a certificate: a SHA-256 in lower-case digits.
pub(super) fn is_fingerprint(text: &str) -> bool {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == 64 && text.bytes().all(is_hex)
}
