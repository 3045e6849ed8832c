//! The disk's side of flashing: opened for nobody else, read and written past the page cache, in large aligned pieces.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::FlashError;

/// Bytes at a time: what cards like.
pub(super) const CHUNK: usize = 4 << 20;
/// Memory and lengths for direct input and output; no disk has larger sectors.
pub(super) const ALIGN: usize = 4096;

/// Memory that a disk can write from.
pub(super) struct Buffer {
    memory: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// Zeros.
    pub(super) fn new() -> Self {
        let memory = vec![0; CHUNK + ALIGN];
        let start = memory.as_ptr().align_offset(ALIGN).min(ALIGN);
        Self { memory, start }
    }

    /// All of it.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + CHUNK]
    }

    /// All of it.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + CHUNK]
    }
}

/// An open disk that nobody else has open for themselves.
#[derive(Debug)]
pub struct Device {
    path: PathBuf,
    file: File,
    size: u64,
    sector: usize,
}

impl Device {
    /// Opens a disk. Whether it may be written over was asked before: [`crate::device::check`].
    pub fn open(path: &Path) -> Result<Self, FlashError> {
        let failed = |source: io::Error| match source.raw_os_error() {
            Some(code) if code == Errno::BUSY.raw_os_error() => FlashError::Busy {
                path: path.to_owned(),
            },
            _ => FlashError::Open {
                path: path.to_owned(),
                source,
            },
        };
        // On a block device: fails if it, or a part of it, is mounted or held.
        let flags = OFlags::EXCL | OFlags::DIRECT;
        let flags = i32::try_from(flags.bits()).unwrap_or_default();
        let mut file = File::options()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(path)
            .map_err(failed)?;
        if !file
            .metadata()
            .map_err(failed)?
            .file_type()
            .is_block_device()
        {
            return Err(failed(io::Error::other("it is no disk")));
        }
        let size = file.seek(SeekFrom::End(0)).map_err(failed)?;
        let sector = rustix::fs::ioctl_blksszget(&file).map_err(|error| failed(error.into()))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            size,
            sector: usize::try_from(sector).unwrap_or(512).clamp(512, ALIGN),
        })
    }

    /// Its name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Writes the first `length` bytes of a buffer, and zeros up to the end of the last sector.
    pub(super) fn write(&self, at: u64, buffer: &Buffer, length: usize) -> Result<(), FlashError> {
        let bytes = &buffer.bytes()[..length.next_multiple_of(self.sector)];
        self.file
            .write_all_at(bytes, at)
            .map_err(|source| self.failed(at, source, true))
    }

    /// Reads `length` bytes, and what follows up to the end of the last sector.
    pub(super) fn read(
        &self,
        at: u64,
        buffer: &mut Buffer,
        length: usize,
    ) -> Result<(), FlashError> {
        let bytes = &mut buffer.bytes_mut()[..length.next_multiple_of(self.sector)];
        self.file
            .read_exact_at(bytes, at)
            .map_err(|source| self.failed(at, source, false))
    }

    /// Waits until the disk has everything.
    pub(super) fn sync(&self, at: u64) -> Result<(), FlashError> {
        self.file
            .sync_all()
            .map_err(|source| self.failed(at, source, true))
    }

    /// The error for a disk that the image does not fit on.
    pub(super) fn too_small(&self, needs: u64, begun: bool) -> FlashError {
        FlashError::TooSmall {
            path: self.path.clone(),
            has: self.size,
            needs,
            begun,
        }
    }

    fn failed(&self, at: u64, source: io::Error, is_write: bool) -> FlashError {
        let path = self.path.clone();
        let gone = [Errno::NODEV, Errno::NXIO, Errno::NOMEDIUM].map(Errno::raw_os_error);
        // A card that was pulled out of its reader leaves a disk without a size.
        let size = (&self.file).seek(SeekFrom::End(0)).unwrap_or(0);
        if size < self.size
            || source
                .raw_os_error()
                .is_some_and(|code| gone.contains(&code))
        {
            FlashError::Gone { path, at }
        } else if is_write {
            FlashError::Write { path, at, source }
        } else {
            FlashError::Read { path, at, source }
        }
    }
}
