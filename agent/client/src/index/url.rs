//! The address of a Python index.

use std::fmt;

use e3_core::text::clean;
use reqwest::Url;

use super::IndexError;

/// PyPI.
pub const DEFAULT_INDEX: &str = "https://pypi.org/simple";

/// The URL of an index. It may hold a password, as pip allows, so it prints without.
#[derive(Clone, PartialEq, Eq)]
pub struct IndexUrl(Url);

impl IndexUrl {
    /// PyPI, see [`DEFAULT_INDEX`].
    pub fn pypi() -> Self {
        Self::parse(DEFAULT_INDEX).expect("a constant")
    }

    /// The first that is given and not empty, otherwise PyPI.
    pub fn choose(given: Option<&str>, pip: Option<&str>) -> Result<Self, IndexError> {
        let not_empty = |text: &&str| !text.trim().is_empty();
        let text = given
            .filter(not_empty)
            .or(pip.filter(not_empty))
            .unwrap_or(DEFAULT_INDEX);
        Self::parse(text)
    }

    /// Reads a URL of http or https.
    pub fn parse(text: &str) -> Result<Self, IndexError> {
        // The text may hold a password, so what cannot be taken apart is not repeated.
        let bad = |url: &str| IndexError::BadUrl {
            url: url.to_owned(),
        };
        let mut url: Url = text.trim().parse().map_err(|_| bad("this"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(bad(&clean(&format!("{}:…", url.scheme()), super::SHOWN)));
        }
        // What is joined to it replaces what follows the last slash.
        let path = format!("{}/", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(Self(url))
    }

    /// Whether nobody on the way can change what it says: TLS, or this very machine.
    pub(super) fn is_secure(&self) -> bool {
        let loopback = ["localhost", "127.0.0.1", "[::1]"];
        self.is_https()
            || self
                .0
                .host_str()
                .is_some_and(|host| loopback.contains(&host))
    }

    pub(super) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The page of the project `mpyc`.
    pub(super) fn page(&self) -> Result<Url, IndexError> {
        self.0.join("mpyc/").map_err(|_| IndexError::BadUrl {
            url: self.to_string(),
        })
    }
}

impl fmt::Display for IndexUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.0.clone();
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_query(None);
        f.write_str(url.as_str())
    }
}

impl fmt::Debug for IndexUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
