//! Wheels that were fetched before: `<cache>/<sha256>/<file>`. What lies there is hashed again each
//! time, so a damaged cache is the same as an empty one.

use std::fs;
use std::path::Path;

use e3_core::digest::Digest;
use e3_core::limits;

use super::wheel_name::WheelName;
use super::{Origin, Wheel};
use crate::files::{FileError, read_bounded, write_atomic};

/// Folders looked at; a cache with more is somebody else's folder.
const MOST: usize = 4096;

/// The wheel of MPyC `version`, with the digest `pinned` if there is one. Nothing if two different
/// ones are there: then the index has to say which.
pub(super) fn find(cache: &Path, version: &str, pinned: Option<&Digest>) -> Option<Wheel> {
    let folders = fs::read_dir(cache).ok()?.take(MOST).filter_map(Result::ok);
    let names = folders.filter_map(|folder| folder.file_name().into_string().ok());
    let digests = names.filter_map(|name| Digest::from_hex(&name).ok());
    let wanted = digests.filter(|digest| pinned.is_none_or(|pinned| pinned == digest));
    let mut found =
        wanted.filter_map(|digest| in_folder(&cache.join(digest.hex()), version, &digest));
    match (found.next(), found.next()) {
        (Some(wheel), None) => Some(wheel),
        _ => None,
    }
}

fn in_folder(folder: &Path, version: &str, digest: &Digest) -> Option<Wheel> {
    let limit = usize::try_from(limits::MPYC).unwrap_or(usize::MAX);
    let files = fs::read_dir(folder).ok()?.take(8).filter_map(Result::ok);
    let mut names = files.filter_map(|file| file.file_name().into_string().ok());
    let file =
        names.find(|name| WheelName::parse(name).is_some_and(|name| name.is_pure_mpyc(version)))?;
    let bytes = read_bounded(&folder.join(&file), limit).ok()?;
    (Digest::of(&bytes) == *digest).then_some(Wheel {
        file,
        bytes,
        origin: Origin::Cache,
    })
}

/// Keeps a wheel.
pub(super) fn put(cache: &Path, wheel: &Wheel) -> Result<(), FileError> {
    let folder = cache.join(Digest::of(&wheel.bytes).hex());
    let created = fs::create_dir_all(&folder);
    created.map_err(|source| FileError::Io {
        action: "cannot create",
        path: folder.clone(),
        source,
    })?;
    write_atomic(&folder.join(&wheel.file), &wheel.bytes)
}
