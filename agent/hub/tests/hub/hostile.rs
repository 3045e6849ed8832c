//! Requests that nobody honest would send.

use std::time::Duration;

use e3_core::digest::Digest;
use e3_core::limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::*;

/// Fails the test instead of hanging it.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), work)
        .await
        .expect("the hub waits for ever")
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}

#[tokio::test]
async fn no_path_leads_out_of_the_tree() {
    let fleet = Fleet::start().await;
    std::fs::write(fleet.folder.parent().unwrap().join("secret.json"), "secret").unwrap();
    std::fs::write(fleet.folder.join("secret.json"), "secret").unwrap();
    let hex = Digest::of(b"x").hex();
    let party = key(11).public();
    let climbs = [
        "..",
        "%2e%2e",
        "..%2f..",
        "%2e%2e%2f",
        "..%5c",
        "%00",
        "%ff",
        ".",
        "",
        "secret",
        "secret.json",
        "*",
    ];
    let places = [
        "root", "sha256", "presence", "parties", "invites", "receipts", "v1", ".e3-hub",
    ];
    for place in places {
        for climb in climbs {
            for path in [
                format!("/{place}/{climb}"),
                format!("/{place}/{climb}/secret.json"),
                format!("/{place}/{climb}%2fsecret.json"),
                format!("/{place}/{hex}{climb}"),
                format!("/{place}/{hex}/{climb}.json"),
                format!("/{place}/{party}{climb}.json"),
                format!("/{place}//{climb}"),
            ] {
                for method in ["GET", "PUT"] {
                    let request = format!(
                        "{method} {path}?session={hex} HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx"
                    );
                    let answer = soon(fleet.raw(request.as_bytes())).await;
                    // A blob's own name, for a session that is not here.
                    let named = climb.is_empty() && status(&answer) == "403";
                    assert!(
                        named || matches!(status(&answer), "400" | "404" | "405"),
                        "{method} {path}: {answer}"
                    );
                    assert!(!answer.contains("\r\n\r\nsecret"), "{path}");
                }
            }
        }
    }
    // Also not by the names of the hub's own files.
    for path in [
        "secret.json",
        ".e3-hub/head.lock",
        "head.json/",
        "root/1.json/",
        "root/01.json",
        "sha256/",
    ] {
        let request = format!("GET /{path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
        assert_eq!(
            status(&soon(fleet.raw(request.as_bytes())).await),
            "404",
            "{path}"
        );
    }
}

#[tokio::test]
async fn bodies_are_bounded_before_they_are_read() {
    let fleet = Fleet::start().await;
    let huge = vec![b'x'; 2 * 1024 * 1024];
    let too_large = no(413, "too-large");
    let hex = Digest::of(b"x").hex();
    let session = fleet
        .client()
        .put_session(session_bytes())
        .await
        .unwrap()
        .hex();
    let program = Digest::of(PROGRAM).hex();
    for path in [
        "root/2.json".to_owned(),
        format!("sha256/{hex}?kind=session"),
        format!("sha256/{hex}?kind=release"),
        format!("sha256/{program}?session={session}"),
        format!("receipts/{hex}/0.json?session={hex}"),
        format!("presence/{}.json", key(11).public()),
    ] {
        assert_eq!(fleet.put(&path, huge.clone()).await, too_large, "{path}");
    }
    let head = vec![b'x'; limits::HEAD + 1];
    assert_eq!(fleet.put_head(head, "*").await, too_large);
    let enrol = fleet
        .http
        .post(format!("{}/v1/enrol", fleet.url()))
        .body(huge.clone());
    assert_eq!(fleet.send(enrol).await, too_large);
    // A length that nobody waits for; some that are no lengths.
    for (length, expected) in [
        ("9000000000000000000", "413"),
        ("18446744073709551615", "431"),
        ("18446744073709551616", "400"),
        ("-1", "400"),
    ] {
        let request =
            format!("PUT /root/2.json HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n");
        assert_eq!(
            status(&soon(fleet.raw(request.as_bytes())).await),
            expected,
            "{length}"
        );
    }
    // No length at all: counted while it comes.
    let mut request =
        b"PUT /root/2.json HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    request.extend(b"100000\r\n");
    request.extend(vec![b'x'; 0x10_0000]);
    assert_eq!(status(&soon(fleet.raw(&request)).await), "413");
}

#[tokio::test]
async fn a_header_that_trickles_or_stops_is_cut_off() {
    let fleet = Fleet::with(|settings| settings.limits = quick()).await;
    for start in ["", "G", "GET / HTTP/1.1\r\nhost: h\r\nx: "] {
        // `raw` returns when the hub has closed.
        soon(fleet.raw(start.as_bytes())).await;
    }
    let mut stream = TcpStream::connect(fleet.address).await.unwrap();
    let (mut read, mut write) = stream.split();
    let trickle = async {
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut rest = Vec::new();
    // The trickle never stops by itself; the hub's end of the stream does.
    soon(async {
        tokio::select! { _ = read.read_to_end(&mut rest) => {}, () = trickle => {} }
    })
    .await;
    // A request whose header is one endless line.
    let mut long = b"GET / HTTP/1.1\r\nx: ".to_vec();
    long.extend(vec![b'x'; 1024 * 1024]);
    assert_eq!(status(&soon(fleet.raw(&long)).await), "431");
}

#[tokio::test]
async fn a_body_that_trickles_or_stops_is_cut_off() {
    let fleet = Fleet::with(|settings| settings.limits = quick()).await;
    let start = "PUT /root/2.json HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 1000\r\n\r\nhalf";
    assert_eq!(status(&soon(fleet.raw(start.as_bytes())).await), "408");
    let mut stream = TcpStream::connect(fleet.address).await.unwrap();
    stream.write_all(start.as_bytes()).await.unwrap();
    let (mut read, mut write) = stream.split();
    // Never silent for long, but never done either.
    let trickle = async {
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        std::future::pending::<()>().await;
    };
    let mut answer = [0; 12];
    soon(async { tokio::select! { read = read.read_exact(&mut answer) => { read.unwrap(); }, () = trickle => {} } }).await;
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn half_a_request_and_a_closed_connection_leave_nothing() {
    let fleet = Fleet::start().await;
    for bytes in [
        &b"PUT /head.json HTTP/1.1\r\nif-match: *\r\nhost: h\r\ncontent-length: 1000\r\n\r\nhalf"[..],
        b"GET /v1/events?topics=head HTTP/1.1\r\nhost: h\r\n\r\n",
        b"\0\0\0\0",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
    ] {
        let mut stream = TcpStream::connect(fleet.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        drop(stream);
    }
    // The hub notices that the subscriber has gone: nobody is left, and it goes on as before.
    soon(async {
        loop {
            let text = fleet
                .http
                .get(format!("{}/metrics", fleet.url()))
                .send()
                .await
                .unwrap()
                .text()
                .await
                .unwrap();
            if text.contains("e3_hub_subscribers 0") && text.contains("e3_hub_connections 1\n") {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(
        fleet.client().head(None).await.unwrap().unwrap().bytes,
        head_bytes(1)
    );
}

#[tokio::test]
async fn one_address_cannot_take_all_connections() {
    let fleet = Fleet::with(|settings| settings.limits.connections_per_address = 3).await;
    let subscribe = async || {
        let mut stream = TcpStream::connect(fleet.address).await.unwrap();
        stream
            .write_all(b"GET /v1/events?topics=head HTTP/1.1\r\nhost: h\r\n\r\n")
            .await
            .unwrap();
        let mut start = [0; 12];
        let read = soon(stream.read_exact(&mut start)).await;
        read.map(|_| stream)
    };
    let mut kept = vec![
        subscribe().await.unwrap(),
        subscribe().await.unwrap(),
        subscribe().await.unwrap(),
    ];
    assert!(subscribe().await.is_err());
    // A place that is left can be taken again, as soon as the hub has seen it.
    kept.pop();
    soon(async {
        while subscribe().await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn uploads_share_a_bounded_memory() {
    let fleet = Fleet::with(|settings| settings.limits.bodies = 100_000).await;
    let big = vec![b'x'; 200_000];
    assert_eq!(fleet.put("root/2.json", big).await, no(503, "busy"));
    // What it held is free again.
    assert_eq!(
        fleet.put("root/2.json", sign(&root(2), &[1])).await,
        yes(201)
    );
}

#[tokio::test]
async fn random_bytes_as_documents_are_refused_politely() {
    let fleet = Fleet::start().await;
    let good = head_bytes(2);
    let party = key(11).public();
    // Cut at every place, and with a byte changed at every place.
    for n in (0..good.len()).step_by(7) {
        let mut changed = good.clone();
        changed[n] ^= 0x15;
        for bad in [good[..n].to_vec(), changed] {
            let (status, _) = fleet.put_head(bad.clone(), "*").await;
            assert_eq!(status, 403, "{n}");
            let (status, _) = fleet.put(&format!("presence/{party}.json"), bad).await;
            assert_eq!(status, 403, "{n}");
        }
    }
    assert_eq!(
        fleet.client().head(None).await.unwrap().unwrap().bytes,
        head_bytes(1)
    );
}

#[tokio::test]
async fn unknown_methods_and_addresses_get_a_reasoned_no() {
    let fleet = Fleet::start().await;
    let url = format!("{}/head.json", fleet.url());
    assert_eq!(
        fleet.send(fleet.http.delete(&url)).await,
        no(405, "method-not-allowed")
    );
    assert_eq!(
        fleet.send(fleet.http.get(format!("{url}x"))).await,
        no(404, "not-found")
    );
    let head = fleet.http.head(&url).send().await.unwrap();
    assert_eq!(
        head.headers()["content-length"],
        head_bytes(1).len().to_string()
    );
}
