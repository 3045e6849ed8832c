//! What others compare images by: SHA-256 of the file as it is downloaded, and of the image that comes out of it.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::Path;

use e3_core::digest::{Digest, Hasher};

use crate::error::ImageError;
use crate::source::{Image, PIECE, Packing, fill};
use crate::stop::Stop;

/// Lengths and hashes of an image, packed and unpacked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Sums {
    /// Bytes of the file.
    pub size: u64,
    /// SHA-256 of the file, in hexadecimal digits.
    pub sha256: String,
    /// Bytes of the image.
    pub unpacked_size: u64,
    /// SHA-256 of the image.
    pub unpacked_sha256: String,
}

/// SHA-256 of an image's file.
fn packed(image: &Image, stop: &Stop, progress: &mut dyn FnMut(u64)) -> Result<Digest, ImageError> {
    let mut file = image.file();
    file.rewind().map_err(ImageError::io("read", &image.path))?;
    hash(&mut file.take(u64::MAX), stop, progress)
        .map(|(_, hash)| hash)
        .map_err(|error| failed(image, stop, 0, error))
}

/// SHA-256 of any file.
pub fn of_file(
    path: &Path,
    stop: &Stop,
    progress: &mut dyn FnMut(u64),
) -> Result<Digest, ImageError> {
    let mut file = File::open(path).map_err(ImageError::io("open", path))?;
    match hash(&mut file, stop, progress) {
        Ok((_, digest)) => Ok(digest),
        Err(_) if stop.is_set() => Err(stopped()),
        Err(error) => Err(ImageError::io("read", path)(error)),
    }
}

/// Both hashes and both lengths.
pub fn both(image: &Image, stop: &Stop, progress: &mut dyn FnMut(u64)) -> Result<Sums, ImageError> {
    let sha256 = packed(image, stop, progress)?;
    let (unpacked_size, unpacked_sha256) = if image.packing == Packing::None {
        (image.length, sha256)
    } else {
        let mut stream = image.stream()?;
        let read = stream.progress();
        let mut tell = |_| progress(read.load(std::sync::atomic::Ordering::Relaxed));
        hash(&mut stream, stop, &mut tell).map_err(|error| failed(image, stop, 0, error))?
    };
    Ok(Sums {
        size: image.length,
        sha256: sha256.hex(),
        unpacked_size,
        unpacked_sha256: unpacked_sha256.hex(),
    })
}

fn hash(
    stream: &mut impl std::io::Read,
    stop: &Stop,
    progress: &mut dyn FnMut(u64),
) -> std::io::Result<(u64, Digest)> {
    let mut piece = vec![0; PIECE];
    let mut sum = Hasher::default();
    let mut at = 0;
    loop {
        if stop.is_set() {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        let length = fill(stream, &mut piece)?;
        if length == 0 {
            return Ok((at, sum.finish()));
        }
        sum.update(&piece[..length]);
        at += length as u64;
        progress(at);
    }
}

fn failed(image: &Image, stop: &Stop, at: u64, error: std::io::Error) -> ImageError {
    if stop.is_set() {
        stopped()
    } else {
        image.damaged(at, error)
    }
}

fn stopped() -> ImageError {
    ImageError::Stopped {
        left: "nothing was written".to_owned(),
    }
}
