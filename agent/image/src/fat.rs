//! A file in the root folder of a FAT file system, without mounting it.
//!
//! The library that knows FAT trusts the boot sector; so that is looked at here first. Everything else it reads through an
//! overlay with a budget, so that a damaged file system ends in an error and not in a circle.

use std::io::{self, Read, Seek, SeekFrom, Write as _};

use fatfs::{FileSystem, FsOptions};

use crate::overlay::{Changes, Overlay};
use crate::table::{Partition, SECTOR, SECTOR_BYTES};

/// Reading the table and the root folder of the largest boot partition takes less.
const BUDGET: u64 = 256 << 20;
/// Clusters that FAT32 can have.
const CLUSTERS: u64 = 0x0fff_fff4;
/// Entries of a root folder that are looked at.
const ENTRIES: usize = 4096;

/// Why a file cannot be put there.
#[derive(Debug, thiserror::Error)]
pub enum FatError {
    /// The file system contradicts itself.
    #[error("its FAT file system is damaged")]
    Broken(#[source] io::Error),
    /// There is no room.
    #[error("its FAT file system is full")]
    Full,
}

/// Whether a partition has a FAT file system that makes sense.
pub fn is_fat(disk: &mut (impl Read + Seek), partition: &Partition) -> io::Result<bool> {
    let mut boot = [0; SECTOR_BYTES];
    disk.seek(SeekFrom::Start(partition.start))?;
    disk.read_exact(&mut boot)?;
    Ok(makes_sense(&boot, partition.length))
}

/// What the boot sector says is possible, and fits into the partition.
fn makes_sense(boot: &[u8; SECTOR_BYTES], length: u64) -> bool {
    let half = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
    let whole = |at: usize| half(at) | half(at + 2) << 16;
    let per_cluster = u64::from(boot[13]);
    let (reserved, tables, root) = (half(14), u64::from(boot[16]), half(17));
    let either = |small: u64, large: u64| if small == 0 { large } else { small };
    let (sectors, table) = (either(half(19), whole(32)), either(half(22), whole(36)));
    let root_sectors = (root * 32).div_ceil(SECTOR);
    let before = reserved + tables * table + root_sectors;
    if boot[510..] != [0x55, 0xaa]
        || half(11) != SECTOR
        || !per_cluster.is_power_of_two()
        || per_cluster > 128
        || reserved == 0
        || !(1..=2).contains(&tables)
        || table == 0
        || before >= sectors
        || sectors * SECTOR > length
    {
        return false;
    }
    let clusters = (sectors - before) / per_cluster;
    // How wide an entry of the table is follows from the number of clusters alone.
    let (bits, is_32) = match clusters {
        0..4085 => (12, false),
        4085..65525 => (16, false),
        _ => (32, true),
    };
    let root_cluster = whole(44);
    clusters > 0
        && clusters <= CLUSTERS
        && (clusters + 2) * bits <= table * SECTOR * 8
        && is_32 == (root == 0)
        && is_32 == (half(22) == 0)
        && (!is_32 || (half(42) == 0 && (2..clusters + 2).contains(&root_cluster) && half(48) > 0))
}

/// Puts a file into the root folder, instead of one of that name, and says which sectors change. Its date is fixed: the same
/// file makes the same image. Also says which files lie there.
pub fn put(
    disk: impl Read + Seek,
    partition: &Partition,
    name: &str,
    contents: &[u8],
) -> Result<(Changes, Vec<String>), FatError> {
    let mut overlay = Overlay::new(disk, partition.start, partition.length, BUDGET);
    let names = write(&mut overlay, name, contents)?;
    Ok((overlay.into_changes(), names))
}

fn write(
    overlay: &mut Overlay<impl Read + Seek>,
    name: &str,
    contents: &[u8],
) -> Result<Vec<String>, FatError> {
    let broken = |error: io::Error| {
        // What the library says when no cluster is free, and when the root folder has no entry left.
        if error.to_string().contains("No space left") || error.kind() == io::ErrorKind::WriteZero {
            FatError::Full
        } else {
            FatError::Broken(error)
        }
    };
    let disk = FileSystem::new(overlay, FsOptions::new()).map_err(broken)?;
    let root = disk.root_dir();
    let mut names = Vec::new();
    let mut there = false;
    for entry in root.iter().take(ENTRIES) {
        let entry = entry.map_err(broken)?;
        there |= entry.file_name().eq_ignore_ascii_case(name);
        names.push(entry.file_name());
    }
    if there {
        root.remove(name).map_err(broken)?;
    }
    let mut file = root.create_file(name).map_err(broken)?;
    file.write_all(contents).map_err(broken)?;
    file.flush().map_err(broken)?;
    drop(file);
    drop(root);
    disk.unmount().map_err(broken)?;
    Ok(names)
}
