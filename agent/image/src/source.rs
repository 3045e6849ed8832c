//! An image as a stream of its bytes: opened, told what it is by what is in it, and unpacked while it is read.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::ImageError;
use crate::table::{self, TableError};

/// The largest window of zstd, as a power of two: 32 MiB. `zstd -19` needs 8; more would not fit into a small computer.
const WINDOW: u32 = 25;
/// Bytes at a time.
pub const PIECE: usize = 1 << 20;

/// How an image is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    None,
    /// `.zst`
    Zstd,
    /// `.gz`, `.wsl`
    Gzip,
}

/// What an image is, from its first bytes after unpacking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A disk, byte by byte: `.img`.
    Disk,
    /// A file system's files: `.wsl`.
    Tar,
    /// QEMU's disk: `.qcow2`.
    Qcow2,
    /// A CD: `.iso`.
    Iso,
    /// Something else.
    Other,
}

/// An image file.
#[derive(Debug)]
pub struct Image {
    /// Where it is, for people.
    pub path: PathBuf,
    /// How it is compressed.
    pub packing: Packing,
    /// What it is.
    pub kind: Kind,
    /// Its length as a file.
    pub length: u64,
    file: File,
}

impl Image {
    /// Opens an image and looks at its beginning.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let mut file = File::open(path).map_err(ImageError::io("open", path))?;
        let metadata = file.metadata().map_err(ImageError::io("read", path))?;
        if !metadata.is_file() {
            return Err(ImageError::NotAnImage {
                path: path.to_owned(),
                why: "it is not a file",
            });
        }
        let mut magic = Vec::new();
        (&mut file)
            .take(6)
            .read_to_end(&mut magic)
            .map_err(ImageError::io("read", path))?;
        let packing = match magic.as_slice() {
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
            [0x1f, 0x8b, 8, ..] => Packing::Gzip,
            _ => {
                let how = match magic.as_slice() {
                    [0xfd, b'7', b'z', b'X', b'Z', 0] => Some("xz"),
                    [b'B', b'Z', b'h', ..] => Some("bzip2"),
                    _ => None,
                };
                if let Some(how) = how {
                    let path = path.to_owned();
                    return Err(ImageError::Compression { path, how });
                }
                Packing::None
            }
        };
        let mut image = Self {
            path: path.to_owned(),
            packing,
            kind: Kind::Other,
            length: metadata.len(),
            file,
        };
        image.kind = image.look()?;
        Ok(image)
    }

    /// What its first bytes are those of.
    fn look(&self) -> Result<Kind, ImageError> {
        // A CD says so at 32 KiB.
        let mut head = Vec::new();
        self.stream()?
            .take(0x8006)
            .read_to_end(&mut head)
            .map_err(|source| self.damaged(head.len() as u64, source))?;
        let at = |place: usize, magic: &[u8]| {
            head.get(place..)
                .is_some_and(|rest| rest.starts_with(magic))
        };
        Ok(if at(0, b"QFI\xfb") {
            Kind::Qcow2
        } else if at(0x8001, b"CD001") {
            Kind::Iso
        } else if at(257, b"ustar") {
            Kind::Tar
        } else if at(510, &[0x55, 0xaa]) {
            Kind::Disk
        } else {
            Kind::Other
        })
    }

    /// Refuses a disk that is shorter than its partition table says: a download that broke off. What is packed is noticed when
    /// it is unpacked.
    pub fn reaches_its_partitions(&self) -> Result<(), ImageError> {
        if (self.kind, self.packing) != (Kind::Disk, Packing::None) {
            return Ok(());
        }
        let is_short = match table::read(&mut &self.file, u64::MAX) {
            Ok(partitions) => partitions
                .iter()
                .any(|partition| partition.start.saturating_add(partition.length) > self.length),
            Err(TableError::Read(error)) => error.kind() == io::ErrorKind::UnexpectedEof,
            // Which tables there are in the world is not decided here.
            Err(TableError::None | TableError::Broken(_)) => false,
        };
        if is_short {
            let (path, what) = (
                self.path.clone(),
                "it ends before its partitions do".to_owned(),
            );
            return Err(ImageError::Broken { path, what });
        }
        Ok(())
    }

    /// Its bytes from the beginning, unpacked.
    pub fn stream(&self) -> Result<Stream, ImageError> {
        let mut file = self
            .file
            .try_clone()
            .map_err(ImageError::io("open", &self.path))?;
        // One place per open file, which the copies share: nobody reads two streams of one image at once.
        file.rewind().map_err(ImageError::io("read", &self.path))?;
        let read = Arc::new(AtomicU64::new(0));
        let counted = Counted {
            file,
            read: Arc::clone(&read),
        };
        let bytes: Box<dyn Read + Send> = match self.packing {
            Packing::None => Box::new(counted),
            Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(
                BufReader::with_capacity(PIECE / 4, counted),
            )),
            Packing::Zstd => {
                let mut decoder =
                    zstd::Decoder::with_buffer(BufReader::with_capacity(PIECE / 4, counted))
                        .map_err(ImageError::io("unpack", &self.path))?;
                decoder
                    .window_log_max(WINDOW)
                    .map_err(ImageError::io("unpack", &self.path))?;
                Box::new(decoder)
            }
        };
        Ok(Stream { bytes, read })
    }

    /// The file itself.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The error of a stream that cannot be read beyond `at`.
    pub fn damaged(&self, at: u64, source: io::Error) -> ImageError {
        let path = self.path.clone();
        match (self.packing, source.raw_os_error()) {
            (Packing::None, _) | (_, Some(_)) => ImageError::io("read", &path)(source),
            _ => ImageError::Damaged { path, at, source },
        }
    }
}

/// The bytes of an image, unpacked.
pub struct Stream {
    bytes: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Stream {
    /// How many bytes of the file have been read, for who wants to know how much is left.
    pub fn progress(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(buffer)
    }
}

struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.read.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

/// Reads until the buffer is full or the stream ends, and says how much that was.
pub fn fill(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match stream.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// A stream that can be looked at in any order, as far as it has been looked at: it is unpacked into a temporary file,
/// and never further than somebody asks for.
pub struct Spool {
    stream: Stream,
    file: File,
    /// Bytes in `file`.
    length: u64,
    limit: u64,
    at: u64,
}

impl Spool {
    /// Keeps at most `limit` bytes in a file without a name in `folder`.
    pub fn new(stream: Stream, folder: &Path, limit: u64) -> Result<Self, ImageError> {
        Ok(Self {
            stream,
            file: tempfile::tempfile_in(folder).map_err(ImageError::io("write in", folder))?,
            length: 0,
            limit,
            at: 0,
        })
    }

    fn reach(&mut self, end: u64) -> io::Result<()> {
        if end > self.limit {
            return Err(io::Error::other("its boot partition is too far in"));
        }
        let mut piece = vec![0; PIECE];
        while self.length < end {
            let length = fill(&mut self.stream, &mut piece)?;
            if length == 0 {
                break;
            }
            self.file.seek(SeekFrom::Start(self.length))?;
            self.file.write_all(&piece[..length])?;
            self.length += length as u64;
        }
        Ok(())
    }
}

impl Read for Spool {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.at.saturating_add(buffer.len() as u64);
        if end > self.length {
            self.reach(end)?;
        }
        self.file.seek(SeekFrom::Start(self.at))?;
        let length = self.file.read(buffer)?;
        self.at += length as u64;
        Ok(length)
    }
}

impl Seek for Spool {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            // Nobody knows where it ends before it has been unpacked.
            SeekFrom::End(_) => None,
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}
