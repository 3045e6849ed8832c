//! Whether UDP gets through: what a machine asks its hub by UDP, and what the hub answers. Both are messages of STUN (RFC 8489: the
//! header of section 5, a Binding request and its success response, XOR-MAPPED-ADDRESS of section 14.2), so that others can read
//! them; who sends and waits is the caller's business.
//!
//! The hub answers this one question and no other. It is as long as the longest answer, with SOFTWARE (section 14.14): by a forged
//! sender nobody can have the hub send more than he sends himself.

use std::net::{IpAddr, SocketAddr};

/// Bytes of a question, and of an answer at most.
pub const LENGTH: usize = 44;
/// What an answer belongs to: 96 random bits.
pub type Transaction = [u8; 12];

const HEADER: usize = 20;
const REQUEST: [u8; 2] = [0x00, 0x01];
const SUCCESS: [u8; 2] = [0x01, 0x01];
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const SOFTWARE: [u8; 2] = [0x80, 0x22];
const XOR_MAPPED_ADDRESS: [u8; 2] = [0x00, 0x20];
/// 20 bytes, which fill the question.
const NAME: &[u8; LENGTH - HEADER - 4] = b"e3-agent: UDP works?";

/// What a machine sends.
pub fn question(transaction: Transaction) -> Vec<u8> {
    message(REQUEST, transaction, SOFTWARE, NAME)
}

/// What the hub answers whoever is `from` there; nothing to anything else than a question.
pub fn answer(asked: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    let transaction = asked.get(8..HEADER)?.try_into().ok()?;
    if asked != question(transaction) {
        return None;
    }
    let mut key = COOKIE.to_vec();
    key.extend(transaction);
    let (family, address) = match from.ip().to_canonical() {
        IpAddr::V4(v4) => (1, v4.octets().to_vec()),
        IpAddr::V6(v6) => (2, v6.octets().to_vec()),
    };
    let mut value = vec![0, family];
    value.extend(xor(&from.port().to_be_bytes(), &key));
    value.extend(xor(&address, &key));
    Some(message(SUCCESS, transaction, XOR_MAPPED_ADDRESS, &value))
}

/// Whether this came for a question of `transaction`.
pub fn is_answer(message: &[u8], transaction: Transaction) -> bool {
    message.starts_with(&SUCCESS)
        && message.get(4..8) == Some(&COOKIE)
        && message.get(8..HEADER) == Some(&transaction)
}

/// What the hub says at `/v1/udp`: whether others' questions have got to it since it was started.
pub const fn heard(is_heard: bool) -> &'static str {
    if is_heard {
        r#"{"heard":true}"#
    } else {
        r#"{"heard":false}"#
    }
}

/// A message with one attribute, whose `value` needs no padding.
fn message(kind: [u8; 2], transaction: Transaction, attribute: [u8; 2], value: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes();
    let mut message = Vec::with_capacity(LENGTH);
    message.extend(kind);
    message.extend(length(4 + value.len()));
    message.extend(COOKIE);
    message.extend(transaction);
    message.extend(attribute);
    message.extend(length(value.len()));
    message.extend(value);
    message
}

fn xor<'a>(bytes: &'a [u8], key: &'a [u8]) -> impl Iterator<Item = u8> + 'a {
    bytes.iter().zip(key).map(|(byte, key)| byte ^ key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of RFC 5769, sections 2.2 and 2.3.
    const TRANSACTION: Transaction = [
        0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae,
    ];

    #[test]
    fn addresses_are_told_as_in_the_test_vectors_of_rfc_5769() {
        let told = |from: &str| {
            let answer = answer(&question(TRANSACTION), from.parse().unwrap()).unwrap();
            assert!(is_answer(&answer, TRANSACTION));
            answer[HEADER..].to_vec()
        };
        let v4 = [
            0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43,
        ];
        assert_eq!(told("192.0.2.1:32853"), v4);
        assert_eq!(told("[::ffff:192.0.2.1]:32853"), v4);
        let v6 = [
            0x00, 0x20, 0x00, 0x14, 0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3,
            0xf1, 0x79, 0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
        ];
        assert_eq!(told("[2001:db8:1234:5678:11:2233:4455:6677]:32853"), v6);
    }

    #[test]
    fn another_question_has_another_answer() {
        let answer = answer(&question([1; 12]), "192.0.2.1:1".parse().unwrap()).unwrap();
        assert!(!is_answer(&answer, [2; 12]));
        // Whoever sends the question back has not understood it.
        assert!(!is_answer(&question([1; 12]), [1; 12]));
    }

    proptest! {
        #[test]
        fn nothing_is_answered_by_more_than_was_sent(asked in proptest::collection::vec(any::<u8>(), 0..100), from: SocketAddr) {
            prop_assert_eq!(answer(&asked, from), None);
        }

        #[test]
        fn nor_is_a_question_that_was_changed(transaction: Transaction, at in 0..LENGTH, change in 1_u8.., from: SocketAddr) {
            let mut asked = question(transaction);
            prop_assert!(answer(&asked, from).is_some_and(|answer| answer.len() <= asked.len()));
            prop_assert_eq!(answer(&asked[..at], from), None);
            asked[at] ^= change;
            // Another number is another question.
            prop_assert_eq!(answer(&asked, from).is_some(), (8..HEADER).contains(&at));
        }
    }
}
