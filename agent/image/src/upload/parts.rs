//! The image's way into the Space: parts, several at a time, each written down when it has arrived.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::error::Fault;
use super::outgoing::Outgoing;
use super::record::{Held, Record, Stage};
use super::space::Store;
use super::{Progress, Tell};

/// Bytes of a part. Stores ask for at least 5 MiB.
const PART: u64 = 8 << 20;
/// Stores take no more parts than 10,000.
const PARTS: u64 = 9_000;
/// Parts that are on their way, and in memory, at once.
const FLYING: usize = 8;
/// How often the store may have forgotten the upload.
const BEGINNINGS: u32 = 2;

/// Bytes of each part of an image but the last.
pub(super) fn size_of_part(size: u64) -> u64 {
    PART.max(size.div_ceil(PARTS).next_multiple_of(1 << 20))
}

/// How much of the image the Space has already.
pub(super) fn there(record: &Record, image: &Outgoing) -> u64 {
    match record.held.as_ref().map(|held| &held.stage) {
        Some(Stage::Sending { part, parts, .. }) => {
            let numbers = parts.keys().map(|number| *number as u64);
            numbers
                .map(|number| length(number, *part, image.size))
                .sum()
        }
        Some(_) => image.size,
        None => 0,
    }
}

/// Sends what the Space does not have yet, and makes one object of it.
pub(super) async fn send(
    store: &Store,
    image: &Arc<Outgoing>,
    key: &str,
    record: &mut Record,
    tell: Tell<'_>,
) -> Result<(), Fault> {
    for _ in 0..BEGINNINGS {
        if !matches!(
            &record.held,
            Some(Held {
                stage: Stage::Sending { .. },
                ..
            })
        ) {
            let upload = store.begin(key).await?;
            let (part, parts) = (size_of_part(image.size), BTreeMap::new());
            record.keep(
                key,
                Stage::Sending {
                    upload,
                    part,
                    parts,
                },
            )?;
        }
        let Some(Held {
            key,
            stage: Stage::Sending { upload, part, .. },
        }) = record.held.clone()
        else {
            continue;
        };
        if rest(store, image, &key, &upload, part, record, tell).await? {
            image.still_the_same()?;
            let Some(Held {
                stage: Stage::Sending { parts, .. },
                ..
            }) = &record.held
            else {
                continue;
            };
            let parts = parts.values().cloned().collect();
            if store.complete(&key, &upload, parts).await?
                // Or it was, and the answer was lost.
                || store.look(&key).await? == Some(image.size)
            {
                return record.keep(&key, Stage::Sent);
            }
        }
        // Somebody has cleaned up there.
        record.forget()?;
    }
    Err(store.forgetful())
}

/// Sends the parts that are missing. `false` if the store does not know the upload any more.
async fn rest(
    store: &Store,
    image: &Arc<Outgoing>,
    key: &str,
    upload: &str,
    part: u64,
    record: &mut Record,
    tell: Tell<'_>,
) -> Result<bool, Fault> {
    let total = image.size;
    let mut done = there(record, image);
    tell(Progress::Sending { done, total });
    let has = match &record.held {
        Some(Held {
            stage: Stage::Sending { parts, .. },
            ..
        }) => parts.clone(),
        _ => BTreeMap::new(),
    };
    let count = usize::try_from(total.div_ceil(part)).unwrap_or(usize::MAX);
    let mut missing = (0..count).filter(|number| !has.contains_key(number));
    let mut flying = JoinSet::new();
    let mut arrived = Vec::new();
    loop {
        while flying.len() < FLYING
            && let Some(number) = missing.next()
        {
            let at = number as u64 * part;
            let length = length(number as u64, part, total);
            flying.spawn(one(
                (store.clone(), Arc::clone(image)),
                (key.to_owned(), upload.to_owned()),
                (number, at, length),
            ));
        }
        // Others are on their way while the disk is waited for.
        if !arrived.is_empty() {
            record.keep_parts(arrived.drain(..))?;
            done = there(record, image);
            tell(Progress::Sending { done, total });
        }
        let mut next = flying.join_next().await;
        if next.is_none() {
            return Ok(true);
        }
        while let Some(sent) = next {
            match sent.map_err(|error| image.thread(error))?? {
                Some(part) => arrived.push(part),
                None => return Ok(false),
            }
            next = flying.try_join_next();
        }
    }
}

/// Reads a part and sends it: its number, and what the store calls it.
async fn one(
    (store, image): (Store, Arc<Outgoing>),
    (key, upload): (String, String),
    (number, at, length): (usize, u64, u64),
) -> Result<Option<(usize, String)>, Fault> {
    let from = Arc::clone(&image);
    let read = move || from.piece(at, usize::try_from(length).unwrap_or(usize::MAX));
    let read = tokio::task::spawn_blocking(read).await;
    let bytes = read.map_err(|error| image.thread(error))??;
    let sent = store.part(&key, &upload, number, bytes).await?;
    Ok(sent.map(|id| (number, id)))
}

const fn length(number: u64, part: u64, size: u64) -> u64 {
    let at = number * part;
    if size - at < part { size - at } else { part }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_image_has_more_parts_than_stores_take() {
        for size in [1, PART, PART + 1, 1 << 30, 100_000_000_000, 5 << 40] {
            let part = size_of_part(size);
            assert!(part >= 5 << 20 && size.div_ceil(part) <= 10_000, "{size}");
            let count = size.div_ceil(part);
            let sum: u64 = (0..count).map(|number| length(number, part, size)).sum();
            assert_eq!(sum, size);
        }
    }
}
