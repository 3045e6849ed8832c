//! Who is reached straight, and by which anchor everybody else.
//!
//! Each pair of members keeps one connection between its agents, to addresses that lead nowhere but straight
//! (`e3_core::mesh::wireguard`). While it is up both know that packets get there, and let them go straight; as soon as it is
//! silent both let them go by an anchor again. It is made and watched like the connections of sessions ([`crate::peer`]), and
//! carries nothing.
//!
//! What follows from all that is decided in `e3_core::mesh::wireguard::Straight`; `keeper` keeps the connections, `attempts` is
//! how often they are tried, `device` tells the device.
//!
//! This goes on when the plan changes: who joins interrupts nobody.

mod attempts;
mod device;
mod keeper;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use e3_core::key::PublicKey;
use e3_core::mesh::Backend;
use e3_core::mesh::wireguard::{Known, Straight};
use tokio::sync::{Notify, mpsc};

use self::keeper::Keeper;
use crate::config::Supervisor;
use crate::shared::Shared;

/// What is known of straight ways.
#[derive(Debug)]
pub struct Direct {
    straight: Mutex<Straight>,
    /// Whether the device was made anew, and has met nobody yet.
    is_anew: AtomicBool,
    /// The device runs, with what stood in its files before.
    runs: Notify,
}

impl Direct {
    /// Nothing is known to this party yet.
    pub fn new(me: PublicKey) -> Self {
        Self {
            straight: Mutex::new(Straight::new(me)),
            is_anew: AtomicBool::new(false),
            runs: Notify::new(),
        }
    }

    /// What is known now.
    pub(in crate::mesh) fn known(&self) -> Known {
        self.lock().known().clone()
    }

    /// Where an anchor hears this machine from.
    pub(super) fn seen(&self) -> Option<SocketAddr> {
        self.lock().known().seen
    }

    /// The device runs with what was written for it, which may be older than what is known by now.
    pub(in crate::mesh) fn runs(&self, is_anew: bool) {
        self.is_anew.fetch_or(is_anew, Ordering::Relaxed);
        self.runs.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Straight> {
        self.straight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the ways of this machine's device, for ever.
pub(in crate::mesh) async fn run(shared: Shared) {
    if shared.settings.supervisor != Supervisor::Systemd {
        return;
    }
    let mut plans = shared.plans.subscribe();
    let (events, mut coming) = mpsc::channel(64);
    let mut keeper = Keeper::new(shared, events);
    loop {
        let plan = plans.borrow_and_update().clone().into_iter();
        keeper.takes({ plan }.find(|plan| matches!(plan.backend, Backend::Wireguard(_))));
        tokio::select! {
            () = keeper.keep(&mut coming) => {}
            changed = plans.changed() => if changed.is_err() { return },
        }
    }
}
