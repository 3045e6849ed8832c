//! Brings a binary to its place with `self_update`: it downloads, asks our rules, and replaces.
//!
//! What is downloaded and from where is settled before: by the signed release. So of what
//! `self_update` can do it is given one release with one file, no choice and nobody to ask, our own
//! way to the hub, and our rules as `verify_archive`: they see the file before anything is replaced.
//! Two traps are avoided here: the downloaded file must not have the name of the one that is
//! extracted from it (it would be emptied), and neither permissions nor fsync are its business.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use e3_client::hub::{Download, Hub};
use e3_core::digest::Blob;
use e3_core::document::Root;
use e3_core::update::{Image, Trouble};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use self_update::backends::custom::AsyncUpdate;
use self_update::http::HeaderMap;
use self_update::http_client::{AsyncHttpClient, AsyncHttpResponse};
use self_update::{AsyncReleaseSource, Error, Release, ReleaseAsset, Result};

use super::disk::Disk;
use super::verify;

/// The downloaded file's name: not that of the binary, see above.
const DOWNLOADED: &str = "download";

/// Fetches `image` and puts it in its place beside `release`, which names it. When this returns well
/// it is on the disk, and it is what was signed.
pub async fn fetch(
    hub: &Hub,
    disk: &Disk,
    root: &Root,
    image: &Image,
    release: &[u8],
) -> std::result::Result<(), Trouble> {
    let fetched = bring(hub, disk, root, image, release).await;
    fetched.map_err(|detail| {
        // Half of a binary is of no use, and on a full disk it is in the way.
        let _ = fs::remove_dir_all(disk.of(&image.file.digest));
        let version = image.version.clone();
        Trouble::NotFetched { version, detail }.cleaned()
    })
}

async fn bring(
    hub: &Hub,
    disk: &Disk,
    root: &Root,
    image: &Image,
    release: &[u8],
) -> std::result::Result<(), String> {
    let chain = |error: &dyn std::error::Error| crate::text::chain(error);
    let (file, binary) = (&image.file.digest, disk.binary(&image.file.digest));
    // What was there was found wanting, or has another owner's marks on it.
    let _ = fs::remove_dir_all(disk.of(file));
    e3_client::files::private_folder(&disk.of(file)).map_err(|error| chain(&error))?;
    let updated = update(hub, root.clone(), image, release.to_vec(), &binary).await;
    updated.map_err(|error| match error {
        // Its own words for these two say nothing more.
        Error::Io(error) => error.to_string(),
        Error::ArchiveVerificationRejected {
            reason: Some(reason),
            ..
        } => reason,
        error => error.to_string(),
    })?;
    take_in(disk, root, image, release).await
}

/// Makes of what lies in the binary's place what can be executed, beside its release, and says whether it is what was
/// signed. Also for what was there already: a power cut may have come right after it was put there.
pub async fn take_in(
    disk: &Disk,
    root: &Root,
    image: &Image,
    release: &[u8],
) -> std::result::Result<(), String> {
    let (disk, root, file, release) = (disk.clone(), root.clone(), image.file, release.to_vec());
    super::aside(move || {
        let binary = disk.binary(&file.digest);
        let cannot = |error: io::Error| format!("cannot keep {}: {error}", binary.display());
        settle(&binary).map_err(cannot)?;
        let adopted = disk.adopt(&file.digest, &release);
        adopted.map_err(|error| crate::text::chain(&error))?;
        verify(&root, &release, &file, &binary)
    })
    .await?
}

async fn update(
    hub: &Hub,
    root: Root,
    image: &Image,
    release: Vec<u8>,
    binary: &Path,
) -> Result<()> {
    // Among releases the counter decides, so that is what it is told.
    let version = format!("{}.{}.0", image.epoch, image.counter);
    let asset = ReleaseAsset::new(
        DOWNLOADED,
        format!("{}/sha256/{}", hub.url(), image.file.digest.hex()),
    );
    let one = Release::builder().version(&version).asset(asset).build()?;
    let way = Way {
        hub: hub.clone(),
        file: image.file,
    };
    let file = image.file;
    let update = AsyncUpdate::configure()
        .source(One(one))
        .release_tag(&version)
        .asset_matcher(|assets| assets.first().cloned())
        .http_client_async(Arc::new(way))
        .verify_archive(move |path| {
            verify(&root, &release, &file, path).map_err(Error::archive_verification_rejected)
        })
        .target(super::target())
        .current_version("0.0.0")
        .bin_name("e3-agent")
        .bin_install_path(binary)
        .no_confirm(true)
        .show_output(false)
        .build_async()?;
    update.update_async().await.map(drop)
}

/// Read and execute for the agent alone, and on the disk with its name and its folder's.
fn settle(binary: &Path) -> io::Result<()> {
    fs::set_permissions(binary, Permissions::from_mode(0o500))?;
    File::open(binary)?.sync_all()?;
    let mut folder = binary.parent();
    // The binary's own folder, `bin`, and the state folder.
    for _ in 0..3 {
        if let Some(path) = folder {
            File::open(path)?.sync_all()?;
            folder = path.parent();
        }
    }
    Ok(())
}

/// The one release there is.
struct One(Release);

impl AsyncReleaseSource for One {
    async fn get_releases(&self) -> Result<Vec<Release>> {
        Ok(vec![self.0.clone()])
    }
}

/// The way to the hub: its own certificates, its folders, its bounds.
struct Way {
    hub: Hub,
    file: Blob,
}

impl AsyncHttpClient for Way {
    /// There is one thing to be had, whatever is asked for.
    fn get<'a>(
        &'a self,
        _: &'a str,
        _: &'a HeaderMap,
        _: Option<Duration>,
    ) -> BoxFuture<'a, Result<Box<dyn AsyncHttpResponse>>> {
        Box::pin(async {
            let download = self
                .hub
                .download(&self.file)
                .await
                .map_err(io::Error::other)?;
            let headers = HeaderMap::new();
            Ok(Box::new(Answer { headers, download }) as Box<dyn AsyncHttpResponse>)
        })
    }
}

struct Answer {
    headers: HeaderMap,
    download: Download,
}

impl AsyncHttpResponse for Answer {
    fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    fn text(self: Box<Self>) -> BoxFuture<'static, Result<String>> {
        let no_text = io::Error::other("a binary is no text");
        Box::pin(std::future::ready(Err(no_text.into())))
    }

    fn bytes_stream(self: Box<Self>) -> BoxStream<'static, Result<Bytes>> {
        Box::pin(stream::try_unfold(self.download, |mut download| async {
            let piece = download.next().await.map_err(io::Error::other)?;
            Ok(piece.map(|piece| (piece, download)))
        }))
    }
}
