//! A list: read and judged, or made of the images in a folder and signed.

use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use e3_client::files;
use e3_core::digest::Blob;
use e3_core::document::{Document as _, Images, PublishedImage};
use e3_core::envelope::{Envelope, EnvelopeError};
use e3_core::key::{PublicKey, SecretKey};
use e3_core::limits;
use e3_core::text::clean;
use e3_core::time::Time;
use reqwest::Url;

use super::address::{Address, SHOWN, client, unreachable};
use super::seen::Seen;
use super::{PublishedError, wait_for};
use crate::error::ImageError;
use crate::shelf;
use crate::stop::Stop;
use crate::sums;

/// How long the whole list may take to come.
const TOTAL: Duration = Duration::from_mins(1);
/// Files older than this have no time of their own: what Nix builds is made in 1970.
const OLDEST: i64 = 1_000_000_000;

/// A list that is signed by the key that was named, and newer than all that was seen of it.
#[derive(Debug, Clone)]
pub struct Published {
    /// Where it was asked for.
    pub from: Address,
    /// What there is.
    pub list: Images,
}

impl Published {
    /// The image of that name: a file's, or an image's in the flake; of several for one processor the newest one.
    pub fn find(&self, name: &str, arch: Option<&str>) -> Result<&PublishedImage, PublishedError> {
        let images = &self.list.images;
        if let Some(image) = images.iter().find(|image| image.file == name) {
            return Ok(image);
        }
        let is_it = |image: &&PublishedImage| {
            image.image == name && (arch.is_none() || image.arch.as_deref() == arch)
        };
        let found: Vec<_> = images.iter().filter(is_it).collect();
        let newest = found.iter().max_by_key(|image| (image.made, &image.file));
        let Some(newest) = newest else {
            let known: Vec<_> = images.iter().map(|image| image.file.as_str()).collect();
            return Err(PublishedError::Unknown {
                name: clean(name, SHOWN),
                known: known.join(", "),
            });
        };
        if found.iter().any(|image| image.arch != newest.arch) {
            let files: Vec<_> = found.iter().map(|image| image.file.as_str()).collect();
            return Err(PublishedError::Several {
                name: name.to_owned(),
                files: files.join(", "),
            });
        }
        Ok(newest)
    }
}

/// Reads the list at `from`, which `key` must have signed.
pub fn read(
    from: &Address,
    key: &PublicKey,
    seen: &Seen,
    stop: &Stop,
) -> Result<Published, ImageError> {
    let bytes = match from {
        Address::File(path) => {
            files::read_bounded(path, limits::ENVELOPE).map_err(PublishedError::File)?
        }
        Address::Web(url) => wait_for(stop, "nothing was written", get(from, url))?,
    };
    let refused = |source: EnvelopeError| PublishedError::List {
        from: from.shown(),
        source,
    };
    let envelope = Envelope::parse(&bytes, limits::ENVELOPE).map_err(refused)?;
    let verified = envelope.verify::<Images>([key], 1).map_err(refused)?;
    seen.judge(&from.shown(), key, &verified)?;
    Ok(Published {
        from: from.clone(),
        list: verified.document,
    })
}

/// Rule 3: stops before the first byte too many.
async fn get(from: &Address, url: &Url) -> Result<Vec<u8>, ImageError> {
    let failed = |error| ImageError::from(unreachable(from, error));
    let request = client().map_err(failed)?.get(url.clone()).timeout(TOTAL);
    let mut answer = request.send().await.map_err(failed)?;
    if !answer.status().is_success() {
        return Err(PublishedError::Status {
            from: from.shown(),
            status: answer.status().as_u16(),
        }
        .into());
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > limits::ENVELOPE {
            return Err(PublishedError::List {
                from: from.shown(),
                source: EnvelopeError::TooLarge {
                    size: body.len(),
                    limit: limits::ENVELOPE,
                },
            }
            .into());
        }
    }
    Ok(body)
}

/// The images in these folders, as a list names them; they will lie at `base`, or beside the list.
pub fn draft(
    folders: &[PathBuf],
    base: Option<&str>,
    now: Time,
    stop: &Stop,
    progress: &mut dyn FnMut(&str, u64, u64),
) -> Result<Vec<PublishedImage>, ImageError> {
    let mut images = Vec::new();
    for folder in folders {
        for found in shelf::look(folder)? {
            let name = found.path.file_name().unwrap_or_default();
            let file = name.to_string_lossy().into_owned();
            let Some(image) = found.image else {
                return Err(ImageError::NotAnImage {
                    path: found.path,
                    why: "its name does not say which image it is",
                });
            };
            let path = found.path;
            let mut tell = |done| progress(&file, done, found.size);
            let digest = sums::of_file(&path, stop, &mut tell)?;
            let url = match base {
                Some(base) => format!("{}/{file}", base.trim_end_matches('/')),
                None => file.clone(),
            };
            images.push(PublishedImage {
                content: Blob {
                    digest,
                    size: found.size,
                },
                arch: found.arch.map(str::to_owned),
                made: made(&path, now),
                file,
                image,
                url,
            });
        }
    }
    Ok(images)
}

/// When a file was written; now, where it does not say so.
fn made(path: &Path, now: Time) -> Time {
    let written = path.metadata().and_then(|metadata| metadata.modified());
    let seconds = written.ok().and_then(|time| {
        let since = time.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_secs()).ok()
    });
    let time = Time::from_unix(seconds.unwrap_or_default());
    if time < Time::from_unix(OLDEST) || time > now {
        now
    } else {
        time
    }
}

/// Signs a list. Its number is the time in seconds, so that it rises wherever it is made; one more than `replaces`, should that
/// be as high.
pub fn sign(
    images: Vec<PublishedImage>,
    replaces: Option<u64>,
    now: Time,
    key: &SecretKey,
) -> Result<(Images, Envelope), PublishedError> {
    let seconds = u64::try_from(now.unix()).unwrap_or_default();
    let list = Images {
        number: seconds.max(replaces.map_or(1, |number| number.saturating_add(1))),
        signed: now,
        images,
    };
    list.check().map_err(PublishedError::Draft)?;
    let envelope = Envelope::sign(&list, &[key]).map_err(PublishedError::Draft)?;
    Ok((list, envelope))
}
