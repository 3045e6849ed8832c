//! One order on its way: looks whether the image is there, sends it, has it imported, brings it to its regions. What stays in
//! the Space when that fails is [`super::leftover`]'s.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cloud::{Action, Cloud, CloudImage, NewImage};
use super::error::Fault;
use super::hash::Sum;
use super::outgoing::Outgoing;
use super::record::{Held, Record, Stage};
use super::space::Store;
use super::{Mode, Order, Progress, Tell, Uploaded, parts};

/// How long the address is good that the cloud fetches the image from, and how long an import is waited for: mostly it takes
/// some minutes.
const LIFE: Duration = Duration::from_hours(2);
/// How often the cloud is asked how far it is: soon at first, then seldom.
const ASKED: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// Of three attempts to have it imported, two may get no clear answer.
const IMPORTS: u32 = 3;

/// What is needed for it.
pub(super) struct Job<'a> {
    pub(super) order: &'a Order,
    pub(super) image: Arc<Outgoing>,
    pub(super) sum: Sum,
    pub(super) name: String,
    /// The object in the Space.
    pub(super) key: String,
    pub(super) tag: String,
    pub(super) store: Store,
    pub(super) cloud: Cloud<'a>,
    pub(super) record: Record,
    pub(super) tell: Tell<'a>,
    pub(super) warnings: Vec<String>,
}

impl Job<'_> {
    /// All of it.
    pub(super) async fn work(&mut self) -> Result<Uploaded, Fault> {
        if self.order.mode == Mode::Discard {
            self.clean().await?;
            return self.done(None, 0, false).await;
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
        self.done(Some(&image), sent, was_there).await
    }

    /// The image at the cloud, if it is there or on its way.
    async fn find(&self) -> Result<Option<CloudImage>, Fault> {
        let mut found = self.cloud.tagged(&self.tag).await?;
        found.retain(|image| !image.is_gone());
        found.sort_by_key(|image| (!image.is_available(), image.id));
        Ok(found.into_iter().next())
    }

    async fn plan(&mut self, found: Option<CloudImage>) -> Result<Uploaded, Fault> {
        let to_send = if found.is_some() || self.is_sent().await? {
            0
        } else {
            self.image.size - parts::there(&self.record, &self.image)
        };
        let was_there = found.is_some();
        let mut plan = self.done(found.as_ref(), to_send, was_there).await?;
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
        let sha256 = self.sum.get(&self.image).await?;
        let new = NewImage {
            name: &self.name,
            url: &url,
            region,
            description: &format!("An E3 appliance. SHA-256 of the file: {sha256}"),
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
    async fn wait(&self, image: CloudImage) -> Result<CloudImage, Fault> {
        let id = image.id;
        let is_over = |image: &CloudImage| {
            if image.is_gone() {
                let said = image.problem();
                return Err(Fault::Import { said });
            }
            let status = &e3_core::text::clean(&image.status, 40);
            if !image.is_available() {
                (self.tell)(Progress::Importing { status });
            }
            Ok(image.is_available())
        };
        let made = until(image, is_over, async || self.cloud.image(id).await).await?;
        let minutes = LIFE.as_secs() / 60;
        made.ok_or(Fault::Slow { id, minutes })
    }

    /// Has the cloud bring it to the other regions.
    async fn spread(&self, image: CloudImage) -> Result<CloudImage, Fault> {
        let regions = self.order.regions.iter();
        let missing: Vec<_> = regions
            .filter(|region| !image.regions.contains(region))
            .collect();
        let mut going = Vec::new();
        for region in &missing {
            going.push((*region, self.cloud.transfer(image.id, region).await?));
        }
        for (region, action) in going {
            let fault = |said: &str| Fault::Transfer {
                id: image.id,
                region: region.clone(),
                said: said.to_owned(),
            };
            let is_over = |action: &Action| {
                if action.status == "errored" {
                    return Err(fault(""));
                }
                let status = &e3_core::text::clean(&action.status, 40);
                if status != "completed" {
                    (self.tell)(Progress::Spreading { region, status });
                }
                Ok(status == "completed")
            };
            let id = action.id;
            let look = async || self.cloud.action(image.id, id).await;
            let brought = until(action, is_over, look).await?;
            brought.ok_or_else(|| fault("it takes too long"))?;
        }
        if missing.is_empty() {
            return Ok(image);
        }
        self.cloud.image(image.id).await
    }

    async fn done(
        &mut self,
        image: Option<&CloudImage>,
        sent: u64,
        was_there: bool,
    ) -> Result<Uploaded, Fault> {
        let sha256 = self.sum.get(&self.image).await?.to_owned();
        let clean = |text: &String| e3_core::text::clean(text, 200);
        Ok(Uploaded {
            id: image.map(|image| image.id),
            name: image.map_or_else(|| self.name.clone(), |image| clean(&image.name)),
            regions: image
                .map(|image| image.regions.iter().map(clean).collect())
                .unwrap_or_default(),
            missing: Vec::new(),
            sha256,
            size: self.image.size,
            sent,
            was_there,
            warnings: self.warnings.clone(),
        })
    }
}

/// Looks again and again, soon at first, until it is over. Nothing if that takes longer than [`LIFE`].
async fn until<T>(
    mut seen: T,
    is_over: impl Fn(&T) -> Result<bool, Fault>,
    look: impl AsyncFn() -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    let (began, mut pause) = (Instant::now(), ASKED.0);
    while !is_over(&seen)? {
        if began.elapsed() > LIFE {
            return Ok(None);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(ASKED.1);
        seen = look().await?;
    }
    Ok(Some(seen))
}
