//! One signed document, one file: what anybody could add to an envelope is not taken.
//!
//! A valid signature stays valid beside spaces, unknown fields, strangers' signatures and false hints.
//! If those were taken, whoever sees one signed document could make any number of different files of
//! it and fill the store, or replace a file with a spoilt copy.

use std::collections::BTreeSet;

use e3_core::envelope::Envelope;
use e3_core::key::PublicKey;
use serde::Deserialize;

use super::Refusal;
use crate::roots::canonical;

#[derive(Deserialize)]
struct Hints {
    signatures: Vec<Hint>,
}

#[derive(Deserialize)]
struct Hint {
    keyid: String,
}

/// Checks that the envelope is in its one form, that each signature in it is a valid one of another
/// one of `keys`, and that its hint says so. Whether they are enough is checked elsewhere.
pub(super) fn pure(
    what: &'static str,
    bytes: &[u8],
    limit: usize,
    keys: &[PublicKey],
) -> Result<Envelope, Refusal> {
    let envelope = canonical(bytes, limit).map_err(|error| Refusal::Envelope { what, error })?;
    let hints: Hints = serde_json::from_slice(bytes).map_err(|_| Refusal::Strangers { what })?;
    let hints: BTreeSet<String> = hints
        .signatures
        .into_iter()
        .map(|hint| hint.keyid)
        .collect();
    let signers = envelope.signers(keys);
    let named: BTreeSet<String> = signers.iter().map(ToString::to_string).collect();
    let pure = signers.len() == envelope.signature_count() && named == hints;
    if pure {
        Ok(envelope)
    } else {
        Err(Refusal::Strangers { what })
    }
}
