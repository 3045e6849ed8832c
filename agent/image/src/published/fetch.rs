//! A published image onto this computer.
//!
//! What comes lies in the folder under another name, `.NAME.<digest>.part`, until its digest is the list's. Whatever ends the
//! command, the same command goes on there: what lies there is read again and counts towards the digest, so it need not be
//! trusted. A file that turns out to be another one is removed; if an earlier command had begun it, it is got once more from
//! its beginning.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use e3_core::digest::Hasher;
use e3_core::document::PublishedImage;
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode};

use super::address::{Address, client, unreachable};
use super::list::Published;
use super::{PublishedError, wait_for};
use crate::error::ImageError;
use crate::source::PIECE;
use crate::stop::Stop;
use crate::sums;

/// How often it is gone on with when the connection breaks and nothing new has come.
const ATTEMPTS: u32 = 4;
/// How long to wait before the second attempt; twice as long before each further one.
const PAUSE: Duration = Duration::from_millis(500);

/// How things are when it is interrupted.
const KEPT: &str = "what was fetched is kept, and the same command goes on";

/// What is to be fetched, and where to.
#[derive(Debug)]
pub struct Order<'a> {
    /// The list.
    pub list: &'a Published,
    /// The image in it.
    pub image: &'a PublishedImage,
    /// The folder.
    pub folder: &'a Path,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// What lies there is read.
    Reading(u64),
    /// Bytes that are there.
    Fetching(u64),
}

/// Who hears of progress.
type Tell<'a> = &'a mut dyn FnMut(Progress);

/// What there is now.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fetched {
    /// The file.
    pub path: PathBuf,
    /// Bytes of it that an earlier command had fetched.
    pub had: u64,
    /// Whether it was all there.
    pub was_there: bool,
}

/// Carries out an order.
pub fn fetch(order: &Order<'_>, stop: &Stop, tell: Tell<'_>) -> Result<Fetched, ImageError> {
    let (image, folder) = (order.image, order.folder);
    // The list was checked: a name with no folder in it.
    let path = folder.join(&image.file);
    if path.symlink_metadata().is_ok() {
        let mut reading = |done| tell(Progress::Reading(done));
        let found = sums::of_file(&path, stop, &mut reading)?;
        if found != image.content.digest {
            return Err(ImageError::Exists { path });
        }
        return Ok(Fetched {
            path,
            had: image.content.size,
            was_there: true,
        });
    }
    fs::create_dir_all(folder).map_err(ImageError::io("make", folder))?;
    let from = order.list.from.join(&image.url)?;
    let mut part = Part::open(folder, image)?;
    part.take_in(stop, tell)?;
    loop {
        match &from {
            Address::File(source) => part.copy(source, stop, tell)?,
            Address::Web(_) => wait_for(stop, KEPT, part.fetch(&from, tell))?,
        }
        let found = part.hasher.clone().finish();
        if found == image.content.digest {
            break;
        }
        if part.had == 0 {
            part.discard();
            return Err(PublishedError::Digest {
                from: from.shown(),
                found,
                expected: image.content.digest,
            }
            .into());
        }
        part.begin_anew()?;
    }
    let had = part.had;
    part.name_it(&path)?;
    Ok(Fetched {
        path,
        had,
        was_there: false,
    })
}

/// What has come so far. Locked as long as a command works on it.
struct Part<'a> {
    image: &'a PublishedImage,
    path: PathBuf,
    file: File,
    /// Bytes that are there.
    length: u64,
    /// Those of them that an earlier command has left.
    had: u64,
    hasher: Hasher,
}

impl<'a> Part<'a> {
    fn open(folder: &Path, image: &'a PublishedImage) -> Result<Self, ImageError> {
        let short = image.content.digest.short();
        let path = folder.join(format!(".{}.{short}.part", image.file));
        let failed = |error| ImageError::io("write", &path)(error);
        let options = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path);
        let file = options.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let file = image.file.clone();
                return Err(PublishedError::Busy { file }.into());
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        Ok(Self {
            image,
            path,
            file,
            length: 0,
            had: 0,
            hasher: Hasher::default(),
        })
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(io::Error) -> ImageError + use<> {
        let path = self.path.clone();
        move |source| ImageError::Io {
            action,
            path,
            source,
        }
    }

    /// Reads what an earlier command has left.
    fn take_in(&mut self, stop: &Stop, tell: Tell<'_>) -> Result<(), ImageError> {
        let mut piece = vec![0; PIECE];
        loop {
            if stop.is_set() {
                let left = KEPT.to_owned();
                return Err(ImageError::Stopped { left });
            }
            let length = self.file.read(&mut piece).map_err(self.failed("read"))?;
            if length == 0 {
                self.had = self.length;
                return Ok(());
            }
            self.hasher.update(&piece[..length]);
            self.length += length as u64;
            if self.length > self.image.content.size {
                // Not ours.
                return self.begin_anew();
            }
            tell(Progress::Reading(self.length));
        }
    }

    fn begin_anew(&mut self) -> Result<(), ImageError> {
        self.file.set_len(0).map_err(self.failed("write"))?;
        self.file
            .seek(SeekFrom::Start(0))
            .map_err(self.failed("write"))?;
        (self.length, self.had, self.hasher) = (0, 0, Hasher::default());
        Ok(())
    }

    /// Rule 3: not one byte more than the list says.
    fn add(&mut self, from: &Address, bytes: &[u8]) -> Result<(), ImageError> {
        let length = self.length + bytes.len() as u64;
        if length > self.image.content.size {
            self.discard();
            return Err(self
                .other_length(from, "more bytes than that".to_owned())
                .into());
        }
        self.file.write_all(bytes).map_err(self.failed("write"))?;
        self.hasher.update(bytes);
        self.length = length;
        Ok(())
    }

    fn other_length(&self, from: &Address, found: String) -> PublishedError {
        PublishedError::Length {
            from: from.shown(),
            found,
            expected: self.image.content.size,
        }
    }

    /// From another place on this computer.
    fn copy(&mut self, source: &Path, stop: &Stop, tell: Tell<'_>) -> Result<(), ImageError> {
        let failed = || ImageError::io("read", source);
        let mut file = File::open(source).map_err(failed())?;
        file.seek(SeekFrom::Start(self.length)).map_err(failed())?;
        let from = Address::File(source.to_owned());
        let mut piece = vec![0; PIECE];
        loop {
            if stop.is_set() {
                let left = KEPT.to_owned();
                return Err(ImageError::Stopped { left });
            }
            let length = file.read(&mut piece).map_err(failed())?;
            if length == 0 {
                break;
            }
            self.add(&from, &piece[..length])?;
            tell(Progress::Fetching(self.length));
        }
        self.is_whole(&from)
    }

    /// Over the network, going on when the connection breaks.
    async fn fetch(&mut self, from: &Address, tell: Tell<'_>) -> Result<(), ImageError> {
        let client = client().map_err(|error| unreachable(from, error))?;
        let (mut attempt, mut pause) = (1, PAUSE);
        while self.length < self.image.content.size {
            let before = self.length;
            let Err(error) = self.go_on(&client, from, &mut *tell).await else {
                continue;
            };
            if self.length > before {
                (attempt, pause) = (1, PAUSE);
            } else {
                attempt += 1;
            }
            let passes = match &error {
                ImageError::Published(PublishedError::Unreachable { .. }) => true,
                ImageError::Published(PublishedError::Status { status, .. }) => {
                    *status >= 500 || *status == 429
                }
                _ => false,
            };
            if !passes || attempt > ATTEMPTS {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Ok(())
    }

    /// One answer, as far as it goes.
    async fn go_on(
        &mut self,
        client: &Client,
        from: &Address,
        tell: Tell<'_>,
    ) -> Result<(), ImageError> {
        let Address::Web(url) = from else {
            unreachable!("files are copied");
        };
        let failed = |error| ImageError::from(unreachable(from, error));
        let mut request = client.get(url.clone());
        if self.length > 0 {
            request = request.header(RANGE, format!("bytes={}-", self.length));
        }
        let mut answer = request.send().await.map_err(failed)?;
        self.is_the_rest(from, &answer)?;
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            self.add(from, &chunk)?;
            tell(Progress::Fetching(self.length));
        }
        self.is_whole(from)
    }

    /// Whether what is about to come goes on where this ends; otherwise begins anew.
    fn is_the_rest(&mut self, from: &Address, answer: &Response) -> Result<(), ImageError> {
        let size = self.image.content.size;
        let status = answer.status();
        if status == StatusCode::RANGE_NOT_SATISFIABLE && self.length > 0 {
            // It is shorter than what lies here: the next attempt gets it from its beginning.
            self.begin_anew()?;
            return Err(PublishedError::Unreachable {
                from: from.shown(),
                detail: "there is no such part of it".to_owned(),
            }
            .into());
        }
        if !status.is_success() {
            return Err(PublishedError::Status {
                from: from.shown(),
                status: status.as_u16(),
            }
            .into());
        }
        let range = answer
            .headers()
            .get(CONTENT_RANGE)
            .and_then(|v| v.to_str().ok());
        let begins = format!("bytes {}-", self.length);
        if status != StatusCode::PARTIAL_CONTENT
            || range.is_none_or(|range| !range.starts_with(&begins))
        {
            if status == StatusCode::PARTIAL_CONTENT {
                // Another piece than was asked for.
                return Err(PublishedError::Status {
                    from: from.shown(),
                    status: status.as_u16(),
                }
                .into());
            }
            self.begin_anew()?;
        }
        match answer.content_length() {
            Some(length) if self.length.saturating_add(length) != size => {
                let whole = self.length.saturating_add(length);
                self.discard();
                Err(self.other_length(from, format!("{whole} bytes")).into())
            }
            _ => Ok(()),
        }
    }

    /// An answer that ends too early is a broken connection.
    fn is_whole(&self, from: &Address) -> Result<(), ImageError> {
        if self.length == self.image.content.size {
            return Ok(());
        }
        Err(match from {
            Address::File(_) => {
                self.discard();
                self.other_length(from, format!("{} bytes", self.length))
            }
            Address::Web(_) => PublishedError::Unreachable {
                from: from.shown(),
                detail: format!("the connection ended after {} bytes", self.length),
            },
        }
        .into())
    }

    /// What is there is of no use to anybody.
    fn discard(&self) {
        // If it stays, it is read and found wrong the next time.
        let _ = fs::remove_file(&self.path);
    }

    /// Its digest is right: it is the image now, and on the disk when this returns.
    fn name_it(self, path: &Path) -> Result<(), ImageError> {
        self.file.sync_all().map_err(self.failed("write"))?;
        fs::rename(&self.path, path).map_err(ImageError::io("name", path))?;
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new(".")));
        let synced = folder.and_then(|folder| folder.sync_all());
        synced.map_err(ImageError::io("write", path))
    }
}
