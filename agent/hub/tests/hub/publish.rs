//! What may be published: heads and roots that follow one another, and a store that is initialised once.

use crate::common::*;
use e3_client::hub::{Hub, HubError};
use e3_core::digest::Blob;
use e3_hub::{Location, ServeError};

#[tokio::test]
async fn a_whole_fleet_is_published_and_the_bare_folder_reads_the_same() {
    let fleet = Fleet::start().await;
    let hub = fleet.client();
    let read = hub.head(None).await.unwrap().unwrap();
    assert_eq!(read.bytes, head_bytes(1));
    assert!(hub.head(Some(&read.etag)).await.unwrap().is_none());
    let session = session_bytes();
    let envelope = hub.put_session(session.clone()).await.unwrap();
    hub.put_blob(&envelope, PROGRAM.to_vec()).await.unwrap();
    hub.put_blob(&envelope, WHEEL.to_vec()).await.unwrap();
    hub.put_release(sign(&release(), &[5])).await.unwrap();
    let new = sign(&head(2, vec![session_ref(&session)]), &[2]);
    hub.put_head(new.clone(), Some(&read.etag)).await.unwrap();
    let manifest = digest(&session);
    for party in [0, 2] {
        let keys = [11 + u8::try_from(party).unwrap()];
        hub.put_receipt(&envelope, &manifest, party, sign(&receipt(party), &keys))
            .await
            .unwrap();
    }
    hub.put_root(2, sign(&root(2), &[1])).await.unwrap();

    // The same reads from the running hub, from the folder, and from the folder behind any web server.
    let folder = Hub::open(&format!("file://{}", fleet.folder.display()), None).unwrap();
    let host = Hub::open(&static_host(fleet.folder.clone()).await, None).unwrap();
    let unpublished = host.put_head(head_bytes(3), None).await;
    assert!(
        matches!(unpublished, Err(HubError::ReadOnly { .. })),
        "{unpublished:?}"
    );
    for reader in [hub, folder, host] {
        let program = Blob::of(PROGRAM);
        assert!(reader.has_blob(&program).await.unwrap());
        assert!(!reader.has_blob(&Blob::of(b"another")).await.unwrap());
        let longer = Blob {
            size: program.size + 1,
            ..program
        };
        let longer = reader.has_blob(&longer).await;
        assert!(
            matches!(longer, Err(HubError::NotAsNamed { .. })),
            "{longer:?}"
        );
        let head = reader.head(None).await.unwrap().unwrap();
        assert_eq!(head.bytes, new);
        assert_eq!(head.etag, fleet.etag().await);
        assert_eq!(reader.blob(&Blob::of(&session)).await.unwrap(), session);
        assert_eq!(reader.blob(&Blob::of(PROGRAM)).await.unwrap(), PROGRAM);
        assert_eq!(reader.root(2).await.unwrap().unwrap(), sign(&root(2), &[1]));
        assert!(reader.root(3).await.unwrap().is_none());
        let receipts = reader.receipts(&manifest, 3).await.unwrap();
        assert_eq!(
            receipts.iter().map(Option::is_some).collect::<Vec<_>>(),
            [true, false, true]
        );
    }
    // Without the bytes.
    let path = format!("/sha256/{}", Blob::of(PROGRAM).digest.hex());
    let head = format!("HEAD {path} HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n\r\n");
    let answer = fleet.raw(head.as_bytes()).await.to_lowercase();
    let (headers, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(headers.starts_with("http/1.1 200"), "{headers}");
    let length = format!("content-length: {}", PROGRAM.len());
    assert!(headers.contains(&length) && body.is_empty(), "{answer}");
    let listed = fleet.http.get(format!(
        "{}/v1/sessions/{}/receipts",
        fleet.url(),
        manifest.hex()
    ));
    let listed = listed.send().await.unwrap().text().await.unwrap();
    let third = String::from_utf8(sign(&receipt(2), &[13])).unwrap();
    assert!(listed.ends_with(&format!(",null,{third}]}}")), "{listed}");
}

/// Files over HTTP, as any web server gives them: no tags, no writes.
async fn static_host(folder: std::path::PathBuf) -> String {
    let files = async move |request: axum::extract::Request| {
        if !["GET", "HEAD"].contains(&request.method().as_str()) {
            return (axum::http::StatusCode::METHOD_NOT_ALLOWED, vec![]);
        }
        match std::fs::read(folder.join(request.uri().path().trim_start_matches('/'))) {
            Ok(bytes) => (axum::http::StatusCode::OK, bytes),
            Err(_) => (axum::http::StatusCode::NOT_FOUND, vec![]),
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = axum::Router::new().fallback(files);
    tokio::spawn(async move { axum::serve(listener, server).await });
    url
}

#[tokio::test]
async fn heads_that_do_not_follow_are_refused() {
    let fleet = Fleet::start().await;
    let etag = fleet.etag().await;
    let refused = no(403, "head-refused");
    // Forged, or of another role (rule 9).
    assert_eq!(
        fleet.put_head(sign(&head(2, vec![]), &[9]), &etag).await,
        refused
    );
    assert_eq!(
        fleet.put_head(sign(&head(2, vec![]), &[3, 4]), &etag).await,
        refused
    );
    assert_eq!(fleet.put_head(session_bytes(), &etag).await, refused);
    // Expired, from the future, of another root, of another fleet.
    let mut bad = head(2, vec![]);
    (bad.signed, bad.expires) = (e3_core::time::Time::MIN, now());
    assert_eq!(fleet.put_head(sign(&bad, &[2]), &etag).await, refused);
    let mut bad = head(2, vec![]);
    (bad.signed, bad.expires) = (now().plus(90_000), now().plus(100_000));
    assert_eq!(fleet.put_head(sign(&bad, &[2]), &etag).await, refused);
    let mut bad = head(2, vec![]);
    bad.root.version = 2;
    assert_eq!(fleet.put_head(sign(&bad, &[2]), &etag).await, refused);
    let mut bad = head(2, vec![]);
    bad.fleet = name("other");
    assert_eq!(fleet.put_head(sign(&bad, &[2]), &etag).await, refused);
    // Rollback and equivocation.
    assert_eq!(fleet.put_head(head_bytes(5), &etag).await, yes(200));
    let etag = fleet.etag().await;
    assert_eq!(fleet.put_head(head_bytes(4), &etag).await, refused);
    let mut other = head(5, vec![]);
    other.expires = now().plus(2000);
    assert_eq!(fleet.put_head(sign(&other, &[2]), &etag).await, refused);
    assert_eq!(
        fleet.client().head(None).await.unwrap().unwrap().bytes,
        head_bytes(5)
    );
}

#[tokio::test]
async fn a_head_replaces_only_the_one_that_was_read() {
    let fleet = Fleet::start().await;
    let old = fleet.etag().await;
    let unconditional = fleet.put("head.json", head_bytes(2)).await;
    assert_eq!(unconditional, no(428, "condition-missing"));
    assert_eq!(fleet.put_head(head_bytes(2), &old).await, yes(200));
    assert_eq!(
        fleet.put_head(head_bytes(3), &old).await,
        no(412, "changed")
    );
    assert!(matches!(
        fleet.client().put_head(head_bytes(3), None).await,
        Err(HubError::Conflict)
    ));
    // The answer was lost and the head is sent again: it is there.
    assert_eq!(fleet.put_head(head_bytes(2), &old).await, yes(200));
    // Anybody can reformat a signed head; that must not make a new file of it.
    let spaced = [&head_bytes(3)[..], b" "].concat();
    assert_eq!(
        fleet.put_head(spaced, &fleet.etag().await).await,
        no(403, "refused")
    );
}

#[tokio::test]
async fn of_many_publishers_at_once_through_two_hubs_one_wins() {
    let one = Fleet::start().await;
    let two = Fleet::over(&one.folder, |_| {}).await;
    let etag = one.etag().await;
    let tries = (0..16_u64).map(|n| {
        let hub = if n % 2 == 0 {
            one.client()
        } else {
            two.client()
        };
        let etag = etag.clone();
        tokio::spawn(async move { hub.put_head(head_bytes(2 + n), Some(&etag)).await })
    });
    let mut won = 0;
    for each in tries.collect::<Vec<_>>() {
        match each.await.unwrap() {
            Ok(()) => won += 1,
            Err(error) => assert!(matches!(error, HubError::Conflict), "{error}"),
        }
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn roots_follow_one_another() {
    let fleet = Fleet::start().await;
    let refused = no(403, "root-refused");
    assert_eq!(
        fleet.put("root/2.json", sign(&root(2), &[9])).await,
        refused
    );
    assert_eq!(
        fleet.put("root/3.json", sign(&root(3), &[1])).await,
        refused
    );
    assert_eq!(
        fleet.put("root/3.json", sign(&root(2), &[1])).await,
        no(400, "not-as-named")
    );
    assert_eq!(
        fleet.put("root/2.json", sign(&root(2), &[1])).await,
        yes(201)
    );
    assert_eq!(
        fleet.put("root/2.json", sign(&root(2), &[1])).await,
        yes(200)
    );
    assert_eq!(
        fleet.put("root/1.json", sign(&root(2), &[1])).await,
        no(409, "root-exists")
    );
    // A head must now stand on the new root.
    assert_eq!(
        fleet.put_head(head_bytes(2), &fleet.etag().await).await,
        no(403, "head-refused")
    );
    let mut new = head(2, vec![]);
    new.root = e3_core::document::RootRef {
        version: 2,
        digest: digest(&sign(&root(2), &[1])),
    };
    assert_eq!(
        fleet.put_head(sign(&new, &[2]), &fleet.etag().await).await,
        yes(200)
    );
}

#[tokio::test]
async fn a_store_is_initialised_once() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Folder(folder.path().to_owned());
    let settings = e3_hub::Settings::new(location.clone(), ([127, 0, 0, 1], 0).into(), now);
    let start = e3_hub::serve(settings, std::future::pending()).await;
    assert!(matches!(start, Err(ServeError::NotInitialised { .. })));
    let init =
        async |root: &[u8], head: Option<&[u8]>| e3_hub::init(&location, root, head, now()).await;
    assert!(matches!(
        init(b"{}", None).await,
        Err(ServeError::Envelope(_))
    ));
    assert!(matches!(
        init(&sign(&root(1), &[9]), None).await,
        Err(ServeError::Root(_))
    ));
    assert!(matches!(
        init(&sign(&root(2), &[1]), None).await,
        Err(ServeError::RootVersion { version: 2 })
    ));
    let forged = sign(&head(1, vec![]), &[9]);
    assert!(matches!(
        init(&root_bytes(), Some(&forged)).await,
        Err(ServeError::Head(_))
    ));
    assert!(!folder.path().join("root").exists());
    init(&root_bytes(), None).await.unwrap();
    init(&root_bytes(), Some(&head_bytes(1))).await.unwrap();
    init(&root_bytes(), Some(&head_bytes(1))).await.unwrap();
    assert!(matches!(
        init(&root_bytes(), Some(&head_bytes(2))).await,
        Err(ServeError::AlreadyInitialised { .. })
    ));
    let mut other = root(1);
    other.fleet = name("other");
    let other = init(&sign(&other, &[1]), None).await;
    assert!(matches!(other, Err(ServeError::AlreadyInitialised { .. })));
}

#[tokio::test]
async fn the_first_head_needs_none_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Folder(folder.path().to_owned());
    e3_hub::init(&location, &root_bytes(), None, now())
        .await
        .unwrap();
    let fleet = Fleet::over(folder.path(), |_| {}).await;
    let hub = fleet.client();
    assert!(matches!(
        hub.head(None).await,
        Err(HubError::NotFound { .. })
    ));
    assert_eq!(fleet.put_head(head_bytes(1), "*").await, no(412, "changed"));
    hub.put_head(head_bytes(1), None).await.unwrap();
    assert_eq!(hub.head(None).await.unwrap().unwrap().bytes, head_bytes(1));
}
