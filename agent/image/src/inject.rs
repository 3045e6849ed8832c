//! A join file into a built image: where the image looks for it, and into a new file unless somebody says otherwise.
//!
//! | image | place |
//! |---|---|
//! | Raspberry Pi, `.img` and `.img.zst` | `e3.toml` on the FAT partition |
//! | WSL, `.wsl` | `/etc/e3/e3.toml` in the archive, for root alone |
//! | `.qcow2`, `.iso` | a NoCloud disk of its own; the image stays as it is |

use std::fmt;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::copy::{Copied, NewFile, folder_of};
use crate::error::ImageError;
use crate::fat::{self, FatError};
use crate::join::JoinFile;
use crate::overlay::Changes;
use crate::seed;
use crate::source::{Image, Kind, PIECE, Packing, Spool, Stream, fill};
use crate::stop::Stop;
use crate::table::{self, TableError};
use crate::tarball::{self, TarError};

/// What the file on the FAT partition is called.
pub const ON_CARD: &str = "e3.toml";
/// The folder and file in WSL's archive.
const IN_ARCHIVE: (&str, &str) = ("etc/e3", "e3.toml");
/// A boot partition lies at the beginning: no more than this is unpacked to find it.
const HEAD: u64 = 2 << 30;
/// A disk is at most this long; what its table says beyond is damage.
const DISK: u64 = 1 << 44;
/// What the build of the image uses.
const LEVEL: i32 = 3;

/// A board, as far as images differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Board {
    /// Pi 3, 4, 400, Zero 2 W.
    Pi4,
    /// Pi 5.
    Pi5,
}

impl Board {
    const fn image(self) -> &'static str {
        match self {
            Self::Pi4 => "the Raspberry Pi 3, 4, 400 and Zero 2 W",
            Self::Pi5 => "the Raspberry Pi 5",
        }
    }

    /// Which board these files on a boot partition are for: each has its device tree.
    fn of(names: &[String]) -> Option<Self> {
        let has = |start: &str| {
            names
                .iter()
                .any(|name| name.to_lowercase().starts_with(start))
        };
        match (has("bcm2712"), has("bcm2711") || has("bcm2710")) {
            (true, false) => Some(Self::Pi5),
            (false, true) => Some(Self::Pi4),
            _ => None,
        }
    }
}

impl FromStr for Board {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "pi3" | "pi4" | "pi400" | "zero2w" => Ok(Self::Pi4),
            "pi5" => Ok(Self::Pi5),
            _ => Err(format!(
                "`{text}` is no board; there is pi3, pi4, pi400, zero2w and pi5"
            )),
        }
    }
}

impl fmt::Display for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.image())
    }
}

/// Where the new image goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To this file, which is not there yet.
    File(PathBuf),
    /// Into this folder, named after the image and the machine.
    Folder(PathBuf),
    /// Instead of the image.
    InPlace,
}

/// What was done.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Injected {
    /// The file to use.
    pub file: PathBuf,
    /// Where in it the join file is.
    pub place: String,
    /// How the file came to be.
    pub how: Copied,
    /// Whether the file goes beside the image, which is as it was.
    pub beside: bool,
}

/// Puts a join file into an image. `progress` hears how much of the image's file has been read.
pub fn inject(
    image: &Image,
    join: &JoinFile,
    board: Option<Board>,
    target: &Target,
    stop: &Stop,
    progress: &mut dyn FnMut(u64),
) -> Result<Injected, ImageError> {
    match image.kind {
        Kind::Disk => disk(image, join, board, target, stop, progress),
        Kind::Tar if image.packing != Packing::Zstd => archive(image, join, target, stop, progress),
        Kind::Qcow2 | Kind::Iso => beside(image, join, target),
        _ => Err(ImageError::NotAnImage {
            path: image.path.clone(),
            why: "it is neither a disk nor WSL's archive, nor a qcow2 or ISO file",
        }),
    }
}

/// What changes on a card so that the board finds the join file. The image stays as it is.
pub fn changes(
    image: &Image,
    join: &JoinFile,
    board: Option<Board>,
    scratch: &Path,
) -> Result<(Changes, u32), ImageError> {
    if image.packing == Packing::None {
        let file = image.file().try_clone();
        let file = file.map_err(ImageError::io("open", &image.path))?;
        on_card(image, file, image.length, join, board)
    } else {
        let spool = Spool::new(image.stream()?, scratch, HEAD)?;
        on_card(image, spool, DISK, join, board)
    }
}

/// Which board a card's image is for, if its files say so.
pub fn board(image: &Image, scratch: &Path) -> Result<Option<Board>, ImageError> {
    if image.packing == Packing::None {
        let file = image.file().try_clone();
        let file = file.map_err(ImageError::io("open", &image.path))?;
        Ok(Board::of(&card(image, file, image.length, b"")?.2))
    } else {
        let spool = Spool::new(image.stream()?, scratch, HEAD)?;
        Ok(Board::of(&card(image, spool, DISK, b"")?.2))
    }
}

/// Refuses a card's image that is for other boards than this one.
pub fn fits(image: &Image, wanted: Board, scratch: &Path) -> Result<(), ImageError> {
    agree(image, Some(wanted), board(image, scratch)?)
}

fn agree(image: &Image, wanted: Option<Board>, has: Option<Board>) -> Result<(), ImageError> {
    match (wanted, has) {
        (Some(board), Some(has)) if board != has => Err(ImageError::Board {
            path: image.path.clone(),
            has: has.image(),
            board: match board {
                Board::Pi4 => "Raspberry Pi 3, 4, 400 or Zero 2 W".to_owned(),
                Board::Pi5 => "Raspberry Pi 5".to_owned(),
            },
        }),
        _ => Ok(()),
    }
}

fn on_card(
    image: &Image,
    disk: impl Read + Seek,
    length: u64,
    join: &JoinFile,
    board: Option<Board>,
) -> Result<(Changes, u32), ImageError> {
    let (changes, number, names) = card(image, disk, length, join.text.as_bytes())?;
    agree(image, board, Board::of(&names))?;
    Ok((changes, number))
}

/// The boot partition of a Raspberry Pi: what changes when the file is put there, the partition's number, and what lies there.
fn card(
    image: &Image,
    mut disk: impl Read + Seek,
    length: u64,
    contents: &[u8],
) -> Result<(Changes, u32, Vec<String>), ImageError> {
    let path = || image.path.clone();
    let unread = |error: io::Error| {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            let what = "it ends before its partitions do".to_owned();
            ImageError::Broken { path: path(), what }
        } else {
            image.damaged(0, error)
        }
    };
    let partitions = table::read(&mut disk, length).map_err(|error| match error {
        TableError::Read(error) => unread(error),
        TableError::None => ImageError::NotAnImage {
            path: path(),
            why: "it has no partition table",
        },
        TableError::Broken(_) => ImageError::Broken {
            path: path(),
            what: error.to_string(),
        },
    })?;
    for partition in partitions {
        if !fat::is_fat(&mut disk, &partition).map_err(unread)? {
            continue;
        }
        let put = fat::put(&mut disk, &partition, ON_CARD, contents);
        let (changes, names) = put.map_err(|error| match error {
            FatError::Full => ImageError::Full { path: path() },
            FatError::Broken(source) => match source.kind() {
                io::ErrorKind::UnexpectedEof => unread(source),
                _ => ImageError::Broken {
                    path: path(),
                    what: format!("its FAT file system makes no sense ({source})"),
                },
            },
        })?;
        // An EFI partition is FAT as well, and no machine of E3 looks there.
        if !names
            .iter()
            .any(|name| name.eq_ignore_ascii_case("config.txt"))
        {
            continue;
        }
        return Ok((changes, partition.number, names));
    }
    Err(ImageError::NotAnImage {
        path: path(),
        why: "none of its partitions is the boot partition of a Raspberry Pi",
    })
}

fn disk(
    image: &Image,
    join: &JoinFile,
    board: Option<Board>,
    target: &Target,
    stop: &Stop,
    progress: &mut dyn FnMut(u64),
) -> Result<Injected, ImageError> {
    let (out, mut file) = open(image, join, target, None)?;
    let (changes, number) = changes(image, join, board, folder_of(&out))?;
    let packs = match target {
        Target::File(path) => ending(path) == "zst",
        _ => image.packing == Packing::Zstd,
    };
    if image.packing == Packing::Gzip && !matches!(target, Target::File(_)) {
        // Unpacked it is what every tool takes; packed again it would be slow for nothing.
        return Err(ImageError::Compression {
            path: image.path.clone(),
            how: "gzip",
        });
    }
    let how = if image.packing == Packing::None && !packs {
        let how = file.fill_from(image.file(), stop)?;
        for (at, bytes) in changes.iter() {
            file.patch(at, bytes)?;
        }
        how
    } else {
        let stream = image.stream()?;
        if packs {
            let failed = |error| ImageError::io("write", &out)(error);
            let mut packer = zstd::Encoder::new(&mut file, LEVEL).map_err(failed)?;
            packer.include_checksum(true).map_err(failed)?;
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            packer
                .multithread(u32::try_from(threads).unwrap_or(1))
                .map_err(failed)?;
            repack(image, stream, &changes, &mut packer, &out, stop, progress)?;
            packer.finish().map_err(failed)?;
        } else {
            repack(image, stream, &changes, &mut file, &out, stop, progress)?;
        }
        Copied::Repacked
    };
    file.keep()?;
    Ok(Injected {
        file: out,
        place: format!("{ON_CARD} on partition {number} (FAT)"),
        how,
        beside: false,
    })
}

fn repack(
    image: &Image,
    mut stream: Stream,
    changes: &Changes,
    out: &mut impl Write,
    path: &Path,
    stop: &Stop,
    progress: &mut dyn FnMut(u64),
) -> Result<(), ImageError> {
    let read = stream.progress();
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    loop {
        if stop.is_set() {
            return Err(nothing_written());
        }
        let length = fill(&mut stream, &mut piece).map_err(|error| image.damaged(at, error))?;
        if length == 0 {
            return Ok(());
        }
        changes.apply(at, &mut piece[..length]);
        out.write_all(&piece[..length])
            .map_err(ImageError::io("write", path))?;
        at += length as u64;
        progress(read.load(std::sync::atomic::Ordering::Relaxed));
    }
}

fn archive(
    image: &Image,
    join: &JoinFile,
    target: &Target,
    stop: &Stop,
    progress: &mut dyn FnMut(u64),
) -> Result<Injected, ImageError> {
    let (out, mut file) = open(image, join, target, None)?;
    let packs = match target {
        Target::File(path) => ending(path) != "tar",
        _ => image.packing == Packing::Gzip,
    };
    let stream = image.stream()?;
    let read = stream.progress();
    let failed = |error: TarError| match error {
        TarError::Read { at, source } if source.kind() == io::ErrorKind::UnexpectedEof => {
            let what = format!("its archive ends at byte {at}, in the middle of something");
            ImageError::Broken {
                path: image.path.clone(),
                what,
            }
        }
        TarError::Read { at, source } => image.damaged(at, source),
        TarError::Write(source) => ImageError::io("write", &out)(source),
        TarError::Broken { .. } => ImageError::Broken {
            path: image.path.clone(),
            what: error.to_string(),
        },
        TarError::Stopped => nothing_written(),
    };
    let tell = |_| progress(read.load(std::sync::atomic::Ordering::Relaxed));
    let text = join.text.as_bytes();
    let mut buffered = BufWriter::with_capacity(PIECE, &mut file);
    if packs {
        // No time and no name in its header: the same makes the same.
        let mut packer = flate2::GzBuilder::new()
            .mtime(0)
            .write(&mut buffered, flate2::Compression::default());
        tarball::put(stream, &mut packer, IN_ARCHIVE, text, stop, tell).map_err(failed)?;
        packer.finish().map_err(ImageError::io("write", &out))?;
    } else {
        tarball::put(stream, &mut buffered, IN_ARCHIVE, text, stop, tell).map_err(failed)?;
    }
    buffered.flush().map_err(ImageError::io("write", &out))?;
    drop(buffered);
    file.keep()?;
    Ok(Injected {
        file: out,
        place: format!("/{}/{}", IN_ARCHIVE.0, IN_ARCHIVE.1),
        how: Copied::Repacked,
        beside: false,
    })
}

fn beside(image: &Image, join: &JoinFile, target: &Target) -> Result<Injected, ImageError> {
    let folder = folder_of(&image.path).to_owned();
    // There is nothing in the image to put it into: it stays as it is in any case.
    let target = match target {
        Target::InPlace => &Target::Folder(folder),
        other => other,
    };
    let (out, mut file) = open(image, join, target, Some("seed.iso"))?;
    file.write_all(&seed::iso(join.name.as_str(), join.text.as_bytes()))
        .map_err(ImageError::io("write", &out))?;
    file.keep()?;
    Ok(Injected {
        file: out,
        place: "user-data on a disk with the label cidata".to_owned(),
        how: Copied::New,
        beside: true,
    })
}

/// The new file and where it will be.
fn open(
    image: &Image,
    join: &JoinFile,
    target: &Target,
    ending: Option<&str>,
) -> Result<(PathBuf, NewFile), ImageError> {
    let (path, replaces) = match target {
        Target::File(path) => (path.clone(), false),
        Target::Folder(folder) => (
            folder.join(name(&image.path, join.name.as_str(), ending)),
            false,
        ),
        // What a link leads to is replaced, not the link.
        Target::InPlace => (
            image
                .path
                .canonicalize()
                .map_err(ImageError::io("open", &image.path))?,
            true,
        ),
    };
    let file = NewFile::beside(&path, replaces)?;
    Ok((path, file))
}

/// `e3-raspberrypi-aarch64.img.zst` for alice: `e3-raspberrypi-aarch64-alice.img.zst`.
fn name(image: &Path, party: &str, ending: Option<&str>) -> String {
    let name = image
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    let known = [
        ".img.zst", ".img.gz", ".img", ".tar.gz", ".tar", ".wsl", ".qcow2", ".iso",
    ];
    let found = known
        .into_iter()
        .find(|end| name.ends_with(end))
        .unwrap_or("");
    let stem = &name[..name.len() - found.len()];
    let end = ending.map_or_else(|| found.to_owned(), |ending| format!(".{ending}"));
    format!("{stem}-{party}{end}")
}

fn ending(path: &Path) -> String {
    let ending = path
        .extension()
        .map(|ending| ending.to_string_lossy().to_lowercase());
    ending.unwrap_or_default()
}

fn nothing_written() -> ImageError {
    ImageError::Stopped {
        left: "nothing was written".to_owned(),
    }
}
