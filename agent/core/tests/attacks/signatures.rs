//! Rules 1, 2 and 9: what counts as a signature, and on what.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use e3_core::document::{Head, Release, Root, Session};
use e3_core::envelope::{Envelope, EnvelopeError};
use e3_core::key::PublicKey;
use e3_core::limits;
use e3_core::trust::{Refusal, TrustError};
use serde_json::{Value, json};

use crate::fixture::*;

fn wire(envelope: &[u8]) -> Value {
    serde_json::from_slice(envelope).unwrap()
}

fn parse(wire: &Value) -> Result<Envelope, EnvelopeError> {
    Envelope::parse(&serde_json::to_vec(wire).unwrap(), limits::ENVELOPE)
}

fn threshold(error: &TrustError) -> Option<(usize, usize)> {
    match error {
        TrustError::Envelope {
            source: EnvelopeError::Threshold { valid, threshold },
            ..
        } => Some((*valid, *threshold)),
        _ => None,
    }
}

#[test]
fn a_forged_document_is_refused() {
    let mut trust = trust();
    let good = wire(&bytes(&head(&trust, 1), &["head"]));
    // The hub changes one number in what was signed.
    let payload = STANDARD.decode(good["payload"].as_str().unwrap()).unwrap();
    let forged = String::from_utf8(payload)
        .unwrap()
        .replace("\"counter\":1", "\"counter\":9");
    let mut bad = good.clone();
    bad["payload"] = json!(STANDARD.encode(forged));
    let error = trust
        .accept_head(&serde_json::to_vec(&bad).unwrap(), at(0))
        .unwrap_err();
    assert_eq!(threshold(&error), Some((0, 1)));
    assert!(trust.head.is_none());
    assert!(
        trust
            .accept_head(&serde_json::to_vec(&good).unwrap(), at(0))
            .is_ok()
    );
}

#[test]
fn every_flipped_bit_of_a_signature_is_noticed() {
    let envelope = wire(&bytes(&head(&trust(), 1), &["head"]));
    let signature = STANDARD
        .decode(envelope["signatures"][0]["sig"].as_str().unwrap())
        .unwrap();
    for bit in 0..signature.len() * 8 {
        let mut bent = signature.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        let mut envelope = envelope.clone();
        envelope["signatures"][0]["sig"] = json!(STANDARD.encode(bent));
        assert!(
            parse(&envelope)
                .unwrap()
                .signers(&[public("head")])
                .is_empty(),
            "bit {bit}"
        );
    }
}

#[test]
fn a_wrong_key_does_not_count() {
    let mut trust = trust();
    let error = trust
        .accept_head(&bytes(&head(&trust, 1), &["mallory"]), at(0))
        .unwrap_err();
    assert_eq!(threshold(&error), Some((0, 1)));
}

#[test]
fn a_key_that_signs_twice_counts_once() {
    let root = after(&root());
    let mut envelope = wire(&bytes(&root, &["root-a"]));
    let once = envelope["signatures"][0].clone();
    // The same signature again, under another key's name, and without a name.
    let mut renamed = once.clone();
    renamed["keyid"] = json!(public("root-b").to_string());
    envelope["signatures"] = json!([once, once, renamed, { "sig": once["sig"] }]);
    let error = trust()
        .accept_root(&serde_json::to_vec(&envelope).unwrap())
        .unwrap_err();
    assert_eq!(threshold(&error), Some((1, 2)));
}

#[test]
fn a_key_listed_twice_makes_no_threshold() {
    let mut root = root();
    root.head.keys.push(public("head"));
    root.head.threshold = 2;
    let text = serde_json::to_string(&root).unwrap();
    let pinned = Envelope::parse(&raw("root", &text, &ROOT), usize::MAX)
        .unwrap()
        .digest();
    let error =
        e3_core::trust::Trust::first(&raw("root", &text, &ROOT), &pinned, at(0)).unwrap_err();
    assert!(
        std::error::Error::source(&error)
            .unwrap()
            .to_string()
            .contains("names a key twice"),
        "{error}"
    );
}

#[test]
fn a_document_of_another_type_is_refused() {
    let mut trust = trust();
    // A root that says what a head would say, properly signed by the head's key.
    let text = serde_json::to_string(&head(&trust, 1)).unwrap();
    let error = trust
        .accept_head(&raw("session", &text, &["head"]), at(0))
        .unwrap_err();
    assert!(matches!(
        error,
        TrustError::Envelope {
            source: EnvelopeError::WrongType { .. },
            ..
        }
    ));
    // And the type is part of what is signed: it cannot be exchanged afterwards.
    let mut relabelled = wire(&raw("session", &text, &["head"]));
    relabelled["payloadType"] = json!("application/vnd.e3.head.v1+json");
    let error = trust
        .accept_head(&serde_json::to_vec(&relabelled).unwrap(), at(0))
        .unwrap_err();
    assert_eq!(threshold(&error), Some((0, 1)));
}

#[test]
fn a_threshold_of_zero_is_never_reached() {
    let unsigned = signed(&head(&trust(), 1), &[]);
    let error = unsigned.verify::<Head>(&[public("head")], 0).unwrap_err();
    assert_eq!(
        error,
        EnvelopeError::Threshold {
            valid: 0,
            threshold: 0
        }
    );
    let mut root = root();
    root.head.threshold = 0;
    assert!(Envelope::sign(&root, &[&key("root-a")]).is_err());
}

#[test]
fn a_malleable_signature_is_refused() {
    // s + L is another number for the same signature; whoever accepts both can be shown two
    // envelopes for one.
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let signer = key("head");
    let mut signature = signer.sign(b"message");
    assert!(signer.public().verify(b"message", &signature));
    let mut carry = 0_u16;
    for (byte, l) in signature[32..].iter_mut().zip(L) {
        let sum = u16::from(*byte) + u16::from(l) + carry;
        *byte = u8::try_from(sum & 0xff).unwrap();
        carry = sum >> 8;
    }
    assert_eq!(carry, 0, "s + L fits 32 bytes");
    assert!(!signer.public().verify(b"message", &signature));
}

#[test]
fn a_weak_key_is_no_key() {
    // The points of small order: a signature under one of them verifies for many messages.
    let points = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ];
    for point in points {
        let bytes = e3_core::digest::Digest::from_hex(point).unwrap();
        assert!(PublicKey::from_bytes(bytes.as_bytes()).is_err(), "{point}");
    }
}

#[test]
fn key_ids_that_lie_decide_nothing() {
    let root = after(&root());
    let mut envelope = wire(&bytes(&root, &["root-a", "root-b"]));
    envelope["signatures"][0]["keyid"] = json!(public("root-b").to_string());
    envelope["signatures"][1]["keyid"] = json!("\u{1b}[2J");
    assert!(
        trust()
            .accept_root(&serde_json::to_vec(&envelope).unwrap())
            .is_ok()
    );
    let mut stranger = wire(&bytes(&root, &["mallory", "eve"]));
    stranger["signatures"][0]["keyid"] = json!(public("root-a").to_string());
    stranger["signatures"][1]["keyid"] = json!(public("root-b").to_string());
    assert!(
        trust()
            .accept_root(&serde_json::to_vec(&stranger).unwrap())
            .is_err()
    );
}

#[test]
fn a_second_spelling_of_the_same_base64_is_no_second_document() {
    let trust = trust();
    let session = session();
    let envelope = bytes(&session, &["alice"]);
    let mut respelled = wire(&envelope);
    let payload = STANDARD
        .decode(respelled["payload"].as_str().unwrap())
        .unwrap();
    respelled["payload"] = json!(URL_SAFE.encode(&payload));
    respelled["signatures"][0]["sig"] = json!(
        URL_SAFE.encode(
            STANDARD
                .decode(respelled["signatures"][0]["sig"].as_str().unwrap())
                .unwrap()
        )
    );
    let respelled = serde_json::to_vec(&respelled).unwrap();
    // It is the same payload, so it has the same digest and counts as the same manifest ...
    assert_eq!(
        Envelope::parse(&respelled, usize::MAX).unwrap().digest(),
        signed(&session, &["alice"]).digest()
    );
    // ... and it is not the envelope that the head names.
    assert_ne!(respelled, envelope);
    let refused = trust.open_session(&named(&session, &envelope), &respelled);
    assert_eq!(refused.unwrap_err(), Refusal::NotAsNamed);
    // Spellings with bits left over, without padding or with blanks are no base64 at all.
    for text in ["AB==", "AA", "AA=", "A A=", "AAA=\n", "+_=="] {
        let bad = json!({ "payloadType": "x", "payload": text, "signatures": [] });
        assert!(parse(&bad).is_err(), "{text:?}");
    }
}

#[test]
fn a_release_key_signs_no_session_and_no_role_stands_in_for_another() {
    let mut trust = trust();
    let envelope = bytes(
        &session(),
        &["release", "head", "root-a", "root-b", "root-c"],
    );
    let refused = trust
        .open_session(&named(&session(), &envelope), &envelope)
        .unwrap_err();
    assert_eq!(
        refused,
        Refusal::FleetThreshold {
            valid: 0,
            threshold: 1
        }
    );
    let others = ["alice", "bob", "root-a", "root-b", "root-c"];
    let mut with = others.to_vec();
    with.push("release");
    let error = trust
        .accept_head(&bytes(&head(&trust, 1), &with), at(0))
        .unwrap_err();
    assert_eq!(threshold(&error), Some((0, 1)));
    with.pop();
    with.push("head");
    let error = trust
        .accept_release(&bytes(&release(1), &with), at(0))
        .unwrap_err();
    assert_eq!(threshold(&error), Some((0, 1)));
    assert!(
        trust
            .accept_release(&bytes(&release(1), &["release"]), at(0))
            .is_ok()
    );
}

#[test]
fn a_root_that_makes_one_key_release_and_session_key_is_refused() {
    let mut root = root();
    root.release = role(&["alice"], 1);
    assert!(
        Envelope::sign(&root, &[&key("root-a")])
            .unwrap_err()
            .to_string()
            .contains("session key too")
    );
}

#[test]
fn one_signature_does_not_fit_two_kinds_of_document() {
    // What was signed as one kind verifies as no other, whatever the fields are.
    let envelope = signed(&root(), &["root-a", "root-b", "head", "alice", "release"]);
    let keys: Vec<PublicKey> = ["root-a", "root-b", "head", "alice", "release"]
        .map(public)
        .to_vec();
    assert!(envelope.verify::<Root>(&keys, 2).is_ok());
    assert!(matches!(
        envelope.verify::<Head>(&keys, 1),
        Err(EnvelopeError::WrongType { .. })
    ));
    assert!(matches!(
        envelope.verify::<Session>(&keys, 1),
        Err(EnvelopeError::WrongType { .. })
    ));
    assert!(matches!(
        envelope.verify::<Release>(&keys, 1),
        Err(EnvelopeError::WrongType { .. })
    ));
}
