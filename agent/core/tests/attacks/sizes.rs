//! Rule 3: endless, truncated and deeply nested data.

use e3_core::digest::Blob;
use e3_core::envelope::{Envelope, EnvelopeError};
use e3_core::key::PublicKey;
use e3_core::limits;
use e3_core::trust::TrustError;
use serde_json::json;

use crate::fixture::*;

#[test]
fn endless_data_is_refused_before_it_is_parsed() {
    // Not even JSON: had it been parsed, the error would be another one.
    let endless = vec![b'['; limits::ENVELOPE + 1];
    let error = Envelope::parse(&endless, limits::ENVELOPE).unwrap_err();
    assert_eq!(
        error,
        EnvelopeError::TooLarge {
            size: limits::ENVELOPE + 1,
            limit: limits::ENVELOPE
        }
    );
    let mut trust = trust();
    let error = trust
        .accept_head(&vec![b' '; limits::HEAD + 1], at(0))
        .unwrap_err();
    assert!(matches!(
        error,
        TrustError::Envelope {
            source: EnvelopeError::TooLarge {
                limit: limits::HEAD,
                ..
            },
            ..
        }
    ));
    assert!(trust.missing_roots(&vec![b' '; limits::HEAD + 1]).is_err());
    assert!(
        trust
            .accept_root(&vec![b' '; limits::ENVELOPE + 1])
            .is_err()
    );
    // An object that is named has exactly one length.
    assert!(
        !Blob {
            size: 2,
            ..Blob::of(b"abc")
        }
        .names(b"abc")
    );
}

#[test]
fn a_truncated_document_is_refused_at_every_length() {
    let mut trust = trust();
    let before = trust.clone();
    let head = bytes(&head(&trust, 1), &["head"]);
    for length in 0..head.len() {
        assert!(
            trust.accept_head(&head[..length], at(0)).is_err(),
            "{length} bytes"
        );
    }
    assert_eq!(trust, before);
    assert!(trust.accept_head(&head, at(0)).is_ok());
}

#[test]
fn nested_data_does_not_exhaust_the_stack() {
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    assert!(matches!(
        Envelope::parse(&deep, limits::ENVELOPE),
        Err(EnvelopeError::Malformed(_))
    ));
    let nested = format!("{}0{}", "[".repeat(50_000), "]".repeat(50_000));
    assert!(
        trust()
            .accept_head(&raw("head", &nested, &["head"]), at(0))
            .is_err()
    );
}

#[test]
fn a_flood_of_signatures_is_refused() {
    let signature = json!({ "sig": "A".repeat(86) + "==" });
    let with = |count: usize| {
        let wire = json!({ "payloadType": "x", "payload": "", "signatures": vec![signature.clone(); count] });
        Envelope::parse(&serde_json::to_vec(&wire).unwrap(), limits::ENVELOPE)
    };
    assert!(with(limits::SIGNATURES).is_ok());
    assert!(with(limits::SIGNATURES + 1).is_err());
}

#[test]
fn a_long_key_text_is_refused_before_it_is_decoded() {
    // Base58 takes quadratic time.
    let long = format!("did:key:z{}", "2".repeat(200_000));
    let error = long.parse::<PublicKey>().unwrap_err();
    assert!(error.to_string().len() < 200);
}

#[test]
fn a_hub_cannot_make_a_party_fetch_roots_for_ever() {
    let trust = trust();
    let mut head = head(&trust, 1);
    head.root.version = u64::MAX;
    // Nobody has signed it, and still it bounds what is fetched.
    let missing = trust.missing_roots(&bytes(&head, &[])).unwrap();
    assert_eq!(missing, 2..=1 + limits::ROOT_STEPS);
}

#[test]
fn too_many_keys_parties_and_sessions_are_refused() {
    let mut root = root();
    root.head.keys = (0..=limits::KEYS)
        .map(|n| public(&format!("key {n}")))
        .collect();
    assert!(Envelope::sign(&root, &[]).is_err());
    let mut session = session();
    let party = session.parties[0].clone();
    let name = |n: usize| format!("p{n}");
    session.parties = (0..=limits::PARTIES)
        .map(|n| e3_core::document::Party {
            name: name(n).parse().unwrap(),
            key: public(&name(n)),
            ..party.clone()
        })
        .collect();
    assert!(Envelope::sign(&session, &[]).is_err());
    let mut head = head(&trust(), 1);
    head.revoked = (0..=limits::HEAD_SESSIONS)
        .map(|n| e3_core::digest::Digest::of(&n.to_le_bytes()))
        .collect();
    assert!(Envelope::sign(&head, &[]).is_err());
}
