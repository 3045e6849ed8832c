//! Room where the agent writes.

use std::path::Path;

use e3_core::checkup::Check;
use nix::sys::statvfs::{FsFlags, statvfs};

use crate::config::Settings;

/// Less than this many MiB, and trust state or a program's output may not fit.
const FULL: u64 = 32;
/// Less than this many MiB, and an update or a larger program may not fit.
const SCARCE: u64 = 256;
/// Fewer files than this, and a session may not be unpacked.
const FILES: u64 = 1000;

pub(super) async fn room(settings: &Settings) -> Vec<Check> {
    let paths = [settings.state.clone(), settings.run.clone()];
    // In a thread of its own: a disk that hangs does not hold up the others.
    let looked =
        tokio::task::spawn_blocking(move || paths.iter().map(|path| look(path)).collect()).await;
    looked.unwrap_or_default()
}

fn look(path: &Path) -> Check {
    const WHAT: &str = "disk";
    let shown = path.display();
    // What is not there yet will be made there.
    let there = path.ancestors().find(|path| path.exists());
    let found = match statvfs(there.unwrap_or(Path::new("/"))) {
        Ok(found) => found,
        Err(error) => {
            let remedy = "Check the disk: `dmesg`, `findmnt`.";
            return Check::fail(
                WHAT,
                format!("{shown} cannot be looked at: {error}"),
                remedy,
            );
        }
    };
    let free = found
        .blocks_available()
        .saturating_mul(found.fragment_size())
        >> 20;
    let files = found.files_available();
    let told = format!("{free} MiB free at {shown}");
    let remedy = "Make room: `df -h`, `journalctl --vacuum-size=100M`; larger cards and disks are grown into at the next boot.";
    if found.flags().contains(FsFlags::ST_RDONLY) {
        let remedy =
            "Mount it for writing; a card that has become read-only is worn out: replace it.";
        Check::fail(WHAT, format!("{shown} is read-only"), remedy)
    } else if found.files() > 0 && files < FILES {
        let remedy = "Remove what makes so many files: `df -i`.";
        Check::fail(WHAT, format!("{files} more files fit at {shown}"), remedy)
    } else if free < FULL {
        Check::fail(WHAT, told, remedy)
    } else if free < SCARCE {
        Check::warn(WHAT, told, remedy)
    } else {
        Check::ok(WHAT, told)
    }
}
