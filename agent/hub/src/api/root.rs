//! Taking the next root (rule 4). The first one only comes with the store's initialisation.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use e3_core::limits;

use super::path::One;
use super::pure::pure;
use super::{Hub, Refusal, stored, to_the_end};
use crate::names::{self, Json};
use crate::roots::Roots;
use crate::store::Created;

pub(super) async fn write(
    State(hub): State<Arc<Hub>>,
    One(Json(version)): One<Json<u64>>,
    request: Request,
) -> Result<Response, Refusal> {
    let bytes = hub.take(request, limits::ENVELOPE as u64).await?.bytes;
    let hub = Arc::clone(&hub);
    to_the_end(async move {
        let path = names::root(version);
        let same = |there: &[u8]| {
            if *there == *bytes {
                Ok(stored(false))
            } else {
                Err(Refusal::OtherRoot)
            }
        };
        if let Some(there) = hub.store.get(&path, limits::ENVELOPE).await? {
            return same(&there.bytes);
        }
        let mut roots = Roots::clone(&*hub.chain.refresh(&hub.store).await?);
        let old = roots.newest().root.keys.clone();
        roots.step(&bytes).map_err(Refusal::Root)?;
        let keys = [old, roots.newest().root.keys.clone()].concat();
        pure("root", &bytes, limits::ENVELOPE, &keys)?;
        if roots.newest().version != version {
            return Err(Refusal::NotAsNamed);
        }
        match hub.store.create(&path, bytes.clone()).await? {
            Created::New => Ok(stored(true)),
            Created::ThereAlready => {
                let there = hub.store.get(&path, limits::ENVELOPE).await?;
                same(there.as_ref().map_or(&[], |there| &there.bytes))
            }
        }
    })
    .await
}
