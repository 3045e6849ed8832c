//! A published image on its way: the file `.NAME.<digest>.part`, which gets the image's name when its digest is right.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use e3_core::digest::{Digest, Hasher};
use e3_core::document::PublishedImage;
use rustix::fs::OFlags;
use rustix::process::geteuid;

use super::PublishedError;
use super::address::Address;
use super::fetch::{KEPT, Progress, Tell};
use crate::error::ImageError;
use crate::lock::Locked;
use crate::source::PIECE;
use crate::stop::Stop;

/// What has come so far.
pub(super) struct Part<'a> {
    pub(super) image: &'a PublishedImage,
    path: PathBuf,
    file: Locked,
    /// Bytes that are there.
    pub(super) length: u64,
    /// Those of them that an earlier command has left.
    pub(super) had: u64,
    hasher: Hasher,
}

impl<'a> Part<'a> {
    pub(super) fn open(folder: &Path, image: &'a PublishedImage) -> Result<Self, ImageError> {
        let short = image.content.digest.short();
        let path = folder.join(format!(".{}.{short}.part", image.file));
        let failed = |error| ImageError::io("write", &path)(error);
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path)
            .map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        // In a folder that is everybody's, somebody else could write to it after it was judged.
        if !metadata.is_file() || metadata.uid() != geteuid().as_raw() {
            return Err(ImageError::Exists { path });
        }
        let file = Locked::take(file).map_err(failed)?;
        let file = file.ok_or_else(|| PublishedError::Busy {
            file: image.file.clone(),
        })?;
        Ok(Self {
            image,
            path,
            file,
            length: 0,
            had: 0,
            hasher: Hasher::default(),
        })
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(io::Error) -> ImageError + use<> {
        let path = self.path.clone();
        move |source| ImageError::Io {
            action,
            path,
            source,
        }
    }

    /// Reads what an earlier command has left.
    pub(super) fn take_in(&mut self, stop: &Stop, tell: Tell<'_>) -> Result<(), ImageError> {
        let mut piece = vec![0; PIECE];
        loop {
            if stop.is_set() {
                let left = KEPT.to_owned();
                return Err(ImageError::Stopped { left });
            }
            let length = self.file.read(&mut piece).map_err(self.failed("read"))?;
            if length == 0 {
                self.had = self.length;
                return Ok(());
            }
            self.hasher.update(&piece[..length]);
            self.length += length as u64;
            if self.length > self.image.content.size {
                // Not ours.
                return self.begin_anew();
            }
            tell(Progress::Reading(self.length));
        }
    }

    pub(super) fn begin_anew(&mut self) -> Result<(), ImageError> {
        self.file.set_len(0).map_err(self.failed("write"))?;
        self.file
            .seek(SeekFrom::Start(0))
            .map_err(self.failed("write"))?;
        (self.length, self.had, self.hasher) = (0, 0, Hasher::default());
        Ok(())
    }

    /// Rule 3: not one byte more than the list says.
    pub(super) fn add(&mut self, from: &Address, bytes: &[u8]) -> Result<(), ImageError> {
        let length = self.length + bytes.len() as u64;
        if length > self.image.content.size {
            self.discard();
            return Err(self
                .other_length(from, "more bytes than that".to_owned())
                .into());
        }
        self.file.write_all(bytes).map_err(self.failed("write"))?;
        self.hasher.update(bytes);
        self.length = length;
        Ok(())
    }

    pub(super) fn other_length(&self, from: &Address, found: String) -> PublishedError {
        PublishedError::Length {
            from: from.shown(),
            found,
            expected: self.image.content.size,
        }
    }

    /// An answer that ends too early is a broken connection.
    pub(super) fn is_whole(&self, from: &Address) -> Result<(), ImageError> {
        if self.length == self.image.content.size {
            return Ok(());
        }
        Err(match from {
            Address::File(_) => {
                self.discard();
                self.other_length(from, format!("{} bytes", self.length))
            }
            Address::Web(_) => PublishedError::Unreachable {
                from: from.shown(),
                detail: format!("the connection ended after {} bytes", self.length),
            },
        }
        .into())
    }

    /// The digest of what is there.
    pub(super) fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// What is there is of no use to anybody.
    pub(super) fn discard(&self) {
        // If it stays, it is read and found wrong the next time.
        let _ = fs::remove_file(&self.path);
    }

    /// Its digest is right: it is the image now, and on the disk when this returns.
    pub(super) fn name_it(self, path: &Path) -> Result<(), ImageError> {
        self.file.sync_all().map_err(self.failed("write"))?;
        fs::rename(&self.path, path).map_err(ImageError::io("name", path))?;
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new(".")));
        let synced = folder.and_then(|folder| folder.sync_all());
        synced.map_err(ImageError::io("write", path))
    }
}
