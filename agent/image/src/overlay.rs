//! Changes to an image that are not in it yet: they are kept beside it by sector, seen by who reads through the overlay,
//! and laid over the image when it is written.
//!
//! So an image is edited before anything of it is touched, and a compressed one without holding it in memory.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::table::{SECTOR, SECTOR_BYTES};

const LENGTH: usize = SECTOR_BYTES;

/// Changed sectors, by their number in the image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes(BTreeMap<u64, [u8; LENGTH]>);

impl Changes {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes that change.
    pub fn bytes(&self) -> u64 {
        self.0.len() as u64 * SECTOR
    }

    /// Each changed sector with its place in the image.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.0
            .iter()
            .map(|(sector, bytes)| (sector * SECTOR, bytes.as_slice()))
    }

    /// Lays the changes over the part of the image that begins at `at`, wherever that is.
    pub fn apply(&self, at: u64, bytes: &mut [u8]) {
        let end = at.saturating_add(bytes.len() as u64);
        for (sector, changed) in self.0.range(at / SECTOR..end.div_ceil(SECTOR)) {
            let start = sector * SECTOR;
            // The part of the sector that lies in `bytes`, seen from both.
            let (from, to) = (start.max(at), (start + SECTOR).min(end));
            let inside = |place: u64, base: u64| usize::try_from(place - base).unwrap_or(LENGTH);
            bytes[inside(from, at)..inside(to, at)]
                .copy_from_slice(&changed[inside(from, start)..inside(to, start)]);
        }
    }
}

/// A window of an image that can be written to, without the image being written to.
pub struct Overlay<R> {
    base: R,
    start: u64,
    length: u64,
    at: u64,
    /// Bytes that may still be read: whoever follows a circle in a damaged file system comes to an end.
    budget: u64,
    changes: Changes,
}

impl<R: Read + Seek> Overlay<R> {
    /// The `length` bytes from `start`, of which `budget` bytes may be read in total.
    pub fn new(base: R, start: u64, length: u64, budget: u64) -> Self {
        Self {
            base,
            start,
            length,
            at: 0,
            budget,
            changes: Changes::default(),
        }
    }

    /// What was changed, by sector of the image.
    pub fn into_changes(self) -> Changes {
        self.changes
    }

    /// The bytes of the sector that the position is in, the position in it, and how much of it is left.
    fn sector(&mut self) -> io::Result<(u64, [u8; LENGTH], usize)> {
        let place = self.start + self.at;
        let (sector, within) = (place / SECTOR, (place % SECTOR) as usize);
        let mut bytes = [0; LENGTH];
        if let Some(changed) = self.changes.0.get(&sector) {
            bytes = *changed;
        } else {
            self.base.seek(SeekFrom::Start(sector * SECTOR))?;
            self.base.read_exact(&mut bytes)?;
        }
        Ok((sector, bytes, within))
    }
}

impl<R: Read + Seek> Read for Overlay<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        if wanted == 0 {
            return Ok(0);
        }
        let (_, bytes, within) = self.sector()?;
        let length = wanted.min(LENGTH - within);
        self.budget = self
            .budget
            .checked_sub(length as u64)
            .ok_or_else(|| io::Error::other("its file system runs in a circle"))?;
        buffer[..length].copy_from_slice(&bytes[within..within + length]);
        self.at += length as u64;
        Ok(length)
    }
}

impl<R: Read + Seek> Write for Overlay<R> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(self.at)).unwrap_or(usize::MAX);
        if left == 0 && !buffer.is_empty() {
            return Err(io::Error::other(
                "its file system reaches beyond its partition",
            ));
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        let (sector, mut bytes, within) = self.sector()?;
        let length = buffer.len().min(left).min(LENGTH - within);
        bytes[within..within + length].copy_from_slice(&buffer[..length]);
        self.changes.0.insert(sector, bytes);
        self.at += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<R: Read + Seek> Seek for Overlay<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        // Beyond the end there is nothing; a place that cannot be told is damage.
        self.at = at
            .filter(|at| *at <= self.length)
            .ok_or_else(|| io::Error::other("its file system reaches beyond its partition"))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Written through the overlay, read through it and laid over the image in any pieces: the same as written directly.
        #[test]
        fn an_overlay_is_the_image_with_its_changes(
            writes in prop::collection::vec((0_u64..3000, prop::collection::vec(any::<u8>(), 1..700)), 1..8),
            piece in 1_usize..1500,
        ) {
            let image: Vec<u8> = (0..8192_u32).map(|n| n.to_le_bytes()[0]).collect();
            let (start, length) = (1024, 4096);
            let mut expected = image.clone();
            let mut overlay = Overlay::new(Cursor::new(image.clone()), start, length, 1 << 20);
            for (at, bytes) in &writes {
                overlay.seek(SeekFrom::Start(*at)).unwrap();
                overlay.write_all(bytes).unwrap();
                let place = usize::try_from(start + at).unwrap();
                expected[place..place + bytes.len()].copy_from_slice(bytes);
            }
            let mut seen = Vec::new();
            overlay.rewind().unwrap();
            overlay.read_to_end(&mut seen).unwrap();
            prop_assert_eq!(&seen[..], &expected[1024..5120]);
            let changes = overlay.into_changes();
            let mut laid = image;
            for (n, part) in laid.chunks_mut(piece).enumerate() {
                changes.apply((n * piece) as u64, part);
            }
            prop_assert_eq!(laid, expected);
        }
    }

    #[test]
    fn who_runs_in_a_circle_is_stopped() {
        let mut overlay = Overlay::new(Cursor::new(vec![0; 4096]), 0, 4096, 1000);
        let mut sector = [0; 512];
        overlay.read_exact(&mut sector).unwrap();
        overlay.rewind().unwrap();
        assert!(overlay.read_exact(&mut sector).is_err());
        assert!(overlay.seek(SeekFrom::Start(4097)).is_err());
    }
}
