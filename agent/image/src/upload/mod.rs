//! An image to DigitalOcean: into the owner's Space, from there into the cloud, and out of the Space again.
//!
//! The cloud takes images from an address only, so the file goes into object storage ([`space`], [`parts`]) for as long as
//! the cloud needs to fetch it ([`cloud`]), by an address that is signed and ends. What has been done stands in a
//! [`record`] on this computer, written before the next thing is begun: whatever ends the command, the same command goes on.
//!
//! An image carries its BLAKE3 as a tag ([`hash`]). One that is there already is not sent again, from whichever computer it
//! came.
//!
//! What fails for good leaves nothing in the Space. What may pass leaves what was sent, and says so: it is paid for by the
//! gigabyte, and sent again only if it was thrown away.

mod account;
mod answer;
mod api;
mod cloud;
mod error;
mod hash;
mod job;
mod leftover;
mod outgoing;
mod parts;
mod record;
mod remedy;
mod space;

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use self::account::{Account, LIMIT as CREDENTIALS, read as credentials};
pub use self::answer::Way;
use self::api::Api;
use self::cloud::Cloud;
pub use self::error::{Fault, UploadError};
use self::hash::Sum;
use self::job::Job;
use self::outgoing::Outgoing;
use self::record::Record;
pub use self::space::Space;
use self::space::Store;
use crate::error::ImageError;
use crate::stop::Stop;

/// Where DigitalOcean's API is.
pub const API: &str = "https://api.digitalocean.com";
/// What the tag of an image begins with; its BLAKE3 follows.
const TAG: &str = "e3-blake3-";
/// The folder in the Space.
const FOLDER: &str = "e3-upload";

/// What is to be done.
pub struct Order {
    /// The image's file.
    pub image: PathBuf,
    /// Where it lies meanwhile.
    pub space: Space,
    /// Where it shall be in the end; the cloud imports it into the first one.
    pub regions: Vec<String>,
    /// What it is called; the file's name if nobody says.
    pub name: Option<String>,
    /// Who does it.
    pub account: Account,
    /// The API's address.
    pub api: String,
    /// The folder of records.
    pub records: PathBuf,
    /// How long one answer may take.
    pub wait: Duration,
    /// What to do with it.
    pub mode: Mode,
}

/// What to do with an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Upload it.
    Upload,
    /// Look at everything and change nothing.
    DryRun,
    /// Remove what an earlier command left in the Space.
    Discard,
}

/// How far it is.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// The file is read for its hash.
    Reading {
        /// Bytes.
        done: u64,
        /// Of how many.
        total: u64,
    },
    /// It goes into the Space.
    Sending {
        /// Bytes that are there.
        done: u64,
        /// Of how many.
        total: u64,
    },
    /// The cloud fetches it.
    Importing {
        /// What it says: `NEW`, `pending`.
        status: &'a str,
    },
    /// It goes to another region.
    Spreading {
        /// Which.
        region: &'a str,
        /// What the cloud says.
        status: &'a str,
    },
    /// Something is tried again.
    Waiting {
        /// When.
        seconds: u64,
        /// What happened.
        why: &'a str,
    },
}

/// Who hears of progress.
type Tell<'a> = &'a dyn Fn(Progress<'_>);

/// What there is now.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Uploaded {
    /// The image's number at the cloud; none after a dry run of what is not there.
    pub id: Option<u64>,
    /// Its name there.
    pub name: String,
    /// Where it is.
    pub regions: Vec<String>,
    /// Where it is not yet: after a dry run alone.
    pub missing: Vec<String>,
    /// The file's SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// The file's bytes.
    pub size: u64,
    /// Bytes that were sent, or would be.
    pub sent: u64,
    /// Whether the cloud had it already.
    pub was_there: bool,
    /// What somebody has to know: a copy that could not be removed.
    pub warnings: Vec<String>,
}

/// Carries out an order. It takes as long as it takes; `stop` ends it well.
pub fn run(
    order: &Order,
    stop: &Stop,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Uploaded, ImageError> {
    let image = Outgoing::open(&order.image)?;
    let name = order.name.clone().unwrap_or_else(|| title(&image.name));
    check(order, &name).map_err(failed)?;
    let blake3 = hash::name(&image, stop, progress)?;
    let progress = RefCell::new(progress);
    let tell = |event: Progress<'_>| (progress.borrow_mut())(event);
    e3_client::tls::install();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(ImageError::io("read", &order.image))?;
    runtime.block_on(async {
        let store = Store::open(&order.space, &order.account, order.wait).map_err(failed)?;
        let api = Api::open(&order.api, &order.account, order.wait, &tell).map_err(failed)?;
        let record = Record::open(&order.records, &blake3, &order.space.to_string());
        let image = Arc::new(image);
        let mut job = Job {
            order,
            key: format!("{FOLDER}/{}/{}", &blake3[..16], image.name),
            sum: Sum::begin(&image),
            image,
            name,
            tag: format!("{TAG}{blake3}"),
            store,
            cloud: Cloud(api),
            record: record.map_err(failed)?,
            tell: &tell,
            warnings: Vec::new(),
        };
        let stopped = tokio::select! {
            done = job.work() => Some(done),
            () = stop.asked() => None,
        };
        match stopped {
            Some(Ok(done)) => Ok(done),
            Some(Err(fault)) => {
                let left = job.after(&fault).await;
                Err(ImageError::Upload(UploadError { fault, left }))
            }
            None => Err(ImageError::Stopped { left: job.left() }),
        }
    })
}

fn failed(fault: Fault) -> ImageError {
    ImageError::Upload(fault.into())
}

/// What can be told before anything is read or asked.
fn check(order: &Order, name: &str) -> Result<(), Fault> {
    let plain = |text: &str| e3_core::text::clean(text, 200);
    for region in &order.regions {
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if !(3..=8).contains(&region.len()) || !region.chars().all(is_name) {
            let text = plain(region);
            return Err(Fault::Region { text });
        }
    }
    if !(1..=200).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        let text = plain(name);
        return Err(Fault::Name { text });
    }
    Ok(())
}

/// `e3-digitalocean-x86_64-linux.qcow2.bz2` without what says how it is packed.
fn title(name: &str) -> String {
    let endings = [".bz2", ".gz", ".qcow2", ".img", ".raw"];
    let mut title = name;
    while let Some(rest) = endings.iter().find_map(|end| title.strip_suffix(end)) {
        title = rest;
    }
    if title.is_empty() { "e3" } else { title }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_called_what_its_file_is_called() {
        for (file, name) in [
            (
                "e3-digitalocean-x86_64-linux.qcow2.bz2",
                "e3-digitalocean-x86_64-linux",
            ),
            ("disk.img.gz", "disk"),
            (".gz", "e3"),
        ] {
            assert_eq!(title(file), name);
        }
    }
}
