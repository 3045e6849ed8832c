//! What the agent sets for one instance: the manifest's limits, and whom it may reach.
//!
//! systemd takes these for a unit that is loaded, at any time. They can only be made stricter than the machine's own
//! caps: those are `e3-party.slice`'s, and the kernel keeps both.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use e3_core::document::Limits;
use zbus::Variant;

use super::bus::{Bus, failed, manager};
use crate::supervisor::SupervisorError;

/// `AF_INET` and `AF_INET6`, as systemd wants them.
const FAMILIES: (i32, i32) = (nix::libc::AF_INET, nix::libc::AF_INET6);
/// Microseconds of a second's processor time that one percent is.
const PERCENT_USEC: u64 = 10_000;
/// What the kernel can bound for a cgroup.
const CONTROLLERS: &str = "/sys/fs/cgroup/cgroup.controllers";

type Properties = Vec<(&'static str, Variant<'static>)>;

/// What is set for each unit that runs. systemd has no file of it (`run-systemd-system.control.mount` says why), so it
/// forgets when it reads its units anew, and is told again.
#[derive(Clone, Default)]
pub(super) struct Wanted(Arc<Mutex<BTreeMap<String, Setting>>>);

/// What is set for one unit; nothing is wanted for it any more when this is dropped.
pub(super) struct Kept {
    wanted: Wanted,
    unit: String,
}

struct Setting {
    limits: Limits,
    peers: Vec<IpAddr>,
}

impl Setting {
    fn properties(&self) -> Properties {
        vec![
            ("MemoryMax", self.limits.memory.into()),
            (
                "CPUQuotaPerSecUSec",
                (u64::from(self.limits.cpu) * PERCENT_USEC).into(),
            ),
            ("TasksMax", u64::from(self.limits.tasks).into()),
            // Empties it, at first: an earlier attempt at the same session may have left its own.
            ("IPAddressAllow", addresses(&self.peers)),
        ]
    }
}

impl Wanted {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Setting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These limits, for the unit, and nobody to talk to.
    pub(super) fn keep(&self, unit: &str, limits: Limits) -> Kept {
        let setting = Setting {
            limits,
            peers: Vec::new(),
        };
        self.lock().insert(unit.to_owned(), setting);
        Kept {
            wanted: self.clone(),
            unit: unit.to_owned(),
        }
    }

    /// Sets all of it again.
    pub(super) async fn set_again(&self, bus: &Bus) {
        let settings: Vec<_> = {
            let units = self.lock();
            let all = units.iter();
            all.map(|(unit, setting)| (unit.clone(), setting.properties()))
                .collect()
        };
        for (unit, properties) in settings {
            if let Err(error) = set(bus, &unit, properties).await {
                tracing::warn!(%unit, error = %crate::text::chain(&error), "limits cannot be set again");
            }
        }
    }
}

impl Kept {
    /// Sets the limits, and that nobody may be reached yet.
    pub(super) async fn set(&self, bus: &Bus) -> Result<(), SupervisorError> {
        let properties = self.wanted.lock().get(&self.unit).map(Setting::properties);
        set(bus, &self.unit, properties.unwrap_or_default()).await
    }

    /// Lets the unit reach these addresses, and no other.
    pub(super) async fn allow(&self, bus: &Bus, peers: &[IpAddr]) -> Result<(), SupervisorError> {
        if let Some(setting) = self.wanted.lock().get_mut(&self.unit) {
            setting.peers = peers.to_vec();
        }
        let only = vec![("IPAddressAllow", addresses(peers))];
        set(bus, &self.unit, only).await
    }

    /// The unit has ended.
    pub(super) fn forget(&self) {
        self.wanted.lock().remove(&self.unit);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.forget();
    }
}

fn addresses(peers: &[IpAddr]) -> Variant<'static> {
    let entry = |peer: &IpAddr| match peer {
        IpAddr::V4(v4) => (FAMILIES.0, v4.octets().to_vec(), 32),
        IpAddr::V6(v6) => (FAMILIES.1, v6.octets().to_vec(), 128),
    };
    let entries: Vec<(i32, Vec<u8>, u32)> = peers.iter().map(entry).collect();
    Variant::new(entries)
}

/// Sets them, also over a bus that is just being restarted: set twice they are the same.
async fn set(bus: &Bus, unit: &str, properties: Properties) -> Result<(), SupervisorError> {
    let mut lost = None;
    loop {
        match set_once(bus, unit, &properties).await {
            Err(SupervisorError::NoBus(error)) => bus.wait(&mut lost, error).await?,
            done => return done,
        }
    }
}

async fn set_once(bus: &Bus, unit: &str, properties: &Properties) -> Result<(), SupervisorError> {
    let manager = manager(&bus.connection().await?).await?;
    let set = manager.set_unit_properties(unit, true, properties).await;
    set.map_err(|source| failed("set limits of", unit, source))
}

/// Whether the kernel bounds memory and processes of a cgroup: not on a Pi whose memory controller is off, nor where
/// the controllers belong to the first version of cgroups.
pub(super) fn are_kept() -> bool {
    let found = std::fs::read_to_string(CONTROLLERS).unwrap_or_default();
    let has = |name| found.split_ascii_whitespace().any(|found| found == name);
    has("memory") && has("pids")
}
