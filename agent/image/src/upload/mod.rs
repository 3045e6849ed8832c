//! An image to DigitalOcean: into the owner's Space, from there into the cloud, and out of the Space again.
//!
//! The cloud takes images from an address only, so the file goes into object storage ([`space`], [`parts`]) for as long as
//! the cloud needs to fetch it ([`cloud`]), by an address that is signed and ends. What has been done stands in a
//! [`record`] on this computer, written before the next thing is begun: whatever ends the command, the same command goes on.
//!
//! An image carries its SHA-256 as a tag. One that is there already is not sent again, from whichever computer it came.
//!
//! What fails for good leaves nothing in the Space. What may pass leaves what was sent, and says so: it is paid for by the
//! gigabyte, and sent again only if it was thrown away.

mod account;
mod cloud;
mod error;
mod outgoing;
mod parts;
mod record;
mod space;

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use e3_client::human;

pub use self::account::{Account, LIMIT as CREDENTIALS, read as credentials};
use self::cloud::{Cloud, CloudImage, NewImage};
pub use self::error::{Fault, UploadError, Way};
use self::outgoing::Outgoing;
use self::record::{Held, Record, Stage};
pub use self::space::Space;
use self::space::Store;
use crate::error::ImageError;
use crate::stop::Stop;

/// Where DigitalOcean's API is.
pub const API: &str = "https://api.digitalocean.com";
/// What the tag of an image begins with; its SHA-256 follows.
const TAG: &str = "e3-sha256-";
/// The folder in the Space.
const FOLDER: &str = "e3-upload";
/// How long the address is good that the cloud fetches the image from, and how long an import is waited for: mostly it takes
/// some minutes.
const LIFE: Duration = Duration::from_hours(2);
/// How often the cloud is asked how far it is: soon at first, then seldom.
const ASKED: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// Of three attempts to have it imported, two may get no clear answer.
const IMPORTS: u32 = 3;
/// How often somebody looks whether Ctrl-C was pressed.
const LOOK: Duration = Duration::from_millis(100);

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
    /// The file's hash.
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
    let sha256 = image.hash(stop, progress)?;
    let progress = RefCell::new(progress);
    let tell = |event: Progress<'_>| (progress.borrow_mut())(event);
    e3_client::tls::install();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ImageError::io("read", &order.image))?;
    runtime.block_on(async {
        let store = Store::open(&order.space, &order.account, order.wait).map_err(failed)?;
        let cloud = Cloud::open(&order.api, &order.account, order.wait, &tell).map_err(failed)?;
        let record = Record::open(&order.records, &sha256, &order.space.to_string());
        let mut job = Job {
            order,
            key: format!("{FOLDER}/{}/{}", &sha256[..16], image.name),
            image: Arc::new(image),
            name,
            tag: format!("{TAG}{sha256}"),
            sha256,
            store,
            cloud,
            record: record.map_err(failed)?,
            tell: &tell,
            warnings: Vec::new(),
        };
        let stopped = tokio::select! {
            done = job.work() => Some(done),
            () = stopped(stop) => None,
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

async fn stopped(stop: &Stop) {
    while !stop.is_set() {
        tokio::time::sleep(LOOK).await;
    }
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

/// One order on its way.
struct Job<'a> {
    order: &'a Order,
    image: Arc<Outgoing>,
    sha256: String,
    name: String,
    /// The object in the Space.
    key: String,
    tag: String,
    store: Store,
    cloud: Cloud<'a>,
    record: Record,
    tell: Tell<'a>,
    warnings: Vec<String>,
}

impl Job<'_> {
    async fn work(&mut self) -> Result<Uploaded, Fault> {
        if self.order.mode == Mode::Discard {
            self.clean().await?;
            return Ok(self.done(None, 0, false));
        }
        // Before a gigabyte is sent: whether the token is good, and whether there is anything to do.
        let found = self.find().await?;
        if self.order.mode == Mode::DryRun {
            return self.plan(found).await;
        }
        let mut sent = 0;
        let was_there = found.is_some();
        let image = if let Some(image) = found {
            image
        } else {
            sent = self.send().await?;
            self.import().await?
        };
        let image = self.wait(image).await?;
        self.remove().await;
        let image = self.spread(image).await?;
        Ok(self.done(Some(&image), sent, was_there))
    }

    /// The image at the cloud, if it is there or on its way.
    async fn find(&self) -> Result<Option<CloudImage>, Fault> {
        let mut found = self.cloud.tagged(&self.tag).await?;
        found.retain(|image| !image.is_gone());
        found.sort_by_key(|image| (!image.is_available(), image.id));
        Ok(found.into_iter().next())
    }

    async fn plan(&self, found: Option<CloudImage>) -> Result<Uploaded, Fault> {
        let to_send = if found.is_some() || self.is_sent().await? {
            0
        } else {
            self.image.size - parts::there(&self.record, &self.image)
        };
        let was_there = found.is_some();
        let mut plan = self.done(found.as_ref(), to_send, was_there);
        let regions = self.order.regions.iter();
        let missing = regions.filter(|region| !plan.regions.contains(region));
        plan.missing = missing.cloned().collect();
        Ok(plan)
    }

    /// Whether the Space has all of it, whatever the record says.
    async fn is_sent(&self) -> Result<bool, Fault> {
        Ok(self.store.look(self.object()).await? == Some(self.image.size))
    }

    /// Where it is in the Space, or will be.
    fn object(&self) -> &str {
        let held = self.record.held.as_ref();
        held.map_or(&self.key, |held| &held.key)
    }

    /// Brings it into the Space, and returns how many bytes that took.
    async fn send(&mut self) -> Result<u64, Fault> {
        if self.is_sent().await? {
            let key = self.object().to_owned();
            self.record.keep(&key, Stage::Sent)?;
            return Ok(0);
        }
        if !matches!(
            &self.record.held,
            Some(Held {
                stage: Stage::Sending { .. },
                ..
            })
        ) {
            self.record.forget()?;
        }
        let there = parts::there(&self.record, &self.image);
        let key = self.key.clone();
        parts::send(&self.store, &self.image, &key, &mut self.record, self.tell).await?;
        Ok(self.image.size - there)
    }

    /// Has the cloud fetch it.
    async fn import(&mut self) -> Result<CloudImage, Fault> {
        let key = self.object().to_owned();
        let url = self.store.address(&key, LIFE).await?;
        let region = self.order.regions.first().map_or("", String::as_str);
        let new = NewImage {
            name: &self.name,
            url: &url,
            region,
            description: &format!("An E3 appliance. SHA-256 of the file: {}", self.sha256),
            tags: &["e3".to_owned(), self.tag.clone()],
        };
        let mut attempt = 1;
        let image = loop {
            match self.cloud.import(&new).await {
                Ok(image) => break image,
                Err(fault) if fault.is_unclear() => {
                    // The answer may be what was lost, and the image be on its way.
                    if let Some(image) = self.find().await? {
                        break image;
                    }
                    if attempt == IMPORTS {
                        return Err(fault);
                    }
                    attempt += 1;
                }
                Err(fault) => return Err(fault),
            }
        };
        let stage = Stage::Importing { image: image.id };
        self.record.keep(&key, stage)?;
        Ok(image)
    }

    /// Waits until the cloud has made an image of it.
    async fn wait(&self, mut image: CloudImage) -> Result<CloudImage, Fault> {
        let began = Instant::now();
        let mut pause = ASKED.0;
        while !image.is_available() {
            if image.is_gone() {
                let said = image.problem();
                return Err(Fault::Import { said });
            }
            if began.elapsed() > LIFE {
                return Err(Fault::Slow {
                    id: image.id,
                    minutes: LIFE.as_secs() / 60,
                });
            }
            (self.tell)(Progress::Importing {
                status: &e3_core::text::clean(&image.status, 40),
            });
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(ASKED.1);
            image = self.cloud.image(image.id).await?;
        }
        Ok(image)
    }

    /// Has the cloud bring it to the other regions.
    async fn spread(&self, mut image: CloudImage) -> Result<CloudImage, Fault> {
        let regions = self.order.regions.iter();
        let missing: Vec<_> = regions
            .filter(|region| !image.regions.contains(region))
            .collect();
        let mut going = Vec::new();
        for region in &missing {
            going.push((*region, self.cloud.transfer(image.id, region).await?));
        }
        for (region, mut action) in going {
            let began = Instant::now();
            let mut pause = ASKED.0;
            while action.status != "completed" {
                let fault = |said: &str| Fault::Transfer {
                    id: image.id,
                    region: region.clone(),
                    said: said.to_owned(),
                };
                if action.status == "errored" {
                    return Err(fault(""));
                }
                if began.elapsed() > LIFE {
                    return Err(fault("it takes too long"));
                }
                (self.tell)(Progress::Spreading {
                    region,
                    status: &e3_core::text::clean(&action.status, 40),
                });
                tokio::time::sleep(pause).await;
                pause = (pause * 3 / 2).min(ASKED.1);
                action = self.cloud.action(image.id, action.id).await?;
            }
        }
        if !missing.is_empty() {
            image = self.cloud.image(image.id).await?;
        }
        Ok(image)
    }

    /// Removes the copy; if that fails, somebody has to know, but the image is there.
    async fn remove(&mut self) {
        if let Err(fault) = self.clean().await {
            let warning = format!("{fault}. {}", self.left());
            self.warnings.push(warning);
        }
    }

    /// Removes what is in the Space.
    async fn clean(&mut self) -> Result<(), Fault> {
        match &self.record.held {
            Some(Held {
                key,
                stage: Stage::Sending { upload, .. },
            }) => {
                self.store.abort(key, upload).await?;
            }
            Some(Held { key, .. }) => self.store.delete(key).await?,
            None => return Ok(()),
        }
        self.record.forget()
    }

    /// Cleans up after a failure, and says what is there now.
    async fn after(&mut self, fault: &Fault) -> String {
        if !fault.is_passing() {
            if let Err(other) = self.clean().await {
                return format!("The copy could not be removed: {other}. {}", self.left());
            }
            return String::new();
        }
        self.left()
    }

    /// What is in the Space, for people.
    fn left(&self) -> String {
        let (space, size) = (&self.order.space, human::size(self.image.size));
        let key = self.record.held.as_ref().map_or("", |held| &held.key);
        match self.record.held.as_ref().map(|held| &held.stage) {
            None => "Nothing of it is in the Space.".to_owned(),
            Some(Stage::Sending { .. }) => format!(
                "{} of {size} are in {space}, as parts of {key}; the same command goes on from there, and --discard removes them.",
                human::size(parts::there(&self.record, &self.image))
            ),
            Some(Stage::Sent) => format!(
                "All of it is in {space}, as {key}; the same command goes on from there, and --discard removes it."
            ),
            Some(Stage::Importing { image }) => format!(
                "DigitalOcean is fetching it from {space}, as the image {image}; the same command goes on waiting, and removes {key} afterwards."
            ),
        }
    }

    fn done(&self, image: Option<&CloudImage>, sent: u64, was_there: bool) -> Uploaded {
        let clean = |text: &String| e3_core::text::clean(text, 200);
        Uploaded {
            id: image.map(|image| image.id),
            name: image.map_or_else(|| self.name.clone(), |image| clean(&image.name)),
            regions: image
                .map(|image| image.regions.iter().map(clean).collect())
                .unwrap_or_default(),
            missing: Vec::new(),
            sha256: self.sha256.clone(),
            size: self.image.size,
            sent,
            was_there,
            warnings: self.warnings.clone(),
        }
    }
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
