//! What people read about an index: a real server on this machine, dishonest or broken. What the
//! wheels are checked for is tested where that is done, in `e3_client::index`.

use std::path::PathBuf;

use e3_core::digest::Digest;
use e3_testkit::pages::Pages;

use super::*;

const WHEEL: &[u8] = b"PK\x03\x04 a wheel";
const FILE: &str = "mpyc-0.11-py3-none-any.whl";
const JSON: &str = "application/vnd.pypi.simple.v1+json";

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

async fn screen(pages: Vec<(&str, u16, &str, Vec<u8>)>, mpyc: &MpycOptions) -> String {
    let cache = tempfile::tempdir().unwrap();
    let server = Pages::serve(pages).await.unwrap();
    let url = format!("http://me:secret@{}/simple", server.address());
    let sources = Sources {
        index: IndexUrl::parse(&url).unwrap(),
        cache: cache.path().to_owned(),
    };
    let error = resolve(mpyc, &sources).await.unwrap_err();
    let text = format!("{}\n{error}\n{error:?}", error.remedy());
    assert!(!text.contains("secret"), "{text}");
    assert_eq!(
        std::fs::read_dir(cache.path()).unwrap().count(),
        0,
        "nothing bad is kept"
    );
    error
        .to_string()
        .replace(&url.replace("me:secret@", ""), "INDEX")
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
    let server = Pages::serve(Vec::new()).await.unwrap();
    let url = format!("http://{}/simple", server.address());
    drop(server);
    tokio::task::yield_now().await;
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
async fn a_wheel_that_the_manifest_names_needs_no_index() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    std::fs::write(&path, WHEEL).unwrap();
    let sources = Sources {
        index: IndexUrl::parse("http://127.0.0.1:1").unwrap(),
        cache: PathBuf::from("/nonexistent"),
    };
    let mpyc = MpycOptions {
        wheel: Some(path),
        ..MpycOptions::new("0.11")
    };
    assert_eq!(
        resolve(&mpyc, &sources).await.unwrap().origin,
        Origin::Local
    );
    let none = MpycOptions {
        wheel: Some(folder.path().join("x/mpyc-0.11-py3-none-any.whl")),
        ..mpyc
    };
    let error = resolve(&none, &sources).await.unwrap_err();
    assert!(error.remedy().contains("correct the path"));
    assert!(
        error.message().contains("No such file"),
        "{}",
        error.message()
    );
}
