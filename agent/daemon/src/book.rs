//! Where the other parties can be reached: from their presence on the hub, remembered.
//!
//! Addresses are hints. A presence must be signed by the party, but whoever answers at an address
//! still has to prove the party's identity.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use e3_core::document::Presence;
use e3_core::key::PublicKey;
use tokio::runtime::Handle;

use crate::peer::link::Addresses;
use crate::shared::Shared;

/// The address book of one session. Cheap to clone.
#[derive(Clone)]
pub struct Book {
    shared: Shared,
    known: Arc<Mutex<HashMap<PublicKey, Vec<String>>>>,
    /// The hub is asked where all else of it is done: a call may wait for the disk.
    home: Handle,
}

impl Book {
    /// An empty book, for whatever thread.
    pub fn new(shared: &Shared) -> Self {
        Self {
            shared: shared.clone(),
            known: Arc::default(),
            home: Handle::current(),
        }
    }

    async fn ask(&self, party: PublicKey) -> Option<Vec<String>> {
        let bytes = self.shared.hub.presence(&party).await.ok()??;
        let presence = Presence::open(&bytes, &party, &self.shared.join.fleet)?;
        Some(presence.addresses)
    }
}

impl Addresses for Book {
    async fn of(&self, party: PublicKey, fresh: bool) -> Vec<String> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let remembered = known().get(&party).cloned().unwrap_or_default();
        if !fresh && !remembered.is_empty() {
            return remembered;
        }
        let book = self.clone();
        let asked = self.home.spawn(async move { book.ask(party).await });
        match asked.await {
            Ok(Some(addresses)) => {
                known().insert(party, addresses.clone());
                addresses
            }
            _ => remembered,
        }
    }
}
