//! A hub, as its readers and writers see it.
//!
//! The same tree can lie behind a running hub, on any static web server, or in a folder
//! (`file:///…`); the two latter can only be read. Every read is bounded, and blobs are checked
//! against the digest they were asked for by.

mod download;
mod error;
mod events;
mod lines;
mod read;
mod udp;
mod write;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use e3_core::digest::Digest;
use e3_core::time::Time;

use self::lines::Lines;
use crate::clock::Clock;
use crate::tls::Authorities;

pub use self::download::Download;
pub use self::error::HubError;
pub use self::events::{Events, HubEvent, Topic};
pub use self::read::{Head, PartyRecord};

/// A hub. Cheap to clone; all clones share their connections.
#[derive(Debug, Clone)]
pub struct Hub {
    /// Without a trailing slash, user and password: it stands in every error.
    url: String,
    way: Way,
}

#[derive(Debug, Clone)]
enum Way {
    Http {
        /// As it was given, without a trailing slash.
        base: String,
        lines: Arc<Lines>,
        /// Of the latest answer that had a date, and when that came.
        date: Arc<Mutex<Option<(Time, Instant)>>>,
    },
    Folder(PathBuf),
}

impl Hub {
    /// Opens `https://…`, `http://…` or `file:///…`. No connection is made yet.
    ///
    /// `ca` is a PEM text: only certificates under it are trusted. Without it the machine's own
    /// certificate authorities are.
    pub fn open(url: &str, ca: Option<&[u8]>) -> Result<Self, HubError> {
        Self::open_at(url, ca, &Clock::default())
    }

    /// The same, with certificates judged by `clock`.
    pub fn open_at(url: &str, ca: Option<&[u8]>, clock: &Clock) -> Result<Self, HubError> {
        let address = || {
            let shown = e3_core::text::without_credentials(url);
            HubError::Address(shown.chars().take(200).collect())
        };
        if let Some(path) = url.strip_prefix("file://") {
            let way = Way::Folder(PathBuf::from(path));
            return if path.starts_with('/') {
                Ok(Self {
                    url: url.to_owned(),
                    way,
                })
            } else {
                Err(address())
            };
        }
        let parsed = reqwest::Url::parse(url).map_err(|_| address())?;
        let is_web = matches!(parsed.scheme(), "http" | "https") && parsed.host_str().is_some();
        if !is_web || parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(address());
        }
        let authorities = match ca {
            Some(pem) => Authorities::Pem(pem),
            // A redirect to `https` is not followed either.
            None if parsed.scheme() == "http" => Authorities::None,
            None => Authorities::Machine,
        };
        let tls = crate::tls::client(authorities, clock.clone()).map_err(certificate)?;
        let lines = Arc::new(Lines::new(tls)?);
        let base = url.trim_end_matches('/').to_owned();
        Ok(Self {
            url: e3_core::text::without_credentials(&base),
            way: Way::Http {
                base,
                lines,
                date: Arc::default(),
            },
        })
    }

    /// Its address, without user and password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// This machine has got another address: what was sent from the old one is not answered any more. Gives up what is
    /// waited for, which fails as if the hub could not be reached, and begins with new connections.
    pub fn moved(&self) {
        if let Way::Http { lines, .. } = &self.way {
            lines.renew();
        }
    }

    /// Scheme, host and port as browsers write them; nothing for a folder.
    pub fn origin(&self) -> Option<String> {
        Some(self.address()?.origin().ascii_serialization())
    }

    /// Its address as its parts; nothing for a folder.
    fn address(&self) -> Option<reqwest::Url> {
        let Way::Http { base, .. } = &self.way else {
            return None;
        };
        reqwest::Url::parse(base).ok()
    }

    /// How many seconds the hub's clock is ahead of this machine's, by its latest answer; negative if it is behind.
    ///
    /// Nothing may be decided by it: a hub can say what it likes. It is for telling a wrong clock from an expired head.
    pub fn clock_ahead(&self) -> Option<i64> {
        let Way::Http { date, .. } = &self.way else {
            return None;
        };
        let (date, came) = (*date.lock().unwrap_or_else(PoisonError::into_inner))?;
        // As it is by now, since it is this machine's clock that may have been set meanwhile.
        Some(
            date.plus(came.elapsed().as_secs())
                .since(crate::clock::now()),
        )
    }

    /// Takes note of the hub's clock.
    fn note_date(&self, answer: &reqwest::Response) {
        let said = answer.headers().get(http::header::DATE);
        let said = said
            .and_then(|date| date.to_str().ok())
            .and_then(Time::from_http);
        if let (Way::Http { date, .. }, Some(said)) = (&self.way, said) {
            *date.lock().unwrap_or_else(PoisonError::into_inner) = Some((said, Instant::now()));
        }
    }
}

fn certificate(detail: String) -> HubError {
    HubError::Certificate {
        url: "hub_ca".to_owned(),
        detail,
    }
}

/// Where a blob lies.
fn blob_path(digest: &Digest) -> String {
    format!("sha256/{}", digest.hex())
}
