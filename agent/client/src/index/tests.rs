//! The index as a real server on this machine, honest and not.

use e3_testkit::pages::Pages;

use super::*;

const WHEEL: &[u8] = b"PK\x03\x04 a wheel";
const FILE: &str = "mpyc-0.11-py3-none-any.whl";
const JSON: &str = "application/vnd.pypi.simple.v1+json";

/// MPyC's page, with one wheel at `url` and hashed to `sha256`.
fn page(url: &str, sha256: &str) -> (&'static str, u16, &'static str, Vec<u8>) {
    let file = format!(
        r#"{{"filename": "{FILE}", "url": "{url}", "hashes": {{"sha256": "{sha256}"}}, "size": 1}}"#
    );
    let page = format!(r#"{{"meta": {{"api-version": "1.1"}}, "files": [{file}]}}"#);
    ("/simple/mpyc/", 200, JSON, page.into_bytes())
}

fn file(bytes: &[u8]) -> (&'static str, u16, &'static str, Vec<u8>) {
    (
        "/files/f",
        200,
        "application/octet-stream",
        bytes.to_owned(),
    )
}

fn index_at(server: &Pages) -> IndexUrl {
    IndexUrl::parse(&format!("http://me:secret@{}/simple", server.address())).unwrap()
}

#[tokio::test]
async fn a_wheel_is_fetched_once_and_found_offline_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let pages = vec![page("../../files/f", &Digest::of(WHEEL).hex()), file(WHEEL)];
    let server = Pages::serve(pages).await.unwrap();
    let sources = Sources {
        index: index_at(&server),
        cache: folder.path().join("deep/wheels"),
    };
    let fetched = resolve("0.11", None, &sources).await.unwrap();
    let expected = Wheel {
        file: FILE.to_owned(),
        bytes: WHEEL.to_owned(),
        origin: Origin::Index,
    };
    assert_eq!(fetched, expected);
    assert_eq!(server.requests(), 2);
    let again = resolve("0.11", None, &sources).await.unwrap();
    assert_eq!(
        (again.bytes.as_slice(), again.origin),
        (WHEEL, Origin::Cache)
    );
    assert_eq!(server.requests(), 2, "no network for what is there");
    // A damaged cache is the same as an empty one.
    let kept = sources.cache.join(Digest::of(WHEEL).hex()).join(FILE);
    crate::files::write_atomic(&kept, b"rubbish").unwrap();
    let again = resolve("0.11", None, &sources).await.unwrap();
    assert_eq!(again.origin, Origin::Index);
    assert_eq!(std::fs::read(kept).unwrap(), WHEEL);
}

#[tokio::test]
async fn a_pinned_file_is_taken_whatever_the_index_says_of_it() {
    let pinned = Blob::of(WHEEL);
    for said in [
        Digest::of(WHEEL).hex(),
        Digest::of(b"lie").hex(),
        String::new(),
    ] {
        let pages = vec![page("/files/f", &said), file(WHEEL)];
        let server = Pages::serve(pages).await.unwrap();
        let bytes = exact(&index_at(&server), FILE, &pinned).await.unwrap();
        assert_eq!(bytes, WHEEL);
    }
}

#[tokio::test]
async fn other_bytes_than_the_pinned_ones_are_refused_whatever_the_index_says_of_them() {
    let pinned = Blob::of(WHEEL);
    let other = b"PK\x03\x04 another".to_vec();
    for (bytes, expected) in [
        (&other[..WHEEL.len() - 3], "has another"),
        (&WHEEL[..5], "has another"),
        (&[0; 1000][..], "sends more than 12 bytes"),
    ] {
        let pages = vec![page("/files/f", &Digest::of(bytes).hex()), file(bytes)];
        let server = Pages::serve(pages).await.unwrap();
        let error = exact(&index_at(&server), FILE, &pinned).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(
            text.contains(expected) && !text.contains("secret"),
            "{text}"
        );
    }
    let server = Pages::serve(vec![page("/files/f", "")]).await.unwrap();
    let named = exact(&index_at(&server), "mpyc-0.9.whl", &pinned).await;
    assert!(matches!(named, Err(IndexError::NoSuchFile { .. })));
    let gone = exact(&index_at(&server), FILE, &pinned).await;
    assert!(matches!(gone, Err(IndexError::Status { status: 404, .. })));
}

#[tokio::test]
async fn an_index_without_tls_is_believed_only_with_a_pin() {
    let sources = Sources {
        index: IndexUrl::parse("http://index.invalid/simple").unwrap(),
        cache: PathBuf::from("/nonexistent"),
    };
    let error = resolve("0.11", None, &sources).await.unwrap_err();
    assert!(matches!(error, IndexError::NotSecure { .. }), "{error}");
}

#[test]
fn local_files_are_what_they_claim() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        crate::files::write_atomic(&path, bytes).unwrap();
        path
    };
    let good = write(FILE, WHEEL);
    assert_eq!(local(&good, "0.11", None).unwrap().origin, Origin::Local);
    let other = |path: &Path, version: &str| {
        let error = local(path, version, None).unwrap_err();
        assert!(matches!(error, IndexError::OtherFile { .. }), "{error}");
    };
    other(&good, "0.10");
    other(&write("mpyc.whl", WHEEL), "0.11");
    other(&write("mpyc-0.11-py2-none-any.whl", b"<html>"), "0.11");
    let error = local(&good, "0.11", Some(&Digest::of(b"x"))).unwrap_err();
    assert!(matches!(error, IndexError::OtherDigest { .. }), "{error}");
}

#[test]
fn the_index_is_chosen_and_its_password_is_never_shown() {
    let choose = |given, pip| IndexUrl::choose(given, pip).unwrap().to_string();
    assert_eq!(choose(None, Some(" ")), "https://pypi.org/simple/");
    assert_eq!(IndexUrl::pypi().to_string(), "https://pypi.org/simple/");
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
}
