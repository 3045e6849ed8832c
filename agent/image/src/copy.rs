//! New files beside old ones: they appear whole or not at all, only their owner may read them, and what the file system can
//! share is not copied.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{SeekFrom as Seeking, copy_file_range, ioctl_ficlone, seek};
use tempfile::NamedTempFile;

use crate::error::ImageError;
use crate::stop::Stop;

/// Bytes that are copied between two looks at [`Stop`].
const PIECE: u64 = 64 << 20;
/// Zeros shorter than this are written: holes are for what is worth one.
const HOLE: usize = 64 * 1024;

/// How a file came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Copied {
    /// The file system shares what is the same.
    Shared,
    /// Byte by byte, but for holes.
    Copied,
    /// Unpacked, and packed again where it was packed.
    Repacked,
    /// Made new.
    New,
}

/// A file on its way to `path`. Dropped before it is [kept](Self::keep), it leaves nothing behind.
#[derive(Debug)]
pub struct NewFile {
    file: NamedTempFile,
    path: PathBuf,
    /// The end of what was written, holes included.
    end: u64,
    replaces: bool,
}

impl NewFile {
    /// A file beside `path`; unless it `replaces` what is there, nothing may be there.
    pub fn beside(path: &Path, replaces: bool) -> Result<Self, ImageError> {
        if !replaces && path.symlink_metadata().is_ok() {
            return Err(ImageError::Exists {
                path: path.to_owned(),
            });
        }
        // NamedTempFile's own mode: 0600.
        let file = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(folder_of(path))
            .map_err(ImageError::io("write beside", path))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            end: 0,
            replaces,
        })
    }

    /// Takes over the whole contents of another file.
    pub fn fill_from(&mut self, source: &File, stop: &Stop) -> Result<Copied, ImageError> {
        let target = self.file.as_file();
        if ioctl_ficlone(target, source).is_ok() {
            return Ok(Copied::Shared);
        }
        sparse(source, target, stop).map_err(|error| {
            if stop.is_set() {
                ImageError::Stopped {
                    left: "nothing was written".to_owned(),
                }
            } else {
                ImageError::io("write", &self.path)(error)
            }
        })?;
        Ok(Copied::Copied)
    }

    /// Writes over a part.
    pub fn patch(&self, at: u64, bytes: &[u8]) -> Result<(), ImageError> {
        use std::os::unix::fs::FileExt as _;
        let written = self.file.as_file().write_all_at(bytes, at);
        written.map_err(ImageError::io("write", &self.path))
    }

    /// Makes it durable and gives it its name.
    pub fn keep(self) -> Result<(), ImageError> {
        let failed = |error| ImageError::io("write", &self.path)(error);
        if self.end > 0 {
            // The last bytes may be a hole.
            self.file.as_file().set_len(self.end).map_err(failed)?;
        }
        self.file.as_file().sync_all().map_err(failed)?;
        let persisted = if self.replaces {
            self.file.persist(&self.path)
        } else {
            self.file.persist_noclobber(&self.path)
        };
        persisted.map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => ImageError::Exists {
                path: self.path.clone(),
            },
            _ => failed(error.error),
        })?;
        // A rename is on the disk only when its folder is.
        File::open(folder_of(&self.path))
            .and_then(|folder| folder.sync_all())
            .map_err(failed)
    }
}

/// Writing leaves holes where there are only zeros.
impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(HOLE);
        let piece = &bytes[..length];
        if length == HOLE && piece.iter().all(|byte| *byte == 0) {
            self.file
                .as_file_mut()
                .seek(SeekFrom::Start(self.end + HOLE as u64))?;
        } else {
            self.file.as_file_mut().write_all(piece)?;
        }
        self.end += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn sparse(source: &File, target: &File, stop: &Stop) -> io::Result<()> {
    let length = source.metadata()?.len();
    let mut at = 0;
    while at < length {
        let from = match seek(source, Seeking::Data(at)) {
            Ok(from) => from,
            // Nothing but a hole is left.
            Err(rustix::io::Errno::NXIO) => break,
            // A file system that does not know its holes has none.
            Err(rustix::io::Errno::INVAL) => at,
            Err(error) => return Err(error.into()),
        };
        let to = seek(source, Seeking::Hole(from)).unwrap_or(length);
        copy_part(source, target, from, to.max(from + 1).min(length), stop)?;
        at = to.max(from + 1);
    }
    target.set_len(length)
}

fn copy_part(source: &File, target: &File, from: u64, to: u64, stop: &Stop) -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    let mut at = from;
    while at < to {
        if stop.is_set() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let length = usize::try_from((to - at).min(PIECE)).unwrap_or(usize::MAX);
        let (mut read, mut write) = (at, at);
        match copy_file_range(source, Some(&mut read), target, Some(&mut write), length) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(copied) => at += copied as u64,
            // Between two file systems: by hand.
            Err(rustix::io::Errno::XDEV | rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                let mut piece = vec![0; length.min(crate::source::PIECE)];
                source.read_exact_at(&mut piece, at)?;
                target.write_all_at(&piece, at)?;
                at += piece.len() as u64;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The folder that a file lies in.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
