//! The keys by which the fleet's parties are known on a mesh, for whoever serves that mesh beside the hub: its relay.
//!
//! A key counts if a party that has enrolled names it in its presence, which its identity signs. They are read from the
//! store again when something comes in here, and now and then, since other hubs may write to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use e3_core::document::Presence;
use e3_core::key::PublicKey;
use tokio::sync::watch;

use crate::api::Hub;

/// What comes in together is read together.
const GATHER: Duration = Duration::from_millis(200);
/// Between two readings at least: each is two files for every party.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two readings at most.
const LOOK: Duration = Duration::from_secs(30);

/// Tells which keys there are until nobody listens any more.
pub(crate) async fn follow(
    hub: Arc<Hub>,
    backend: String,
    keys: watch::Sender<Option<BTreeSet<String>>>,
) {
    let mut changes = hub.listing_changes();
    // What has been verified is not verified again.
    let mut known: BTreeMap<PublicKey, (Bytes, Option<String>)> = BTreeMap::new();
    loop {
        changes.borrow_and_update();
        match read(&hub, &backend, &mut known).await {
            Ok(found) => {
                keys.send_if_modified(|there| {
                    let is_new = there.as_ref() != Some(&found);
                    *there = Some(found);
                    is_new
                });
            }
            Err(error) => {
                tracing::error!(%error, "the parties' mesh keys cannot be read; those of the last time are served");
            }
        }
        let next = async {
            tokio::time::sleep(PAUSE).await;
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(GATHER).await;
        };
        tokio::select! {
            () = next => {}
            () = tokio::time::sleep(LOOK) => {}
            () = keys.closed() => return,
        }
    }
}

async fn read(
    hub: &Hub,
    backend: &str,
    known: &mut BTreeMap<PublicKey, (Bytes, Option<String>)>,
) -> Result<BTreeSet<String>, crate::store::StoreError> {
    let fleet = hub.chain.current().newest().fleet.clone();
    let mut now = BTreeMap::new();
    for (party, presence) in hub.list_presences().await? {
        let same = known.remove(&party).filter(|(bytes, _)| *bytes == presence);
        let entry = same.unwrap_or_else(|| {
            let opened = Presence::open(&presence, &party, &fleet);
            let key = opened.and_then(|mut opened| opened.mesh_keys.remove(backend));
            (presence, key)
        });
        now.insert(party, entry);
    }
    *known = now;
    Ok(known.values().filter_map(|(_, key)| key.clone()).collect())
}
