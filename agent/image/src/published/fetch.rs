//! A published image onto this computer.
//!
//! What comes lies in the folder under another name, `.NAME.<digest>.part`, until its digest is the list's. Whatever ends the
//! command, the same command goes on there: what lies there is read again and counts towards the digest, so it need not be
//! trusted. A file that turns out to be another one is removed; if an earlier command had begun it, it is got once more from
//! its beginning.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use e3_core::document::PublishedImage;
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{RequestBuilder, Response, StatusCode, Url};

use super::address::{Address, client, unreachable};
use super::list::Published;
use super::part::Part;
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
pub(super) const KEPT: &str = "what was fetched is kept, and the same command goes on";

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
pub(super) type Tell<'a> = &'a mut dyn FnMut(Progress);

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
            Address::File(source) => copy(&mut part, source, stop, tell)?,
            Address::Web(url) => {
                wait_for(stop, KEPT, over_the_network(&mut part, &from, url, tell))?;
            }
        }
        let found = part.digest();
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

/// From another place on this computer.
fn copy(part: &mut Part<'_>, source: &Path, stop: &Stop, tell: Tell<'_>) -> Result<(), ImageError> {
    let failed = || ImageError::io("read", source);
    let mut file = File::open(source).map_err(failed())?;
    file.seek(SeekFrom::Start(part.length)).map_err(failed())?;
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
        part.add(&from, &piece[..length])?;
        tell(Progress::Fetching(part.length));
    }
    part.is_whole(&from)
}

/// Over the network, going on when the connection breaks.
async fn over_the_network(
    part: &mut Part<'_>,
    from: &Address,
    url: &Url,
    tell: Tell<'_>,
) -> Result<(), ImageError> {
    let client = client().map_err(|error| unreachable(from, error))?;
    let (mut attempt, mut pause) = (1, PAUSE);
    while part.length < part.image.content.size {
        let before = part.length;
        let Err(error) = go_on(part, from, client.get(url.clone()), &mut *tell).await else {
            continue;
        };
        if part.length > before {
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
    part: &mut Part<'_>,
    from: &Address,
    mut request: RequestBuilder,
    tell: Tell<'_>,
) -> Result<(), ImageError> {
    let failed = |error| ImageError::from(unreachable(from, error));
    if part.length > 0 {
        request = request.header(RANGE, format!("bytes={}-", part.length));
    }
    let mut answer = request.send().await.map_err(failed)?;
    is_the_rest(part, from, &answer)?;
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        part.add(from, &chunk)?;
        tell(Progress::Fetching(part.length));
    }
    part.is_whole(from)
}

/// Whether what is about to come goes on where this ends; otherwise begins anew.
fn is_the_rest(part: &mut Part<'_>, from: &Address, answer: &Response) -> Result<(), ImageError> {
    let size = part.image.content.size;
    let status = answer.status();
    if status == StatusCode::RANGE_NOT_SATISFIABLE && part.length > 0 {
        // It is shorter than what lies here: the next attempt gets it from its beginning.
        part.begin_anew()?;
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
    let begins = format!("bytes {}-", part.length);
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
        part.begin_anew()?;
    }
    match answer.content_length() {
        Some(length) if part.length.saturating_add(length) != size => {
            let whole = part.length.saturating_add(length);
            part.discard();
            Err(part.other_length(from, format!("{whole} bytes")).into())
        }
        _ => Ok(()),
    }
}
