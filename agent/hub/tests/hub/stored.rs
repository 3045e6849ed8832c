//! What is stored beside heads and roots: only what the fleet's keys have signed or named.

use crate::common::*;
use e3_core::digest::{Blob, Digest};

/// Where these bytes are put.
fn path(bytes: &[u8], query: &str) -> String {
    format!("sha256/{}?{query}", Digest::of(bytes).hex())
}

#[tokio::test]
async fn only_what_fleet_keys_signed_or_named_is_stored() {
    let fleet = Fleet::start().await;
    let session = session_bytes();
    let envelope = Digest::of(&session).hex();
    let by = format!("session={envelope}");
    // Nobody asked for it.
    assert_eq!(
        fleet.put(&path(PROGRAM, &by), PROGRAM).await,
        no(403, "session-unknown")
    );
    for query in [
        "",
        "kind=other",
        "kind=session&session=00",
        "session=../../head.json",
    ] {
        assert_eq!(
            fleet.put(&path(PROGRAM, query), PROGRAM).await,
            no(400, "bad-query"),
            "{query}"
        );
    }
    // One signature of two; a release key; another type.
    for bad in [
        sign(&crate::common::session(), &[3]),
        sign(&crate::common::session(), &[3, 5]),
        sign(&release(), &[3, 4]),
    ] {
        assert_eq!(
            fleet.put(&path(&bad, "kind=session"), bad.clone()).await,
            no(403, "refused")
        );
    }
    let bad = sign(&release(), &[3]);
    assert_eq!(
        fleet.put(&path(&bad, "kind=release"), bad.clone()).await,
        no(403, "refused")
    );
    // Another epoch.
    let mut other = crate::common::session();
    other.epoch = 2;
    let bad = sign(&other, &[3, 4]);
    assert_eq!(
        fleet.put(&path(&bad, "kind=session"), bad.clone()).await,
        no(403, "refused")
    );
    // Another name than its digest.
    let elsewhere = path(b"x", "kind=session");
    assert_eq!(
        fleet.put(&elsewhere, session.clone()).await,
        no(400, "not-as-named")
    );
    // A stranger's signature beside the good ones would be a new file for everybody who adds one.
    let strange = sign(&crate::common::session(), &[3, 4, 9]);
    assert_eq!(
        fleet
            .put(&path(&strange, "kind=session"), strange.clone())
            .await,
        no(403, "strange-signature")
    );

    assert_eq!(
        fleet
            .put(&path(&session, "kind=session"), session.clone())
            .await,
        yes(201)
    );
    assert_eq!(
        fleet
            .put(&path(&session, "kind=session"), session.clone())
            .await,
        yes(200)
    );
    // Larger than named, shorter than named, other bytes, not named.
    let long = [PROGRAM, b"!"].concat();
    assert_eq!(
        fleet.put(&path(PROGRAM, &by), long.clone()).await,
        no(413, "too-large")
    );
    assert_eq!(
        fleet.put(&path(PROGRAM, &by), &PROGRAM[1..]).await,
        no(400, "not-as-named")
    );
    assert_eq!(
        fleet.put(&path(PROGRAM, &by), "A program").await,
        no(400, "not-as-named")
    );
    assert_eq!(
        fleet.put(&path(&long, &by), long.clone()).await,
        no(403, "not-named")
    );
    assert_eq!(fleet.put(&path(PROGRAM, &by), PROGRAM).await, yes(201));
    assert_eq!(fleet.put(&path(PROGRAM, &by), PROGRAM).await, yes(200));
    // Nothing that was refused has left anything.
    let stored = std::fs::read_dir(fleet.folder.join("sha256"))
        .unwrap()
        .count();
    assert_eq!(stored, 2);
}

#[tokio::test]
async fn a_signed_session_cannot_be_stored_in_endless_variants() {
    let fleet = Fleet::start().await;
    let keys: Vec<u8> = (20..26).collect();
    let mut root = root(2);
    root.session.keys = keys.iter().map(|n| key(*n).public()).collect();
    assert_eq!(fleet.put("root/2.json", sign(&root, &[1])).await, yes(201));
    // The same signatures in another order, again and again.
    let mut answers = Vec::new();
    for n in 0..720_usize {
        let mut order = Vec::new();
        let (mut rest, mut n) = (keys.clone(), n);
        while !rest.is_empty() {
            order.push(rest.remove(n % rest.len()));
            n /= rest.len() + 1;
        }
        let bytes = sign(&session(), &order);
        let path = format!("sha256/{}?kind=session", Digest::of(&bytes).hex());
        answers.push(fleet.put(&path, bytes).await);
        if answers.last() == Some(&no(429, "too-many-copies")) {
            break;
        }
    }
    assert_eq!(answers.pop(), Some(no(429, "too-many-copies")));
    assert_eq!(answers, vec![yes(201); 64]);
}

#[tokio::test]
async fn receipts_come_from_their_party_and_the_first_one_stands() {
    let fleet = Fleet::start().await;
    let session = session_bytes();
    let manifest = digest(&session).hex();
    let envelope = fleet
        .client()
        .put_session(session.clone())
        .await
        .unwrap()
        .hex();
    let path = |place: &str| format!("receipts/{manifest}/{place}.json?session={envelope}");
    let refused = no(403, "receipt-refused");
    // A stranger, another party, another place, a place that there is not.
    assert_eq!(
        fleet.put(&path("0"), sign(&receipt(0), &[9])).await,
        refused
    );
    assert_eq!(
        fleet.put(&path("0"), sign(&receipt(0), &[12])).await,
        refused
    );
    assert_eq!(
        fleet.put(&path("1"), sign(&receipt(0), &[11])).await,
        refused
    );
    assert_eq!(
        fleet.put(&path("3"), sign(&receipt(0), &[11])).await,
        refused
    );
    assert_eq!(
        fleet.put(&path("64"), sign(&receipt(0), &[11])).await,
        no(404, "not-found")
    );
    // Another manifest, an envelope that is not here, none at all.
    let other = format!(
        "receipts/{}/0.json?session={envelope}",
        Digest::of(b"x").hex()
    );
    assert_eq!(fleet.put(&other, sign(&receipt(0), &[11])).await, refused);
    let unknown = format!(
        "receipts/{manifest}/0.json?session={}",
        Digest::of(b"x").hex()
    );
    assert_eq!(
        fleet.put(&unknown, sign(&receipt(0), &[11])).await,
        no(403, "session-unknown")
    );
    let silent = format!("receipts/{manifest}/0.json");
    assert_eq!(
        fleet.put(&silent, sign(&receipt(0), &[11])).await,
        no(400, "bad-query")
    );

    assert_eq!(
        fleet.put(&path("0"), sign(&receipt(0), &[11])).await,
        yes(201)
    );
    assert_eq!(
        fleet.put(&path("0"), sign(&receipt(0), &[11])).await,
        yes(200)
    );
    let mut second = receipt(0);
    second.finished = now().plus(1);
    assert_eq!(
        fleet.put(&path("0"), sign(&second, &[11])).await,
        no(409, "receipt-exists")
    );

    // Keys are replaced while the session runs: its last receipt is still taken.
    let mut root = root(2);
    root.session.keys = vec![key(30).public(), key(31).public()];
    assert_eq!(fleet.put("root/2.json", sign(&root, &[1])).await, yes(201));
    assert_eq!(
        fleet.put(&path("1"), sign(&receipt(1), &[12])).await,
        yes(201)
    );
    // But nothing new can be uploaded in its name.
    let blob = format!("sha256/{}?session={envelope}", Digest::of(PROGRAM).hex());
    assert_eq!(fleet.put(&blob, PROGRAM).await, no(403, "refused"));
}

#[tokio::test]
async fn a_binary_is_taken_only_if_a_signed_release_names_it() {
    let fleet = Fleet::start().await;
    let hub = fleet.client();
    let (envelope, binary) = (sign(&release(), &[5]), b"agent".to_vec());
    let by = format!("release={}", Digest::of(&envelope).hex());
    // The release comes first.
    assert_eq!(
        fleet.put(&path(&binary, &by), binary.clone()).await,
        no(403, "release-unknown")
    );
    let stored = hub.put_release(envelope).await.unwrap();
    // Another one, or more or less of it.
    assert_eq!(
        fleet.put(&path(b"other", &by), b"other".to_vec()).await,
        no(403, "not-named")
    );
    for bad in [b"agen".to_vec(), b"agenT".to_vec()] {
        assert_eq!(
            fleet.put(&path(&binary, &by), bad).await,
            no(400, "not-as-named")
        );
    }
    assert_eq!(
        fleet.put(&path(&binary, &by), vec![0; 1000]).await,
        no(413, "too-large")
    );
    // A session names no binaries, and a release no programs.
    let session = hub.put_session(session_bytes()).await.unwrap();
    let mixed = [
        (
            path(&binary, &format!("session={}", session.hex())),
            binary.clone(),
        ),
        (path(PROGRAM, &by), PROGRAM.to_vec()),
        (
            path(PROGRAM, &format!("release={}", session.hex())),
            PROGRAM.to_vec(),
        ),
    ];
    for (path, bytes) in mixed {
        let (status, _) = fleet.put(&path, bytes).await;
        assert_eq!(status, 403, "{path}");
    }
    hub.put_binary(&stored, binary.clone()).await.unwrap();
    hub.put_binary(&stored, binary.clone()).await.unwrap();
    assert_eq!(hub.blob(&Blob::of(&binary)).await.unwrap(), binary);
}
