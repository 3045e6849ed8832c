//! A full disk: writes say so, reads go on, and a remote store keeps the same promises as a folder.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Bytes;
use e3_hub::{Location, Settings};
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::common::*;

/// A store that compares versions, and can be full.
#[derive(Debug, Default)]
struct Disk {
    inner: InMemory,
    full: AtomicBool,
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a disk")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Disk {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if self.full.load(Ordering::Relaxed) {
            let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
            return Err(Error::Generic {
                store: "a disk",
                source: Box::new(source),
            });
        }
        self.inner.put_opts(path, payload, options).await
    }
    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }
    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(path, options).await
    }
    async fn get_ranges(&self, path: &Path, ranges: &[std::ops::Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(path, ranges).await
    }
    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

async fn start(disk: &Arc<Disk>) -> Fleet {
    let location = Location::Other(Arc::<Disk>::clone(disk));
    e3_hub::init(&location, &root_bytes(), Some(&head_bytes(1)), now())
        .await
        .unwrap();
    Fleet::over(
        std::path::Path::new("/nowhere"),
        |settings: &mut Settings| settings.location = location,
    )
    .await
}

#[tokio::test]
async fn a_full_disk_takes_nothing_more_and_goes_on_reading() {
    let disk = Arc::new(Disk::default());
    let fleet = start(&disk).await;
    let hub = fleet.client();
    let etag = fleet.etag().await;
    let (enrolment, invite) = enrolment(20, 11, now().plus(60));
    hub.put_session(session_bytes()).await.unwrap();
    let path = format!(
        "sha256/{}?kind=release",
        e3_core::digest::Digest::of(&sign(&release(), &[5])).hex()
    );

    disk.full.store(true, Ordering::Relaxed);
    let full = no(507, "disk-full");
    assert_eq!(fleet.put_head(head_bytes(2), &etag).await, full);
    assert_eq!(fleet.put("root/2.json", sign(&root(2), &[1])).await, full);
    // However often it is tried: what was not stored does not count as a copy.
    for _ in 0..65 {
        assert_eq!(fleet.put(&path, sign(&release(), &[5])).await, full);
    }
    assert_eq!(fleet.enrol(&enrolment, &invite).await, full);
    assert_eq!(hub.head(None).await.unwrap().unwrap().bytes, head_bytes(1));
    assert!(hub.root(1).await.unwrap().is_some());

    disk.full.store(false, Ordering::Relaxed);
    assert_eq!(fleet.put_head(head_bytes(2), &etag).await, yes(200));
    assert_eq!(fleet.put(&path, sign(&release(), &[5])).await, yes(201));
    assert_eq!(fleet.enrol(&enrolment, &invite).await, yes(201));
}

#[tokio::test]
async fn two_hubs_over_a_store_without_locks_agree_on_one_head() {
    let disk = Arc::new(Disk::default());
    let (one, two) = (start(&disk).await, start(&disk).await);
    let etag = one.etag().await;
    let tries = (0..16_u64).map(|n| {
        let fleet = if n % 2 == 0 { &one } else { &two };
        fleet.put_head(head_bytes(2 + n), &etag)
    });
    let answers = futures_util::future::join_all(tries).await;
    assert_eq!(
        answers.iter().filter(|answer| **answer == yes(200)).count(),
        1,
        "{answers:?}"
    );
    assert_eq!(
        answers
            .iter()
            .filter(|answer| **answer == no(412, "changed"))
            .count(),
        15
    );
    assert_eq!(one.etag().await, two.etag().await);
}
