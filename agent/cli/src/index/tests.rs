//! The index as a real server on this machine, honest and not.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const WHEEL: &[u8] = b"PK\x03\x04 a wheel";
const FILE: &str = "mpyc-0.11-py3-none-any.whl";
const JSON: &str = "application/vnd.pypi.simple.v1+json";

struct Server {
    url: String,
    requests: Arc<AtomicUsize>,
}

/// Serves `pages` (path → status, content type, body) until the test ends.
async fn serve(pages: Vec<(&str, u16, &str, Vec<u8>)>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://me:secret@{}/simple", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let page = |(path, status, kind, body): (&str, u16, &str, Vec<u8>)| {
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        (path.to_owned(), [head.into_bytes(), body].concat())
    };
    let pages: HashMap<String, Vec<u8>> = pages.into_iter().map(page).collect();
    let counter = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::Relaxed);
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else {
                    break;
                };
                request.push(byte);
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let missing =
                b"HTTP/1.1 404 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec();
            let _ = stream.write_all(pages.get(path).unwrap_or(&missing)).await;
        }
    });
    Server { url, requests }
}

fn page(url: &str, sha256: &str) -> Vec<u8> {
    let old = r#"{"filename": "mpyc-0.10-py3-none-any.whl", "url": "x", "hashes": {}}"#;
    let source = r#"{"filename": "mpyc-0.11.tar.gz", "url": "y", "hashes": {}}"#;
    let new = format!(
        r#"{{"filename": "{FILE}", "url": "{url}", "hashes": {{"sha256": "{sha256}"}}, "size": 1}}"#
    );
    format!(r#"{{"meta": {{"api-version": "1.1"}}, "files": [{old}, {source}, {new}]}}"#)
        .into_bytes()
}

fn honest(url: &str) -> Vec<u8> {
    page(url, &Digest::of(WHEEL).hex())
}

fn sources(server: &Server, cache: &Path) -> Sources {
    Sources {
        index: IndexUrl::parse(&server.url).unwrap(),
        cache: cache.to_owned(),
    }
}

async fn screen(pages: Vec<(&str, u16, &str, Vec<u8>)>, mpyc: &MpycOptions) -> String {
    let cache = tempfile::tempdir().unwrap();
    let server = serve(pages).await;
    let error = resolve(mpyc, &sources(&server, cache.path()))
        .await
        .unwrap_err();
    let address = server.url.replace("me:secret@", "");
    let text = format!("{}\n{error}\n{error:?}", error.remedy());
    assert!(!text.contains("secret"), "{text}");
    assert_eq!(
        std::fs::read_dir(cache.path()).unwrap().count(),
        0,
        "nothing bad is kept"
    );
    error.to_string().replace(&address, "INDEX")
}

#[tokio::test]
async fn a_wheel_is_fetched_once_and_found_offline_afterwards() {
    let cache = tempfile::tempdir().unwrap();
    let pages = vec![
        ("/simple/mpyc/", 200, JSON, honest("../../files/mpyc.whl")),
        (
            "/files/mpyc.whl",
            200,
            "application/octet-stream",
            WHEEL.to_vec(),
        ),
    ];
    let server = serve(pages).await;
    let sources = sources(&server, &cache.path().join("deep/wheels"));
    let mpyc = MpycOptions::new("0.11");
    let fetched = resolve(&mpyc, &sources).await.unwrap();
    assert_eq!(
        (
            fetched.file.as_str(),
            fetched.bytes.as_slice(),
            fetched.origin
        ),
        (FILE, WHEEL, Origin::Index)
    );
    assert_eq!(server.requests.load(Ordering::Relaxed), 2);
    let again = resolve(&mpyc, &sources).await.unwrap();
    assert_eq!(
        (again.bytes.as_slice(), again.origin),
        (WHEEL, Origin::Cache)
    );
    assert_eq!(
        server.requests.load(Ordering::Relaxed),
        2,
        "no network for what is there"
    );
    // A damaged cache is the same as an empty one.
    let kept = sources.cache.join(Digest::of(WHEEL).hex()).join(FILE);
    std::fs::write(&kept, "rubbish").unwrap();
    assert_eq!(
        resolve(&mpyc, &sources).await.unwrap().origin,
        Origin::Index
    );
    assert_eq!(std::fs::read(kept).unwrap(), WHEEL);
}

#[tokio::test]
async fn a_dishonest_or_broken_index_is_named() {
    let mpyc = MpycOptions::new("0.11");
    let file = |bytes: &[u8]| ("/simple/mpyc/f", 200, "x/y", bytes.to_vec());
    let index = |kind: &'static str, body: Vec<u8>| ("/simple/mpyc/", 200, kind, body);
    let mut screens = Vec::new();
    screens.push(screen(vec![index(JSON, honest("f")), file(b"other")], &mpyc).await);
    screens.push(screen(vec![index("text/html", b"<html>".to_vec())], &mpyc).await);
    screens.push(screen(vec![index(JSON, b"{\"files\": 3}".to_vec())], &mpyc).await);
    screens.push(screen(vec![index(JSON, page("f", "12"))], &mpyc).await);
    screens.push(screen(vec![index(JSON, vec![b' '; 9 << 20])], &mpyc).await);
    screens.push(screen(vec![index(JSON, honest("f")), file(&[0; 17 << 20])], &mpyc).await);
    screens.push(screen(vec![index(JSON, honest("f"))], &MpycOptions::new("0.12")).await);
    screens.push(screen(vec![("/simple/mpyc/", 503, "", Vec::new())], &mpyc).await);
    let pinned = MpycOptions {
        sha256: Some(Digest::of(b"pinned")),
        ..mpyc
    };
    screens.push(screen(vec![index(JSON, honest("f"))], &pinned).await);
    insta::assert_snapshot!("index", screens.join("\n"));
}

#[tokio::test]
async fn nobody_at_home_is_said_with_what_to_do() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/simple", listener.local_addr().unwrap());
    drop(listener);
    let sources = Sources {
        index: IndexUrl::parse(&url).unwrap(),
        cache: PathBuf::from("/nonexistent"),
    };
    let error = resolve(&MpycOptions::new("0.11"), &sources)
        .await
        .unwrap_err();
    assert!(error.is_unreachable());
    let text = error.to_string();
    assert!(
        text.contains("Connection refused") && text.contains("give the file with wheel ="),
        "{text}"
    );
}

#[tokio::test]
async fn an_index_without_tls_is_believed_only_with_a_pin() {
    let index = IndexUrl::parse("http://index.invalid/simple").unwrap();
    let sources = Sources {
        index,
        cache: PathBuf::from("/nonexistent"),
    };
    let error = resolve(&MpycOptions::new("0.11"), &sources)
        .await
        .unwrap_err();
    assert!(matches!(error, IndexError::NotSecure { .. }), "{error}");
}

#[test]
fn local_files_are_what_they_claim() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let good = write(FILE, WHEEL);
    let mpyc = MpycOptions::new("0.11");
    assert_eq!(local(&good, &mpyc).unwrap().origin, Origin::Local);
    let error = |path: &Path, mpyc: &MpycOptions| local(path, mpyc).unwrap_err();
    assert!(matches!(
        error(&good, &MpycOptions::new("0.10")),
        IndexError::OtherFile { .. }
    ));
    assert!(matches!(
        error(&write("mpyc.whl", WHEEL), &mpyc),
        IndexError::OtherFile { .. }
    ));
    assert!(matches!(
        error(&write("mpyc-0.11-py2-none-any.whl", b"<html>"), &mpyc),
        IndexError::OtherFile { .. }
    ));
    let pinned = MpycOptions {
        sha256: Some(Digest::of(b"x")),
        ..mpyc.clone()
    };
    assert!(matches!(
        error(&good, &pinned),
        IndexError::OtherDigest { .. }
    ));
    let none = error(&folder.path().join("x/mpyc-0.11-py3-none-any.whl"), &mpyc);
    assert!(matches!(none, IndexError::File(_)) && none.remedy().contains("correct the path"));
}

#[test]
fn the_index_is_chosen_and_its_password_is_never_shown() {
    let choose = |given, pip| IndexUrl::choose(given, pip).unwrap().to_string();
    assert_eq!(choose(None, None), "https://pypi.org/simple/");
    assert_eq!(
        choose(None, Some("https://u:p@pip.example/s/")),
        "https://pip.example/s/"
    );
    assert_eq!(
        choose(Some("https://e3.example"), Some("https://pip.example")),
        "https://e3.example/"
    );
    for bad in [
        "ftp://u:secret@x/",
        "x",
        "https://",
        "file:///x",
        "://u:secret@x",
    ] {
        let error = IndexUrl::parse(bad).unwrap_err().to_string();
        assert!(
            error.contains("is not the URL") && !error.contains("secret"),
            "{error}"
        );
    }
    assert_eq!(
        Sources::default_cache(Some("/x".into()), None),
        Some("/x/e3/wheels".into())
    );
    assert_eq!(
        Sources::default_cache(Some("x".into()), Some("/h".into())),
        Some("/h/.cache/e3/wheels".into())
    );
}
