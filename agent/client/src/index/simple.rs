//! One project's page of the simple JSON API (PEP 691), as far as E3 needs it.

use e3_core::digest::Digest;
use serde::Deserialize;

use super::wheel_name::WheelName;

/// The media type that is asked for and must come back.
pub(super) const MEDIA_TYPE: &str = "application/vnd.pypi.simple.v1+json";

/// The page. What else it says is ignored, as the specification asks.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    files: Vec<File>,
}

/// One file of the project.
#[derive(Debug, Deserialize)]
pub(super) struct File {
    /// Its name.
    pub(super) filename: String,
    /// Where it is, perhaps relative to the page.
    pub(super) url: String,
    #[serde(default)]
    hashes: Hashes,
}

#[derive(Debug, Default, Deserialize)]
struct Hashes {
    sha256: Option<String>,
}

impl File {
    /// Its SHA-256, if the page names a sound one.
    pub(super) fn sha256(&self) -> Option<Digest> {
        Digest::from_hex(&self.hashes.sha256.as_ref()?.to_ascii_lowercase()).ok()
    }
}

impl Page {
    /// Reads the page.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The file with that name.
    pub(super) fn file(&self, name: &str) -> Option<&File> {
        self.files.iter().find(|file| file.filename == name)
    }

    /// The wheel of that version.
    pub(super) fn wheel(&self, version: &str) -> Option<&File> {
        let is_it = |file: &&File| {
            WheelName::parse(&file.filename).is_some_and(|name| name.is_pure_mpyc(version))
        };
        self.files.iter().find(is_it)
    }

    /// The versions that have a wheel, newest last as indexes sort them.
    pub(super) fn versions(&self) -> Vec<String> {
        let mut versions: Vec<String> = Vec::new();
        for name in self
            .files
            .iter()
            .filter_map(|file| WheelName::parse(&file.filename))
        {
            if name.is_pure_mpyc(name.version)
                && !versions.iter().any(|known| known == name.version)
            {
                versions.push(name.version.to_owned());
            }
        }
        versions
    }
}
