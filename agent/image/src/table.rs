//! Partition tables: where the partitions of a disk image are. MBR and GPT, in sectors of 512 bytes.
//!
//! Every number in them is somebody else's: what lies outside the image, overlaps itself or has the wrong checksum is
//! refused, and nothing is read that a table this size could not need.

use std::io::{self, Read, Seek, SeekFrom};

/// Bytes. Images for cards and virtual disks have no other.
pub const SECTOR: u64 = 512;
/// The same, for buffers.
pub const SECTOR_BYTES: usize = 512;
/// Entries of a GPT that are looked at; every tool makes 128.
const ENTRIES: u32 = 1024;
/// The MBR type of a disk that has a GPT.
const PROTECTIVE: u8 = 0xee;

/// A partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Its number, from 1.
    pub number: u32,
    /// Its first byte.
    pub start: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// Why there are no partitions.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It cannot be read, or ends too early.
    #[error("its partition table cannot be read")]
    Read(#[from] io::Error),
    /// There is none.
    #[error("it has no partition table")]
    None,
    /// It contradicts itself.
    #[error("its partition table is damaged ({0})")]
    Broken(&'static str),
}

/// The partitions of a disk of at most `limit` bytes.
pub fn read(disk: &mut (impl Read + Seek), limit: u64) -> Result<Vec<Partition>, TableError> {
    let mut first = [0; 512];
    disk.seek(SeekFrom::Start(0))?;
    disk.read_exact(&mut first)?;
    if first[510..] != [0x55, 0xaa] {
        return Err(TableError::None);
    }
    let entries: Vec<&[u8]> = first[446..510].chunks_exact(16).collect();
    if entries.iter().any(|entry| entry[4] == PROTECTIVE) {
        return gpt(disk, limit);
    }
    let mut partitions = Vec::new();
    for (number, entry) in (1..).zip(entries) {
        let (start, sectors) = (number_at(entry, 8), number_at(entry, 12));
        // 5, 15: an extended partition, which no image of ours has.
        if entry[4] == 0 || [0x05, 0x0f].contains(&entry[4]) {
            continue;
        }
        partitions.push(checked(
            number,
            u64::from(start),
            u64::from(sectors),
            limit,
        )?);
    }
    apart(partitions)
}

fn gpt(disk: &mut (impl Read + Seek), limit: u64) -> Result<Vec<Partition>, TableError> {
    let mut header = [0; 512];
    disk.seek(SeekFrom::Start(SECTOR))?;
    disk.read_exact(&mut header)?;
    if &header[..8] != b"EFI PART" {
        return Err(TableError::Broken("the GPT's header is missing"));
    }
    let size = number_at(&header, 12) as usize;
    if !(92..=512).contains(&size) {
        return Err(TableError::Broken("the size of the GPT's header"));
    }
    let sum = number_at(&header, 16);
    header[16..20].fill(0);
    if crc32(&header[..size]) != sum {
        return Err(TableError::Broken("the checksum of the GPT's header"));
    }
    let (at, count, size) = (
        long_at(&header, 72),
        number_at(&header, 80),
        number_at(&header, 84),
    );
    if count > ENTRIES || !(128..=512).contains(&size) || !size.is_power_of_two() {
        return Err(TableError::Broken("the size of the GPT"));
    }
    let at = at.checked_mul(SECTOR).filter(|at| *at < limit);
    let at = at.ok_or(TableError::Broken("the place of the GPT's entries"))?;
    let mut entries = vec![0; (count * size) as usize];
    disk.seek(SeekFrom::Start(at))?;
    disk.read_exact(&mut entries)?;
    if crc32(&entries) != number_at(&header, 88) {
        return Err(TableError::Broken("the checksum of the GPT's entries"));
    }
    let mut partitions = Vec::new();
    for (number, entry) in (1..).zip(entries.chunks_exact(size as usize)) {
        if entry[..16] == [0; 16] {
            continue;
        }
        let (first, last) = (long_at(entry, 32), long_at(entry, 40));
        let sectors = last.checked_sub(first).and_then(|n| n.checked_add(1));
        let sectors = sectors.ok_or(TableError::Broken("a partition ends before it begins"))?;
        partitions.push(checked(number, first, sectors, limit)?);
    }
    apart(partitions)
}

fn checked(number: u32, start: u64, sectors: u64, limit: u64) -> Result<Partition, TableError> {
    let bytes = |sectors: u64| sectors.checked_mul(SECTOR);
    let (start, length) = bytes(start)
        .zip(bytes(sectors))
        .ok_or(TableError::Broken("a partition of impossible size"))?;
    if start == 0 || length == 0 || start.checked_add(length).is_none_or(|end| end > limit) {
        return Err(TableError::Broken("a partition lies outside the image"));
    }
    Ok(Partition {
        number,
        start,
        length,
    })
}

fn apart(mut partitions: Vec<Partition>) -> Result<Vec<Partition>, TableError> {
    partitions.sort_by_key(|partition| partition.start);
    let overlap = |pair: &[Partition]| pair[0].start + pair[0].length > pair[1].start;
    if partitions.windows(2).any(overlap) {
        return Err(TableError::Broken("two partitions overlap"));
    }
    Ok(partitions)
}

fn number_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn long_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(number_at(bytes, at)) | u64::from(number_at(bytes, at + 4)) << 32
}

/// The CRC that GPT has (IEEE 802.3); a few KiB once, so a bit at a time.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn mbr(entries: &[(u8, u32, u32)]) -> Vec<u8> {
        let mut disk = vec![0; 4096];
        for (entry, (kind, start, sectors)) in disk[446..510].chunks_exact_mut(16).zip(entries) {
            entry[4] = *kind;
            entry[8..12].copy_from_slice(&start.to_le_bytes());
            entry[12..].copy_from_slice(&sectors.to_le_bytes());
        }
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        disk
    }

    fn parse(disk: Vec<u8>) -> Result<Vec<Partition>, TableError> {
        read(&mut Cursor::new(disk), 1 << 30)
    }

    #[test]
    fn what_lies_outside_or_overlaps_is_refused() {
        assert_eq!(parse(mbr(&[(12, 2048, 100)])).unwrap()[0].start, 2048 * 512);
        for (bad, says) in [
            (vec![(12, 0, 10)], "outside"),
            (vec![(12, 2048, 0)], "outside"),
            (vec![(12, u32::MAX, u32::MAX)], "outside"),
            (vec![(12, 10, 10), (0x83, 19, 5)], "overlap"),
            (vec![(PROTECTIVE, 1, 10)], "header is missing"),
        ] {
            let error = parse(mbr(&bad)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert!(matches!(parse(vec![0; 4096]), Err(TableError::None)));
        assert!(matches!(parse(vec![0; 100]), Err(TableError::Read(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_give_partitions_inside_or_an_error(
            mut disk in prop::collection::vec(any::<u8>(), 4096),
            protective in any::<bool>(),
        ) {
            disk[510..512].copy_from_slice(&[0x55, 0xaa]);
            if protective {
                disk[450] = PROTECTIVE;
                disk[512..520].copy_from_slice(b"EFI PART");
                disk[524..528].copy_from_slice(&92_u32.to_le_bytes());
                disk[528..532].fill(0);
                let sum = crc32(&disk[512..604]);
                disk[528..532].copy_from_slice(&sum.to_le_bytes());
            }
            if let Ok(partitions) = parse(disk) {
                for partition in partitions {
                    prop_assert!(partition.start + partition.length <= 1 << 30);
                }
            }
        }
    }
}
