//! What holds for all documents and histories, not only for those that somebody thought of.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod fixture;

use std::collections::{BTreeMap, BTreeSet};

use e3_core::digest::Digest;
use e3_core::document::{Head, Release, Root, Session};
use e3_core::envelope::Envelope;
use e3_core::key::PublicKey;
use e3_core::pack::{Files, pack, unpack};
use e3_core::text;
use e3_core::time::Time;
use e3_core::trust::{Floor, Policy, Trust};
use fixture::*;
use proptest::prelude::*;
use proptest::sample::Index;

/// What a hub, with or without stolen keys, shows to a party next.
#[derive(Debug, Clone)]
enum Shown {
    /// A head; the signer may be anybody, the root and epoch any.
    Head {
        counter: i64,
        signed: i64,
        expires: i64,
        epoch: i64,
        root: i64,
        by: Index,
    },
    /// A root.
    Root {
        version: i64,
        epoch: i64,
        signed: i64,
        by: Vec<Index>,
    },
    /// A release.
    Release { counter: u64, by: Index },
    /// Something that was shown before.
    Again(Index),
    /// Something that was shown before, with one byte changed.
    Bent(Index, Index),
}

const SIGNERS: [&str; 6] = ["head", "head", "head", "head", "head", "release"];
const ROOTS: [&str; 4] = ["root-a", "root-b", "root-c", "mallory"];

fn shown() -> impl Strategy<Value = Shown> {
    let head = (
        -1..3_i64,
        -8..2_i64,
        1..40_i64,
        step(),
        step(),
        any::<Index>(),
    );
    let root = (
        step(),
        step(),
        -8..3_i64,
        prop::collection::vec(any::<Index>(), 2..4),
    );
    prop_oneof![
        6 => head.prop_map(|(counter, signed, life, epoch, root, by)| {
            Shown::Head { counter, signed, expires: signed + life, epoch, root, by }
        }),
        2 => root.prop_map(|(version, epoch, signed, by)| {
            Shown::Root { version: version + 1, epoch, signed, by }
        }),
        1 => (1..5_u64, any::<Index>()).prop_map(|(counter, by)| Shown::Release { counter, by }),
        2 => any::<Index>().prop_map(Shown::Again),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(which, at)| Shown::Bent(which, at)),
    ]
}

/// How far something is from what it should be; mostly not at all.
fn step() -> impl Strategy<Value = i64> {
    prop_oneof![14 => Just(0), 1 => Just(1), 1 => Just(-1)]
}

/// One of the three kinds, as bytes.
#[derive(Debug, Clone)]
struct Bytes(&'static str, Vec<u8>);

fn make(shown: &Shown, trust: &Trust, before: &[Bytes]) -> Option<Bytes> {
    let pick =
        |index: &Index| (!before.is_empty()).then(|| before[index.index(before.len())].clone());
    Some(match shown {
        Shown::Head {
            counter,
            signed,
            expires,
            epoch,
            root,
            by,
        } => {
            let newest = trust.floor.head.map_or(0, |mark| mark.counter);
            let mut head = head(trust, newest.saturating_add_signed(*counter).max(1));
            (head.signed, head.expires) = (at(*signed), at(*expires));
            head.root.version = head.root.version.saturating_add_signed(*root);
            head.epoch = head.epoch.saturating_add_signed(*epoch);
            Bytes("head", bytes(&head, &[SIGNERS[by.index(SIGNERS.len())]]))
        }
        Shown::Root {
            version,
            epoch,
            signed,
            by,
        } => {
            let by: Vec<_> = by
                .iter()
                .map(|index| ROOTS[index.index(ROOTS.len())])
                .collect();
            let root = Root {
                version: trust.root.version.saturating_add_signed(*version).max(1),
                epoch: trust.root.epoch.saturating_add_signed(*epoch),
                signed: at(*signed),
                ..root()
            };
            Bytes("root", bytes(&root, &by))
        }
        Shown::Release { counter, by } => Bytes(
            "release",
            bytes(
                &release(*counter),
                &[["release", "release", "head"][by.index(3)]],
            ),
        ),
        Shown::Again(index) => pick(index)?,
        Shown::Bent(index, place) => {
            let Bytes(kind, mut bytes) = pick(index)?;
            let place = place.index(bytes.len());
            bytes[place] ^= 1;
            Bytes(kind, bytes)
        }
    })
}

fn show(trust: &mut Trust, Bytes(kind, bytes): &Bytes, system: Time) -> bool {
    match *kind {
        "head" => trust.accept_head(bytes, system).is_ok(),
        "root" => trust.accept_root(bytes).is_ok(),
        _ => trust.accept_release(bytes, system).is_ok(),
    }
}

/// Whether `new` is nowhere below `old`.
fn does_not_fall(old: &Floor, new: &Floor) -> Result<(), TestCaseError> {
    prop_assert!(new.root_version >= old.root_version);
    prop_assert!(new.epoch >= old.epoch);
    prop_assert!(new.time >= new.built);
    if new.epoch == old.epoch {
        prop_assert!(new.time >= old.time);
        prop_assert!(new.head.map(|mark| mark.counter) >= old.head.map(|mark| mark.counter));
        prop_assert!(new.release.map(|mark| mark.counter) >= old.release.map(|mark| mark.counter));
    } else {
        prop_assert!(
            new.root_version > old.root_version,
            "a new epoch takes a new root"
        );
    }
    Ok(())
}

proptest! {
    // A history has many signatures in it: fewer of them are enough.
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_hub_shows_the_floor_never_falls_and_a_counter_has_one_head(
        history in prop::collection::vec((shown(), -20..5_i64), 1..40),
    ) {
        let mut trust = trust();
        let mut before: Vec<Bytes> = Vec::new();
        let mut heads: BTreeMap<(u64, u64), Digest> = BTreeMap::new();
        for (shown, clock) in history {
            let Some(next) = make(&shown, &trust, &before) else { continue };
            let old = trust.clone();
            let accepted = show(&mut trust, &next, at(clock));
            does_not_fall(&old.floor, &trust.floor)?;
            prop_assert!(accepted || trust == old, "a refusal changes nothing");
            if let (true, "head", Some(mark)) = (accepted, next.0, trust.floor.head) {
                let first = *heads.entry((trust.floor.epoch, mark.counter)).or_insert(mark.digest);
                prop_assert_eq!(first, mark.digest, "two heads with one counter");
                let head = trust.head.as_ref().unwrap();
                prop_assert!(trust.now(at(clock)) < head.expires, "an expired head was taken");
                prop_assert_eq!(head.epoch, trust.root.epoch);
            }
            prop_assert_eq!(trust.root.version, trust.floor.root_version);
            // What is on disk is what is in memory.
            let again: Trust = serde_json::from_slice(&serde_json::to_vec(&trust).unwrap()).unwrap();
            prop_assert_eq!(&again, &trust);
            before.push(next);
        }
    }

    #[test]
    fn a_root_chain_is_walked_to_its_end_and_no_step_can_be_left_out(
        epochs in prop::collection::vec(any::<bool>(), 1..12),
        left_out in any::<Index>(),
    ) {
        // Each root hands the root role over to the next generation of keys.
        let names = |generation: usize| [format!("g{generation}-a"), format!("g{generation}-b")];
        let mut chain = Vec::new();
        let mut current = Root { root: role(&names(0).each_ref().map(String::as_str), 2), ..root() };
        let first = signed(&current, &names(0).each_ref().map(String::as_str));
        for (generation, new_epoch) in epochs.iter().enumerate() {
            let (old, new) = (names(generation), names(generation + 1));
            let mut next = after(&current);
            next.epoch += u64::from(*new_epoch);
            next.root = role(&new.each_ref().map(String::as_str), 2);
            let by: Vec<&str> = old.iter().chain(&new).map(String::as_str).collect();
            chain.push(bytes(&next, &by));
            current = next;
        }
        let start = || Trust::first(&first.to_bytes(), &first.digest(), at(-30)).unwrap();
        let mut trust = start();
        for root in &chain {
            prop_assert!(trust.accept_root(root).is_ok());
        }
        prop_assert_eq!(&trust.root, &current);
        let left_out = left_out.index(chain.len());
        let mut trust = start();
        for (step, root) in chain.iter().enumerate().filter(|(step, _)| *step != left_out) {
            prop_assert_eq!(trust.accept_root(root).is_ok(), step < left_out);
        }
    }
}

proptest! {
    #[test]
    fn parsing_arbitrary_bytes_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = Envelope::parse(&bytes, 1000);
        let _ = unpack(&bytes);
        if let Ok(text) = std::str::from_utf8(&bytes) {
            let _ = (text.parse::<PublicKey>(), text.parse::<Time>(), text.parse::<Digest>());
            let _ = e3_core::document::Token::from_text(text);
        }
    }

    #[test]
    fn a_bent_envelope_never_says_something_else(
        bends in prop::collection::vec((any::<Index>(), any::<u8>()), 1..6),
    ) {
        let good = signed(&session(), &["alice", "bob"]);
        let mut bent = good.to_bytes();
        for (place, byte) in bends {
            let place = place.index(bent.len());
            bent[place] = byte;
        }
        let Ok(envelope) = Envelope::parse(&bent, usize::MAX) else { return Ok(()) };
        if let Ok(verified) = envelope.verify::<Session>(&[public("alice"), public("bob")], 1) {
            prop_assert_eq!(verified.document, session());
            prop_assert_eq!(verified.digest, good.digest());
        }
    }

    #[test]
    fn an_envelope_round_trips(signers in prop::collection::vec("[a-z]{1,8}", 0..6)) {
        let names: Vec<&str> = signers.iter().map(String::as_str).collect();
        let envelope = signed(&release(1), &names);
        prop_assert_eq!(Envelope::parse(&envelope.to_bytes(), usize::MAX).unwrap(), envelope.clone());
        let unique: BTreeSet<PublicKey> = names.iter().map(|name| public(name)).collect();
        prop_assert_eq!(envelope.signature_count(), unique.len());
        prop_assert_eq!(envelope.signers(&unique), unique.clone());
    }

    #[test]
    fn signatures_merge_in_any_order(
        parts in prop::collection::vec(prop::collection::vec(0..8_usize, 0..4), 1..6),
        order in any::<prop::sample::Index>(),
    ) {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let part = |keys: &Vec<usize>| signed(&session(), &keys.iter().map(|key| names[*key]).collect::<Vec<_>>());
        let merged = |parts: &[Vec<usize>]| {
            let mut whole = signed(&session(), &[]);
            for keys in parts {
                assert!(whole.merge(&part(keys)));
            }
            whole
        };
        let keys: Vec<PublicKey> = names.map(public).to_vec();
        let mut turned = parts.clone();
        turned.rotate_left(order.index(parts.len()));
        turned.reverse();
        let signers = merged(&parts).signers(&keys);
        prop_assert_eq!(&merged(&turned).signers(&keys), &signers);
        let expected: BTreeSet<PublicKey> = parts.iter().flatten().map(|key| keys[*key]).collect();
        prop_assert_eq!(signers, expected);
        let mut whole = merged(&parts);
        prop_assert!(!whole.merge(&signed(&release(1), &["a"])), "other bytes do not merge");
    }

    #[test]
    fn taking_a_signature_away_never_makes_a_policy_accept(
        signers in prop::collection::btree_set(0..3_usize, 0..4),
        trusted in prop::collection::btree_set(0..3_usize, 0..4),
        threshold in 0..4_usize,
        all in any::<bool>(),
        taken in 0..3_usize,
    ) {
        let names = ["alice", "bob", "carol"];
        let mut session = session();
        if all {
            session.consent = e3_core::document::Consent::All;
        }
        let signers_of = |set: &BTreeSet<usize>| set.iter().map(|n| names[*n]).collect::<Vec<_>>();
        let policy = Policy {
            signers: trusted.iter().map(|n| public(names[*n])).collect(),
            threshold,
            ..Policy::of_owner(public("alice"))
        };
        let judge = |set: &BTreeSet<usize>| admit(&trust(), &policy, "p0", &session, &signers_of(set), at(0)).is_ok();
        let mut fewer = signers.clone();
        fewer.remove(&taken);
        prop_assert!(judge(&signers) || !judge(&fewer));
    }

    #[test]
    fn packs_round_trip_and_do_not_depend_on_order(files in files()) {
        let packed = pack(&files).unwrap();
        prop_assert_eq!(unpack(&packed).unwrap(), files.clone());
        let reversed: Files = files.into_iter().rev().collect();
        prop_assert_eq!(pack(&reversed).unwrap(), packed);
    }

    #[test]
    fn a_bent_pack_is_refused_or_another_pack(
        files in files(),
        bends in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<Index>()),
    ) {
        let packed = pack(&files).unwrap();
        let mut bent = packed.clone();
        for (place, byte) in bends {
            let place = place.index(bent.len());
            bent[place] = byte;
        }
        bent.truncate(cut.map_or(bent.len(), |cut| cut.index(bent.len())));
        // One program, one pack: other bytes never hold the same files, and what is read is what
        // would be written.
        if let Ok(read) = unpack(&bent) {
            prop_assert_eq!(pack(&read).unwrap(), bent.clone());
            prop_assert_eq!(read == files, bent == packed);
        }
    }

    #[test]
    fn keys_digests_and_times_have_one_text(seed in any::<[u8; 32]>(), seconds in 0..253_402_207_200_i64) {
        let key = e3_core::key::SecretKey::from_seed(&seed);
        prop_assert_eq!(key.public().to_string().parse(), Ok(key.public()));
        prop_assert_eq!(e3_core::key::SecretKey::from_pem(&key.to_pem()).unwrap().public(), key.public());
        let digest = Digest::of(&seed);
        prop_assert_eq!(digest.to_string().parse(), Ok(digest));
        let time = Time::from_unix(seconds);
        prop_assert_eq!(time.to_string().parse(), Ok(time));
    }

    #[test]
    fn another_text_is_another_key(seed in any::<[u8; 32]>(), place in any::<Index>(), byte in any::<char>()) {
        let key = public(&format!("{seed:?}"));
        let mut text: Vec<char> = key.to_string().chars().collect();
        let place = place.index(text.len());
        text[place] = byte;
        let text: String = text.into_iter().collect();
        if let Ok(other) = text.parse::<PublicKey>() {
            prop_assert_eq!(other == key, text == key.to_string());
        }
    }

    #[test]
    fn a_cleaned_text_is_plain_and_stays_as_it_is(text in any::<String>(), limit in 0..50_usize) {
        let cleaned = text::clean(&text, limit);
        prop_assert!(text::is_plain(&cleaned, usize::MAX));
        prop_assert!(cleaned.chars().count() <= limit + 1);
        if text::is_plain(&text, usize::MAX) && text.chars().count() <= limit {
            prop_assert_eq!(cleaned, text);
        }
    }
}

fn files() -> impl Strategy<Value = Files> {
    let name = "[a-z0-9_]{1,8}(/[a-z0-9 ]{1,12}){0,2}\\.(py|csv)";
    prop::collection::btree_map(name, prop::collection::vec(any::<u8>(), 0..1200), 1..6)
}

/// Documents have to survive being written and read: what is signed today is read for years.
#[test]
fn documents_read_back_as_they_were_written() {
    fn same<T: e3_core::document::Document + PartialEq + std::fmt::Debug>(document: &T) {
        let envelope = Envelope::parse(&bytes(document, &["k"]), usize::MAX).unwrap();
        assert_eq!(
            &envelope.verify::<T>(&[public("k")], 1).unwrap().document,
            document
        );
    }
    same::<Root>(&root());
    same::<Head>(&head(&trust(), 1));
    same::<Session>(&session());
    same::<Release>(&release(1));
    same(&ready(Digest::of(b"m"), 2));
}
