//! What needs many files at once: all parties, all receipts of a session.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use e3_core::digest::Digest;
use e3_core::key::PublicKey;
use e3_core::limits;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
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

    /// All parties, in the order of their keys.
    pub(crate) async fn list_parties(&self) -> Result<Vec<Listed>, StoreError> {
        let mut paths = self.store.list(&names::parties(), PARTIES).await?;
        paths.sort();
        let keys = paths
            .iter()
            .filter_map(|path| Json::<PublicKey>::read(path.filename()?));
        let read = |Json(key): Json<PublicKey>| async move {
            let Some(party) = self.store.get(&names::party(&key), PAIR).await? else {
                return Ok(None);
            };
            let presence = self
                .store
                .get(&names::presence(&key), limits::ENVELOPE)
                .await?;
            let pair = Pair::parse(&party.bytes).map(Arc::new);
            Ok(pair.map(|pair| Listed {
                key,
                pair,
                presence: presence.map(|object| object.bytes),
            }))
        };
        let listed = stream::iter(keys.map(read).collect::<Vec<_>>()).buffered(AT_A_TIME);
        listed
            .try_filter_map(|listed| async { Ok(listed) })
            .try_collect()
            .await
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
