//! What needs many files at once: all parties, all receipts of a session.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use e3_core::digest::Digest;
use e3_core::key::PublicKey;
use e3_core::limits;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::ObjectMeta;
use object_store::path::Path;
use tokio::sync::watch;
use tokio::time::Instant;

use super::enrol::{PAIR, Pair};
use super::path::One;
use super::{Hub, JSON, MUTABLE, Refusal};
use crate::names::{self, Json, Segment as _};
use crate::store::StoreError;

/// Parties that are listed. A larger fleet is read file by file.
const PARTIES: usize = 4096;
/// Files that are read at a time.
const AT_A_TIME: usize = 16;
/// For how long one reading of the store serves everybody; what this hub itself writes is seen at once.
const FRESH: Duration = Duration::from_secs(1);

/// One party with its newest presence, as stored.
#[derive(Clone)]
pub(crate) struct Listed {
    pub(crate) key: PublicKey,
    pub(crate) pair: Arc<Pair>,
    pub(crate) presence: Option<Bytes>,
}

/// The list as it was read last.
#[derive(Default)]
pub(super) struct Cache {
    read: tokio::sync::Mutex<Option<(Instant, u64, Bytes)>>,
    /// Rises with each write.
    generation: watch::Sender<u64>,
    /// The parties' files as they were read last, with their versions.
    known: Mutex<HashMap<Path, (String, Bytes)>>,
}

impl Cache {
    fn known(&self) -> MutexGuard<'_, HashMap<Path, (String, Bytes)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    /// Whoever asks next reads the store again.
    pub(super) fn forget_listing(&self) {
        self.listing
            .generation
            .send_modify(|generation| *generation += 1);
    }

    /// Tells when this hub has written a party or a presence.
    pub(crate) fn listing_changes(&self) -> watch::Receiver<u64> {
        self.listing.generation.subscribe()
    }

    /// The newest presences of all parties, as stored.
    pub(crate) async fn list_presences(&self) -> Result<Vec<(PublicKey, Bytes)>, StoreError> {
        let listed = self.list_parties().await?.into_iter();
        Ok(listed
            .filter_map(|listed| Some((listed.key, listed.presence?)))
            .collect())
    }

    /// All parties, in the order of their keys. What the store lists as it was before is not read again.
    pub(crate) async fn list_parties(&self) -> Result<Vec<Listed>, StoreError> {
        let mut parties = self.store.list_stats(&names::parties(), PARTIES).await?;
        parties.sort_by(|one, other| one.location.cmp(&other.location));
        let presences = self.store.list_stats(&names::presences(), PARTIES).await?;
        // Where not all of them fit into the list, what is not in it may be there.
        let are_all = presences.len() < PARTIES;
        let presences: HashMap<Path, ObjectMeta> = { presences.into_iter() }
            .map(|meta| (meta.location.clone(), meta))
            .collect();
        let keys = parties.iter().filter_map(|meta| {
            let Json(key) = Json::<PublicKey>::read(meta.location.filename()?)?;
            Some((key, meta))
        });
        let read = |(key, party): (PublicKey, _)| {
            let path = names::presence(&key);
            let presence = presences.get(&path);
            async move {
                let Some(bytes) = self.contents(party, PAIR).await? else {
                    return Ok(None);
                };
                let presence = match presence {
                    Some(meta) => self.contents(meta, limits::ENVELOPE).await?,
                    None if are_all => None,
                    None => {
                        let object = self.store.get(&path, limits::ENVELOPE).await?;
                        object.map(|object| object.bytes)
                    }
                };
                let pair = Pair::parse(&bytes).map(Arc::new);
                Ok(pair.map(|pair| Listed {
                    key,
                    pair,
                    presence,
                }))
            }
        };
        let listed = stream::iter(keys.map(read).collect::<Vec<_>>()).buffered(AT_A_TIME);
        let listed = listed.try_filter_map(|listed| async { Ok(listed) });
        let listed = listed.try_collect().await?;
        let is_there: HashSet<&Path> = parties.iter().map(|meta| &meta.location).collect();
        self.listing
            .known()
            .retain(|path, _| is_there.contains(path) || presences.contains_key(path));
        Ok(listed)
    }

    /// What is in a file that was listed.
    async fn contents(&self, meta: &ObjectMeta, limit: usize) -> Result<Option<Bytes>, StoreError> {
        let version = meta.e_tag.as_ref();
        if let (Some(version), Some((known, bytes))) =
            (version, self.listing.known().get(&meta.location))
            && version == known
        {
            return Ok(Some(bytes.clone()));
        }
        let object = self.store.get(&meta.location, limit).await?;
        let bytes = object.map(|object| object.bytes);
        // It may be newer than what was listed: then the next list says so, and it is read again.
        if let (Some(version), Some(bytes)) = (version, &bytes) {
            let kept = (version.clone(), bytes.clone());
            self.listing.known().insert(meta.location.clone(), kept);
        }
        Ok(bytes)
    }

    /// The receipts of a session by place, as many as are there.
    pub(crate) async fn list_receipts(
        &self,
        manifest: &Digest,
    ) -> Result<Vec<Option<Bytes>>, StoreError> {
        let paths = self
            .store
            .list(&names::receipts(manifest), limits::PARTIES)
            .await?;
        let places = paths
            .iter()
            .filter_map(|path| Json::<usize>::read(path.filename()?));
        let mut receipts = Vec::new();
        for Json(place) in places {
            let receipt = self
                .store
                .get(&names::receipt(manifest, place), limits::ENVELOPE)
                .await?;
            if receipts.len() <= place {
                receipts.resize(place + 1, None);
            }
            receipts[place] = receipt.map(|object| object.bytes);
        }
        Ok(receipts)
    }
}

pub(super) async fn parties(State(hub): State<Arc<Hub>>) -> Result<Response, Refusal> {
    // One reading at a time, however many ask.
    let mut read = hub.listing.read.lock().await;
    let generation = *hub.listing.generation.borrow();
    let body = match &*read {
        Some((when, of, body)) if *of == generation && when.elapsed() < FRESH => body.clone(),
        _ => {
            let parties = hub.list_parties().await?;
            let mut body = b"{\"parties\":[".to_vec();
            for (place, listed) in parties.iter().enumerate() {
                let comma: &[u8] = if place == 0 { b"" } else { b"," };
                let (enrolment, invite) = (listed.pair.enrolment.get(), listed.pair.invite.get());
                let presence = listed.presence.as_deref().unwrap_or(b"null");
                let parts = [
                    comma,
                    b"{\"enrolment\":",
                    enrolment.as_bytes(),
                    b",\"invite\":",
                    invite.as_bytes(),
                ];
                body.extend(parts.concat());
                body.extend([b",\"presence\":", presence, b"}"].concat());
            }
            body.extend(b"]}");
            let body = Bytes::from(body);
            *read = Some((Instant::now(), generation, body.clone()));
            body
        }
    };
    Ok(([JSON, MUTABLE], body).into_response())
}

pub(super) async fn receipts(
    State(hub): State<Arc<Hub>>,
    One(manifest): One<Digest>,
) -> Result<Response, Refusal> {
    let receipts = hub.list_receipts(&manifest).await?;
    let texts = receipts
        .iter()
        .map(|receipt| receipt.as_deref().unwrap_or(b"null"));
    let body = [
        b"{\"receipts\":[",
        &texts.collect::<Vec<_>>().join(&b","[..])[..],
        b"]}",
    ]
    .concat();
    Ok(([JSON, MUTABLE], body).into_response())
}
