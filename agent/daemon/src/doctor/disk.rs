//! Room where the agent writes.

use std::io;
use std::path::Path;

use e3_client::looks::{self, Needs, Room};
use e3_core::checkup::Check;
use nix::sys::statvfs::{FsFlags, statvfs};

use crate::config::Settings;

/// Also when no more fits at all.
const MAKE_ROOM: &str = "Make room: `df -h`, `journalctl --vacuum-size=100M`; larger cards and disks are grown into at the next boot.";
const NEEDS: Needs = Needs {
    measure,
    // With less, an update or a larger program may not fit.
    scarce: 256,
    if_scarce: MAKE_ROOM,
    if_full: MAKE_ROOM,
    if_many: "Remove what makes so many files: `df -i`.",
    if_read_only: "Mount it for writing; a card that has become read-only is worn out: replace it.",
    if_unseen: "Check the disk: `dmesg`, `findmnt`.",
};

pub(super) async fn room(settings: &Settings) -> Vec<Check> {
    looks::disk(vec![settings.state.clone(), settings.run.clone()], NEEDS).await
}

fn measure(path: &Path) -> io::Result<Room> {
    let found = statvfs(path)?;
    Ok(Room {
        free: found
            .blocks_available()
            .saturating_mul(found.fragment_size()),
        files: (found.files() > 0).then(|| found.files_available()),
        is_read_only: found.flags().contains(FsFlags::ST_RDONLY),
    })
}
