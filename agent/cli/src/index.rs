//! The wheel that a manifest pins, as the owner's command looks for it: the local file that the
//! manifest names, or a version, see [`e3_client::index`].
//!
//! What is of this command alone is here: what to do about an error, in the words of its manifest
//! and its options.

use std::error::Error;
use std::fmt;
use std::path::Path;

use e3_client::index as client;

use crate::manifest::draft::MpycOptions;

pub use e3_client::index::{DEFAULT_INDEX, IndexUrl, Origin, Sources, Wheel};

/// Why there is no wheel; shown with what to do about it.
#[derive(Debug)]
pub struct IndexError(pub client::IndexError);

impl IndexError {
    /// What happened, without what to do.
    pub fn message(&self) -> String {
        match (&self.0, self.source()) {
            (client::IndexError::File(error), Some(source)) => format!("{error}: {source}"),
            (error, _) => error.to_string(),
        }
    }

    /// Whether the network or the index is to blame.
    pub const fn is_unreachable(&self) -> bool {
        self.0.is_unreachable()
    }

    /// What to do.
    pub fn remedy(&self) -> String {
        use client::IndexError as E;
        match &self.0 {
            E::OtherFile { version, .. } => {
                format!("name a file such as mpyc-{version}-py3-none-any.whl, or correct `version`")
            }
            E::OtherDigest { .. } | E::NotAsPinned { .. } => {
                "find out which of the two is right before anything is signed".to_owned()
            }
            E::NoSuchVersion { .. } | E::NoSuchFile { .. } => {
                "correct `version`, or give the file with wheel = \"…\"".to_owned()
            }
            E::NotAsNamed { .. } => {
                "try again later or another index, or give the file with wheel = \"…\"".to_owned()
            }
            E::BadUrl { .. } => format!("write it like {DEFAULT_INDEX}"),
            E::NotSecure { .. } => {
                "use https, pin the wheel with sha256 = \"…\", or give the file with wheel = \"…\""
                    .to_owned()
            }
            E::File(error) if error.is_not_found() => {
                "correct the path; it starts at the manifest's folder".to_owned()
            }
            _ => "give the file with wheel = \"…\" in [mpyc], or another index with --index or E3_INDEX"
                .to_owned(),
        }
    }
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            client::IndexError::File(error) => error.fmt(f),
            error => write!(f, "{error}; {}", self.remedy()),
        }
    }
}

impl Error for IndexError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // The client's error is shown already.
        self.0.source()
    }
}

impl From<client::IndexError> for IndexError {
    fn from(error: client::IndexError) -> Self {
        Self(error)
    }
}

/// The first index that is named: `--index` or `E3_INDEX`, then `PIP_INDEX_URL`, then PyPI.
pub fn choose(given: Option<&str>, pip: Option<&str>) -> Result<IndexUrl, IndexError> {
    Ok(IndexUrl::choose(given, pip)?)
}

/// Finds the wheel that `mpyc` asks for. Needs no network if it is local or was fetched before.
pub async fn resolve(mpyc: &MpycOptions, sources: &Sources) -> Result<Wheel, IndexError> {
    match &mpyc.wheel {
        Some(path) => local(path, mpyc),
        None => Ok(client::resolve(&mpyc.version, mpyc.sha256.as_ref(), sources).await?),
    }
}

/// The wheel in the file `path`, which must be what `mpyc` asks for.
pub fn local(path: &Path, mpyc: &MpycOptions) -> Result<Wheel, IndexError> {
    Ok(client::local(path, &mpyc.version, mpyc.sha256.as_ref())?)
}

#[cfg(test)]
mod tests;
