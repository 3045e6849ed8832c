//! The image's side of an upload: whether the cloud can use it, and its bytes.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::error::Fault;
use crate::error::ImageError;
use crate::inject;
use crate::source::{Image, Kind, Packing};
use crate::stop::Stop;

/// DigitalOcean takes no larger disks.
const DISK: u64 = 100_000_000_000;
/// Bytes at a time: enough for several processors to hash.
const PIECE: usize = 4 << 20;
/// Characters of the name in the Space.
const NAME: usize = 120;

/// An image that can go.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its name as a file, with nothing in it that an address would not have as it is.
    pub(super) name: String,
    /// Bytes.
    pub(super) size: u64,
    file: File,
    /// What changes when somebody writes to it.
    stamp: (u64, u64, i64, i64),
}

impl Outgoing {
    /// Opens an image and judges whether droplets could start from it.
    pub(super) fn open(path: &Path) -> Result<Self, ImageError> {
        let mut file = File::open(path).map_err(ImageError::io("open", path))?;
        let metadata = file.metadata().map_err(ImageError::io("read", path))?;
        let mut magic = Vec::new();
        if metadata.is_file() {
            (&mut file)
                .take(4)
                .read_to_end(&mut magic)
                .map_err(ImageError::io("read", path))?;
        }
        // What is in it, DigitalOcean says when it has unpacked it.
        if !matches!(magic.as_slice(), [b'B', b'Z', b'h', b'1'..=b'9']) {
            judge(path)?;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.contains("aarch64") {
            return Err(refused(
                path,
                "its name says that it is for aarch64, and droplets have x86_64",
                "Build the one for them with `e3 image build digitalocean`.",
            ));
        }
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '-'
            }
        };
        Ok(Self {
            path: path.to_owned(),
            name: name.chars().map(plain).take(NAME).collect(),
            size: metadata.len(),
            stamp: stamp(&metadata),
            file,
        })
    }

    /// All its bytes in their order, piece by piece. `false` if somebody stopped it before the end.
    pub(super) fn read(&self, stop: &Stop, take: &mut dyn FnMut(&[u8])) -> Result<bool, Fault> {
        let mut piece = vec![0; PIECE];
        let mut done = 0;
        while done < self.size {
            if stop.is_set() {
                return Ok(false);
            }
            let length = usize::try_from(self.size - done).map_or(PIECE, |left| left.min(PIECE));
            self.fill(&mut piece[..length], done)?;
            take(&piece[..length]);
            done += length as u64;
        }
        Ok(true)
    }

    /// `length` bytes from `at`.
    pub(super) fn piece(&self, at: u64, length: usize) -> Result<Vec<u8>, Fault> {
        let mut piece = vec![0; length];
        self.fill(&mut piece, at)?;
        Ok(piece)
    }

    fn fill(&self, piece: &mut [u8], at: u64) -> Result<(), Fault> {
        match self.file.read_exact_at(piece, at) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.changed()),
            read => read.map_err(|source| self.failed(source)),
        }
    }

    /// The fault of a thread that did not come to its end.
    pub(super) fn thread(&self, error: tokio::task::JoinError) -> Fault {
        self.failed(io::Error::other(error))
    }

    /// Fails if somebody has written to it since it was opened.
    pub(super) fn still_the_same(&self) -> Result<(), Fault> {
        let now = self.file.metadata().map_err(|source| self.failed(source))?;
        if stamp(&now) == self.stamp {
            Ok(())
        } else {
            Err(self.changed())
        }
    }

    fn changed(&self) -> Fault {
        let path = self.path.clone();
        Fault::Changed { path }
    }

    fn failed(&self, source: io::Error) -> Fault {
        Fault::Io {
            action: "read",
            path: self.path.clone(),
            source,
        }
    }
}

fn stamp(metadata: &Metadata) -> (u64, u64, i64, i64) {
    (
        metadata.ino(),
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec(),
    )
}

fn judge(path: &Path) -> Result<(), ImageError> {
    let image = Image::open(path)?;
    image.reaches_its_partitions()?;
    let what = match (image.kind, image.packing) {
        (Kind::Disk | Kind::Qcow2, Packing::Zstd) => {
            return Err(refused(
                path,
                "it is packed with zstd",
                "Unpack it with `zstd -d`: DigitalOcean takes disks that are plain, or packed with gzip or bzip2.",
            ));
        }
        (Kind::Disk, _) if matches!(inject::board(&image, &std::env::temp_dir()), Ok(Some(_))) => {
            "it is for the Raspberry Pi"
        }
        (Kind::Disk, Packing::None) if image.length > DISK => "it has more than 100 GB",
        (Kind::Disk | Kind::Qcow2, _) => return Ok(()),
        (Kind::Tar, _) => "it is an archive of files, not a disk",
        (Kind::Iso, _) => "it is a CD",
        (Kind::Other, _) => "it is neither a disk nor a qcow2 file",
    };
    let remedy =
        "Give what `e3 image build digitalocean` makes, or another disk in raw or qcow2 format.";
    Err(refused(path, what, remedy))
}

fn refused(path: &Path, what: &'static str, remedy: &'static str) -> ImageError {
    let path = path.to_owned();
    let fault = Fault::Format { path, what, remedy };
    ImageError::Upload(fault.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_no_droplet_starts_from_is_refused_before_anything_is_sent() {
        let folder = tempfile::tempdir().unwrap();
        let mut qcow2 = b"QFI\xfb".to_vec();
        qcow2.resize(0x9000, 0);
        let mut tar = vec![0; 0x9000];
        tar[257..262].copy_from_slice(b"ustar");
        // One partition, from sector 1: 500 sectors.
        let mut short = vec![0; 0x9000];
        short[450] = 0x83;
        short[454] = 1;
        short[458..460].copy_from_slice(&[0xf4, 1]);
        short[510..512].copy_from_slice(&[0x55, 0xaa]);
        let gz = |bytes: &[u8]| {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(bytes).unwrap();
            packer.finish().unwrap()
        };
        for (name, bytes, problem) in [
            ("a.qcow2", qcow2.clone(), None),
            ("a.qcow2.gz", gz(&qcow2), None),
            ("a.qcow2.bz2", b"BZh9rest".to_vec(), None),
            ("a-aarch64.qcow2", qcow2.clone(), Some("aarch64")),
            (
                "a.qcow2.zst",
                zstd::encode_all(&*qcow2, 1).unwrap(),
                Some("zstd"),
            ),
            ("e3.wsl", gz(&tar), Some("archive")),
            ("empty", Vec::new(), Some("neither")),
            ("short.img", short, Some("ends before its partitions do")),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let error = Outgoing::open(&path).err().map(|error| error.to_string());
            match (error, problem) {
                (None, None) => {}
                (Some(error), Some(problem)) => assert!(error.contains(problem), "{error}"),
                (error, _) => panic!("{name}: {error:?}"),
            }
        }
    }

    #[test]
    fn a_hostile_name_goes_into_no_address() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a?b#c%\x1b[2J é.bz2");
        std::fs::write(&path, b"BZh9").unwrap();
        assert_eq!(Outgoing::open(&path).unwrap().name, "a-b-c---2J--.bz2");
    }

    #[test]
    fn an_image_that_is_written_to_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bz2");
        std::fs::write(&path, b"BZh9 one").unwrap();
        let image = Outgoing::open(&path).unwrap();
        image.still_the_same().unwrap();
        std::fs::write(&path, b"BZh9 longer").unwrap();
        assert!(matches!(image.still_the_same(), Err(Fault::Changed { .. })));
    }
}
