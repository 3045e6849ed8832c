//! The way to the Python index: one page, one file, both bounded in size and time.

use std::fmt;
use std::time::Duration;

use e3_core::digest::Digest;
use e3_core::limits;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, Response, Url};

use super::simple::{MEDIA_TYPE, Page};
use super::{IndexError, Origin, Wheel, pinned};
use crate::manifest::text::shown;

/// PyPI.
pub const DEFAULT_INDEX: &str = "https://pypi.org/simple";
/// Bytes of a project's page; PyPI's page of MPyC has 20 KiB, the largest ones on PyPI a few MiB.
const PAGE: u64 = 8 << 20;
/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long to wait for the next bytes.
const SILENCE: Duration = Duration::from_secs(20);
/// How long one answer may take altogether.
const TOTAL: Duration = Duration::from_mins(2);

/// The URL of an index. It may hold a password, as pip allows, so it prints without.
#[derive(Clone, PartialEq, Eq)]
pub struct IndexUrl(Url);

impl IndexUrl {
    /// The first that is given: `--index` or `E3_INDEX`, then `PIP_INDEX_URL`, then PyPI.
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
            return Err(bad(&shown(&format!("{}:…", url.scheme()))));
        }
        // `join` below replaces what follows the last slash.
        let path = format!("{}/", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(Self(url))
    }

    /// Whether nobody on the way can change what it says: TLS, or this very machine.
    fn is_secure(&self) -> bool {
        let loopback = ["localhost", "127.0.0.1", "[::1]"];
        self.0.scheme() == "https"
            || self
                .0
                .host_str()
                .is_some_and(|host| loopback.contains(&host))
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

/// Fetches the wheel of MPyC `version`. Without a digest to compare, the index itself is believed,
/// and has to be reached safely.
pub(super) async fn wheel(
    index: &IndexUrl,
    version: &str,
    digest: Option<&Digest>,
) -> Result<Wheel, IndexError> {
    e3_client::tls::install();
    if digest.is_none() && !index.is_secure() {
        return Err(IndexError::NotSecure {
            index: index.to_string(),
        });
    }
    let unreachable = |error: reqwest::Error| IndexError::Unreachable {
        index: index.to_string(),
        detail: deepest(&error.without_url()),
    };
    let client = Client::builder()
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .timeout(TOTAL)
        // A page that came over TLS may not be redirected to where there is none.
        .https_only(digest.is_none() && index.0.scheme() == "https")
        .user_agent(concat!("e3/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(unreachable)?;
    let fetch = Fetch { index, client };
    let page_url = index.0.join("mpyc/").map_err(|_| IndexError::BadUrl {
        url: index.to_string(),
    })?;
    let answer = fetch.get(page_url, Some(MEDIA_TYPE)).await?;
    // Links are relative to where the page was found in the end.
    let base = answer.url().clone();
    let not_simple = |detail: String| IndexError::NotSimple {
        index: index.to_string(),
        detail,
    };
    let media = answer
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let plain = media.split(';').next().unwrap_or_default().trim();
    if plain != MEDIA_TYPE && plain != "application/json" {
        return Err(not_simple(format!(
            "it answers with {}",
            if plain.is_empty() {
                "no type".to_owned()
            } else {
                shown(plain)
            }
        )));
    }
    let page = fetch.body(answer, PAGE, "the list of files").await?;
    let page = Page::parse(&page).map_err(|error| not_simple(shown(&error.to_string())))?;
    let file = page
        .wheel(version)
        .ok_or_else(|| IndexError::NoSuchVersion {
            index: index.to_string(),
            version: version.to_owned(),
            known: page.versions(),
        })?;
    let name = file.filename.clone();
    let no_digest = || IndexError::NoDigest {
        index: index.to_string(),
        file: name.clone(),
    };
    let named = file.sha256().ok_or_else(no_digest)?;
    if let Some(pinned) = digest.filter(|pinned| **pinned != named) {
        return Err(IndexError::OtherDigest {
            file: name,
            pinned: *pinned,
            found: named,
        });
    }
    let url = base
        .join(&file.url)
        .map_err(|_| not_simple(format!("{name} has no sound URL")))?;
    let answer = fetch.get(url, None).await?;
    let bytes = fetch.body(answer, limits::MPYC, &name).await?;
    if Digest::of(&bytes) != named {
        return Err(IndexError::NotAsNamed {
            index: index.to_string(),
            file: name,
        });
    }
    pinned(&name, &bytes, digest)?;
    Ok(Wheel {
        file: name,
        bytes,
        origin: Origin::Index,
    })
}

struct Fetch<'a> {
    index: &'a IndexUrl,
    client: Client,
}

impl Fetch<'_> {
    async fn get(&self, url: Url, accept: Option<&str>) -> Result<Response, IndexError> {
        let mut request = self.client.get(url);
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        let answer = request
            .send()
            .await
            .map_err(|error| self.unreachable(error))?;
        match answer.status() {
            status if status.is_success() => Ok(answer),
            status => Err(IndexError::Status {
                index: self.index.to_string(),
                status: status.as_u16(),
            }),
        }
    }

    /// Rule 3: stops before the first byte too many.
    async fn body(
        &self,
        mut answer: Response,
        limit: u64,
        what: &str,
    ) -> Result<Vec<u8>, IndexError> {
        let mut body = Vec::new();
        while let Some(chunk) = answer
            .chunk()
            .await
            .map_err(|error| self.unreachable(error))?
        {
            if body.len() as u64 + chunk.len() as u64 > limit {
                return Err(IndexError::TooLarge {
                    index: self.index.to_string(),
                    what: what.to_owned(),
                    limit,
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn unreachable(&self, error: reqwest::Error) -> IndexError {
        let detail = if error.is_timeout() {
            "it takes too long to answer".to_owned()
        } else {
            deepest(&error.without_url())
        };
        IndexError::Unreachable {
            index: self.index.to_string(),
            detail,
        }
    }
}

/// The innermost cause: "Connection refused" says more than "error sending request".
fn deepest(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    shown(&cause.to_string())
}
