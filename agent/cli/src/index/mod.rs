//! MPyC version → the wheel that a manifest pins: its file name, its digest, its bytes.
//!
//! In this order: the local file that the manifest names; a wheel that was fetched before; the Python
//! index (PyPI or another one that speaks the simple JSON API, PEP 691). What the index says is
//! believed at most once, at signing: from then on the digest in the manifest decides.

mod cache;
mod fetch;
mod simple;
mod wheel_name;

use std::path::{Path, PathBuf};

use e3_client::files::{FileError, read_bounded};
use e3_core::digest::{Blob, Digest};
use e3_core::limits;

use crate::manifest::draft::MpycOptions;
use crate::manifest::text::{bytes, list, shown};
use wheel_name::WheelName;

pub use fetch::{DEFAULT_INDEX, IndexUrl};

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
    /// The file that the manifest names.
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

/// Why there is no wheel.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the texts are the documentation")]
pub enum IndexError {
    #[error("{path} is not the wheel of MPyC {version}; {}", self.remedy())]
    OtherFile { path: PathBuf, version: String },
    #[error("{file} has the digest {found}, the manifest pins {pinned}; {}", self.remedy())]
    OtherDigest {
        file: String,
        pinned: Digest,
        found: Digest,
    },
    #[error("the Python index {index} cannot be reached: {detail}; {}", self.remedy())]
    Unreachable { index: String, detail: String },
    #[error("the Python index {index} answered with status {status}; {}", self.remedy())]
    Status { index: String, status: u16 },
    #[error("the Python index {index} does not speak the simple JSON API (PEP 691): {detail}; {}", self.remedy())]
    NotSimple { index: String, detail: String },
    #[error("the Python index {index} sends more than {} for {what}; {}", bytes(*.limit), self.remedy())]
    TooLarge {
        index: String,
        what: String,
        limit: u64,
    },
    #[error("the Python index {index} has no wheel of MPyC {version}, it has {}; {}", list(.known), self.remedy())]
    NoSuchVersion {
        index: String,
        version: String,
        known: Vec<String>,
    },
    #[error("the Python index {index} names no SHA-256 for {file}; {}", self.remedy())]
    NoDigest { index: String, file: String },
    #[error("the Python index {index} sent other bytes than it names for {file}; {}", self.remedy())]
    NotAsNamed { index: String, file: String },
    #[error("{url} is not the URL of a Python index; {}", self.remedy())]
    BadUrl { url: String },
    #[error("the Python index {index} is not reached over TLS, so anybody on the way could choose what runs; {}", self.remedy())]
    NotSecure { index: String },
    #[error(transparent)]
    File(#[from] FileError),
}

impl IndexError {
    /// What happened, without what to do.
    pub fn message(&self) -> String {
        let text = self.to_string();
        let remedy = format!("; {}", self.remedy());
        let mut message = text.strip_suffix(&remedy).unwrap_or(&text).to_owned();
        if let Self::File(error) = self
            && let Some(source) = std::error::Error::source(error)
        {
            message = format!("{message}: {source}");
        }
        message
    }

    /// Whether the network or the index is to blame.
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Status { .. })
    }

    /// What to do.
    pub fn remedy(&self) -> String {
        match self {
            Self::OtherFile { version, .. } => {
                format!("name a file such as mpyc-{version}-py3-none-any.whl, or correct `version`")
            }
            Self::OtherDigest { .. } => "find out which of the two is right before anything is signed".to_owned(),
            Self::NoSuchVersion { .. } => "correct `version`, or give the file with wheel = \"…\"".to_owned(),
            Self::NotAsNamed { .. } => {
                "try again later or another index, or give the file with wheel = \"…\"".to_owned()
            }
            Self::BadUrl { .. } => format!("write it like {DEFAULT_INDEX}"),
            Self::NotSecure { .. } => {
                "use https, pin the wheel with sha256 = \"…\", or give the file with wheel = \"…\"".to_owned()
            }
            Self::File(error) if error.is_not_found() => {
                "correct the path; it starts at the manifest's folder".to_owned()
            }
            _ => "give the file with wheel = \"…\" in [mpyc], or another index with --index or E3_INDEX".to_owned(),
        }
    }
}

/// Finds the wheel that `mpyc` asks for. Needs no network if it is local or was fetched before.
pub async fn resolve(mpyc: &MpycOptions, sources: &Sources) -> Result<Wheel, IndexError> {
    if let Some(path) = &mpyc.wheel {
        return local(path, mpyc);
    }
    if let Some(wheel) = cache::find(&sources.cache, &mpyc.version, mpyc.sha256.as_ref()) {
        return Ok(wheel);
    }
    let wheel = fetch::wheel(&sources.index, &mpyc.version, mpyc.sha256.as_ref()).await?;
    // A cache that cannot be written costs the next fetch, not this session.
    let _ = cache::put(&sources.cache, &wheel);
    Ok(wheel)
}

/// The wheel in the file `path`, which must be what `mpyc` asks for.
pub fn local(path: &Path, mpyc: &MpycOptions) -> Result<Wheel, IndexError> {
    let file = path
        .file_name()
        .map(|file| file.to_string_lossy().into_owned())
        .unwrap_or_default();
    let is_it = WheelName::parse(&file).is_some_and(|name| name.is_pure_mpyc(&mpyc.version));
    if !is_it {
        return Err(IndexError::OtherFile {
            path: path.to_owned(),
            version: mpyc.version.clone(),
        });
    }
    let limit = usize::try_from(limits::MPYC).unwrap_or(usize::MAX);
    let bytes = read_bounded(path, limit)?;
    pinned(&file, &bytes, mpyc.sha256.as_ref())?;
    // Every wheel is a zip file; an error page or a half download is not.
    if !bytes.starts_with(b"PK\x03\x04") {
        return Err(IndexError::OtherFile {
            path: path.to_owned(),
            version: mpyc.version.clone(),
        });
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
            file: shown(file),
            pinned: *pinned,
            found,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
