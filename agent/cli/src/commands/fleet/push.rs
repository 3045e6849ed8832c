//! `e3 fleet push`: a root or head that enough keys have signed goes to the hub.
//!
//! Machines walk to a root when a head stands on it. So a new root is followed by a new head at once,
//! if the key at hand may sign it alone.

use e3_core::key::SecretKey;
use e3_core::trust::chain;
use serde_json::json;

use super::publish::{LIFETIME, may_publish, publish};
use super::sign::{Content, Paper};
use super::{OpenFleet, Stale};
use crate::args::{FleetPush, Global};
use crate::commands::key;
use crate::error::Error;
use crate::output::Answer;

/// What was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// A head: it is what machines see now.
    Head(u64),
    /// A root, and a head on it.
    Root(u64, u64),
}

/// Publishes what is in the file.
pub async fn push(fleet: &mut OpenFleet, paper: &Paper, key: &SecretKey) -> Result<Pushed, Error> {
    let etag = fleet.sync(Stale::Allow).await?;
    let bytes = paper.envelope.to_bytes();
    match &paper.content {
        Content::Head(head) => {
            // Refused here for the reason that a party would give.
            let mut trust = fleet.next_trust().await?;
            trust.accept_head(&bytes, e3_client::clock::now())?;
            fleet.hub.put_head(bytes.clone(), Some(&etag)).await?;
            fleet.take_head(&bytes, Stale::Refuse).await?;
            Ok(Pushed::Head(head.counter))
        }
        Content::Root(root) => {
            chain::next(&fleet.trust.root, &bytes)?;
            may_publish(root, key)?;
            fleet.hub.put_root(root.version, bytes).await?;
            publish(fleet, key, LIFETIME, |_| Ok(true)).await?;
            Ok(Pushed::Root(root.version, fleet.head()?.counter))
        }
    }
}

pub(super) async fn run(args: &FleetPush, global: &Global) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    let key = key::read(args.key.as_deref())?;
    fleet.sync(Stale::Allow).await?;
    let next = fleet.next_trust().await?.root;
    // A root that was pushed before, and lacks its head, follows the one that the head stands on.
    let paper = Paper::open(&args.file, &next)
        .or_else(|error| Paper::open(&args.file, &fleet.trust.root).map_err(|_| error))?;
    let (text, json) = match push(&mut fleet, &paper, &key).await? {
        Pushed::Head(head) => (
            format!("Head {head} is published.\n"),
            json!({"head": head, "root": fleet.trust.root.version}),
        ),
        Pushed::Root(root, head) => (
            format!(
                "Root {root} is published, and head {head} stands on it: every machine follows.\n"
            ),
            json!({"head": head, "root": root}),
        ),
    };
    Ok(Answer::new(text, json))
}
