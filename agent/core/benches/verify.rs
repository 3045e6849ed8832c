//! What a party pays before every session: reading and verifying a head and a session with ten signatures, beside the
//! eleven bare signature checks that cannot be saved. `ci/bench verify` runs it; with `--json` the last line is one JSON object.

#![allow(missing_docs, reason = "a program, not a library")]
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::time::{Duration, Instant};

use e3_core::digest::{Blob, Digest};
use e3_core::document::{Head, Role, Root, RootRef, Session, SessionRef};
use e3_core::envelope::Envelope;
use e3_core::key::{PublicKey, SecretKey};
use e3_core::time::Time;
use e3_core::trust::Trust;
use serde_json::json;

/// Signatures over the session.
const SIGNERS: u8 = 10;
/// Counted runs of each kind; they alternate.
const RUNS: usize = 500;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let keys: Vec<SecretKey> = (1..=SIGNERS)
        .map(|n| SecretKey::from_seed(&[n; 32]))
        .collect();
    let publics: Vec<_> = keys.iter().map(SecretKey::public).collect();
    let signed = Time::from_unix(1_800_000_000);
    let first = root(&keys[0], &publics, signed)?;
    let all: Vec<&SecretKey> = keys.iter().collect();
    let session = Envelope::sign(&sample(&publics, signed), &all)?;
    let session_bytes = session.to_bytes();
    let named = SessionRef {
        name: "bench".parse()?,
        counter: 1,
        manifest: session.digest(),
        envelope: Blob::of(&session_bytes),
    };
    let head = head(&first, &named, signed);
    let head_bytes = Envelope::sign(&head, &[&keys[0]])?.to_bytes();
    let message = vec![0; session_bytes.len()];
    let signatures: Vec<_> = keys
        .iter()
        .map(|key| (key.public(), key.sign(&message)))
        .collect();
    let (mut opened, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let mut trust = first.clone();
        let began = Instant::now();
        trust.accept_head(&head_bytes, signed)?;
        let session = trust.open_session(&named, &session_bytes)?;
        opened.push(began.elapsed());
        assert_eq!(session.signers.len(), usize::from(SIGNERS));
        let began = Instant::now();
        for (key, signature) in signatures.iter().chain(&signatures[..1]) {
            assert!(key.verify(&message, signature));
        }
        bare.push(began.elapsed());
    }
    let (opened, bare) = (median(opened), median(bare));
    let ratio = opened / bare;
    println!(
        "a head and a session with {SIGNERS} signatures: {opened:.0} us; their signature checks alone: {bare:.0} us; ratio {ratio:.2}"
    );
    if std::env::args().any(|arg| arg == "--json") {
        println!(
            "{}",
            json!({ "head_and_session_us": opened, "signatures_alone_us": bare, "ratio": ratio })
        );
    }
    Ok(())
}

/// Microseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e6
}

fn root(key: &SecretKey, signers: &[PublicKey], signed: Time) -> Result<Trust, Failure> {
    let role = |keys: &[PublicKey], threshold| Role {
        keys: keys.to_vec(),
        threshold,
    };
    let root = Root {
        fleet: "bench".parse()?,
        version: 1,
        epoch: 1,
        signed,
        root: role(&[key.public()], 1),
        head: role(&[key.public()], 1),
        session: role(signers, SIGNERS.into()),
        release: role(&[SecretKey::from_seed(&[99; 32]).public()], 1),
    };
    let root = Envelope::sign(&root, &[key])?;
    Ok(Trust::first(&root.to_bytes(), &root.digest(), Time::MIN)?)
}

fn head(trust: &Trust, session: &SessionRef, signed: Time) -> Head {
    Head {
        fleet: trust.root.fleet.clone(),
        epoch: 1,
        counter: 1,
        signed,
        expires: signed.plus(1000),
        root: RootRef {
            version: 1,
            digest: trust.floor.root_digest,
        },
        sessions: vec![session.clone()],
        revoked: Vec::new(),
        release: None,
        meshes: Vec::new(),
    }
}

fn sample(keys: &[PublicKey], signed: Time) -> Session {
    let party = |(place, key): (usize, &PublicKey)| json!({ "name": format!("p{place}"), "key": key, "owner": key });
    let blob = json!({ "digest": Digest::of(b""), "size": 1 });
    let session = json!({
        "fleet": "bench", "epoch": 1, "name": "bench", "counter": 1, "not_before": signed, "expires": signed.plus(60),
        "consent": "all", "output": "private", "parties": keys.iter().enumerate().map(party).collect::<Vec<_>>(),
        "program": { "pack": blob, "entry": "main.py" },
        "mpyc": { "version": "0.11", "file": "mpyc-0.11-py3-none-any.whl", "wheel": blob, "prss": true, "tls": true, "base_port": 11365 },
        "limits": { "memory": 1 << 29, "cpu": 100, "tasks": 64, "output": 1024 },
        "deadlines": { "preflight": 30, "connect": 30, "run": 60 },
    });
    serde_json::from_value(session).expect("the sample is a session")
}
