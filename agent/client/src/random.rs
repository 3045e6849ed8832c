//! Randomness from the operating system.

use e3_core::key::SecretKey;
use zeroize::Zeroizing;

/// 32 random bytes.
///
/// # Panics
/// If the system has no randomness to give; nothing that E3 does would be safe then.
pub fn bytes32() -> Zeroizing<[u8; 32]> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut_slice()).expect("the operating system gives random bytes");
    bytes
}

/// A new secret key.
pub fn key() -> SecretKey {
    SecretKey::from_seed(&bytes32())
}
