//! A key in words, for two people who compare it: one reads them from the machine's screen, the other
//! from the list of machines that want to join.
//!
//! Six words of the English list of BIP-39 (Bitcoin Improvement Proposals, 2013; 2048 words that differ
//! in their first four letters): 66 bits of a hash of the key. Whoever wants another key with the same
//! words has to try 2^66 of them. They are for people, and decide nothing.

use super::PublicKey;
use crate::digest::Digest;

const LIST: &str = include_str!("words.txt");
/// Bits that one word of 2048 stands for.
const BITS: usize = 11;
const WORDS: usize = 6;

impl PublicKey {
    /// The key in six words, with a space between them.
    pub fn words(&self) -> String {
        let text = [b"e3 key in words\n".as_slice(), self.as_bytes()].concat();
        let hash = Digest::of(&text);
        let bit = |at: usize| hash.as_bytes()[at / 8] >> (7 - at % 8) & 1;
        let index = |word: usize| {
            (word * BITS..(word + 1) * BITS).fold(0, |sum, at| sum << 1 | usize::from(bit(at)))
        };
        let words: Vec<_> = (0..WORDS)
            .map(|word| LIST.lines().nth(index(word)).unwrap_or_default())
            .collect();
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SecretKey;

    #[test]
    fn the_list_is_whole_and_its_words_differ_early() {
        let starts: std::collections::BTreeSet<_> = LIST
            .lines()
            .map(|word| &word[..word.len().min(4)])
            .collect();
        assert_eq!((LIST.lines().count(), starts.len()), (1 << BITS, 1 << BITS));
    }

    #[test]
    fn a_key_has_the_same_words_for_ever() {
        let words = |n| SecretKey::from_seed(&[n; 32]).public().words();
        assert_eq!(words(1), "sudden people few file seminar science");
        assert_ne!(words(1), words(2));
    }
}
