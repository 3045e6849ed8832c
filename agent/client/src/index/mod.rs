//! MPyC's wheel: its file name, its digest, its bytes.
//!
//! Two ask for it. The owner's command asks for a *version* ([`resolve`]): a wheel that was fetched
//! before, or the Python index (PyPI or another one that speaks the simple JSON API, PEP 691). What
//! the index says is believed at most once, at signing: from then on the digest in the manifest
//! decides. The agent asks for one *file* ([`exact`]), whose digest and length are signed, and
//! believes the index nothing.

mod cache;
mod error;
mod fetch;
mod simple;
mod url;
mod wheel_name;

use std::path::{Path, PathBuf};

use e3_core::digest::{Blob, Digest};
use e3_core::limits;
use e3_core::text::clean;

use crate::files::read_bounded;
use wheel_name::WheelName;

pub use self::error::IndexError;
pub use self::url::{DEFAULT_INDEX, IndexUrl};

/// Characters of somebody else's text in a message.
const SHOWN: usize = 80;

/// An MPyC wheel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wheel {
    /// Its file name, which says its version.
    pub file: String,
    /// Its contents.
    pub bytes: Vec<u8>,
    /// Where it was found.
    pub origin: Origin,
}

/// Where a wheel was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A local file that was named.
    Local,
    /// Fetched before.
    Cache,
    /// Fetched now.
    Index,
}

impl Wheel {
    /// Its digest and length.
    pub fn blob(&self) -> Blob {
        Blob::of(&self.bytes)
    }
}

/// Where wheels are looked for.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The Python index.
    pub index: IndexUrl,
    /// The folder of fetched wheels; see [`Sources::default_cache`].
    pub cache: PathBuf,
}

impl Sources {
    /// `$XDG_CACHE_HOME/e3/wheels`, or `~/.cache/e3/wheels`. None if neither is known.
    pub fn default_cache(
        xdg_cache_home: Option<PathBuf>,
        home: Option<PathBuf>,
    ) -> Option<PathBuf> {
        let absolute = xdg_cache_home.filter(|path| path.is_absolute());
        Some(
            absolute
                .or_else(|| home.map(|home| home.join(".cache")))?
                .join("e3")
                .join("wheels"),
        )
    }
}

/// Finds the wheel of MPyC `version`, with this digest if one is given. Needs no network if it was
/// fetched before.
pub async fn resolve(
    version: &str,
    pinned: Option<&Digest>,
    sources: &Sources,
) -> Result<Wheel, IndexError> {
    if let Some(wheel) = cache::find(&sources.cache, version, pinned) {
        return Ok(wheel);
    }
    let wheel = fetch::wheel(&sources.index, version, pinned).await?;
    // A cache that cannot be written costs the next fetch, not this session.
    let _ = cache::put(&sources.cache, &wheel);
    Ok(wheel)
}

/// Fetches `file` from the index: exactly the bytes that `wheel` names, or an error.
pub async fn exact(index: &IndexUrl, file: &str, wheel: &Blob) -> Result<Vec<u8>, IndexError> {
    fetch::exact(index, file, wheel).await
}

/// The wheel in the file `path`, which must be the one of `version`, with this digest if one is given.
pub fn local(path: &Path, version: &str, digest: Option<&Digest>) -> Result<Wheel, IndexError> {
    let other = || IndexError::OtherFile {
        path: path.to_owned(),
        version: version.to_owned(),
    };
    let file = path
        .file_name()
        .map(|file| file.to_string_lossy().into_owned())
        .unwrap_or_default();
    if !WheelName::parse(&file).is_some_and(|name| name.is_pure_mpyc(version)) {
        return Err(other());
    }
    let limit = usize::try_from(limits::MPYC).unwrap_or(usize::MAX);
    let bytes = read_bounded(path, limit)?;
    pinned(&file, &bytes, digest)?;
    // Every wheel is a zip file; an error page or a half download is not.
    if !bytes.starts_with(b"PK\x03\x04") {
        return Err(other());
    }
    Ok(Wheel {
        file,
        bytes,
        origin: Origin::Local,
    })
}

fn pinned(file: &str, bytes: &[u8], pinned: Option<&Digest>) -> Result<(), IndexError> {
    let found = Digest::of(bytes);
    match pinned {
        Some(pinned) if *pinned != found => Err(IndexError::OtherDigest {
            file: clean(file, SHOWN),
            pinned: *pinned,
            found,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
