//! The way to the Python index: one page, one file, both bounded in size and time.

use std::time::Duration;

use e3_core::digest::{Blob, Digest};
use e3_core::limits;
use e3_core::text::clean;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, Response, Url};

use super::simple::{File, MEDIA_TYPE, Page};
use super::{IndexError, IndexUrl, Origin, SHOWN, Wheel, pinned};

/// Bytes of a project's page; PyPI's page of MPyC has 20 KiB, the largest ones on PyPI a few MiB.
const PAGE: u64 = 8 << 20;
/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long to wait for the next bytes.
const SILENCE: Duration = Duration::from_secs(20);
/// How long one answer may take altogether.
const TOTAL: Duration = Duration::from_mins(2);

/// Fetches the wheel of MPyC `version`. Without a digest to compare, the index itself is believed,
/// and has to be reached safely.
pub(super) async fn wheel(
    index: &IndexUrl,
    version: &str,
    digest: Option<&Digest>,
) -> Result<Wheel, IndexError> {
    if digest.is_none() && !index.is_secure() {
        return Err(IndexError::NotSecure {
            index: index.to_string(),
        });
    }
    // A page that came over TLS may not be redirected to where there is none.
    let fetch = Fetch::new(index, digest.is_none() && index.is_https())?;
    let (page, base) = fetch.page().await?;
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
    let bytes = fetch.file(&base, file, limits::MPYC).await?;
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

/// Fetches the file with this name if it is exactly `wheel`. What the index says of it is not even
/// read, so it may be reached by any way.
pub(super) async fn exact(
    index: &IndexUrl,
    file: &str,
    wheel: &Blob,
) -> Result<Vec<u8>, IndexError> {
    let fetch = Fetch::new(index, false)?;
    let (page, base) = fetch.page().await?;
    let entry = page.file(file).ok_or_else(|| IndexError::NoSuchFile {
        index: index.to_string(),
        file: clean(file, SHOWN),
    })?;
    let bytes = fetch.file(&base, entry, wheel.size).await?;
    if wheel.names(&bytes) {
        Ok(bytes)
    } else {
        Err(IndexError::NotAsPinned {
            index: index.to_string(),
            file: clean(file, SHOWN),
        })
    }
}

struct Fetch<'a> {
    index: &'a IndexUrl,
    client: Client,
}

impl<'a> Fetch<'a> {
    fn new(index: &'a IndexUrl, https_only: bool) -> Result<Self, IndexError> {
        crate::tls::install();
        let client = Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .timeout(TOTAL)
            .https_only(https_only)
            .user_agent(concat!("e3/", env!("CARGO_PKG_VERSION")))
            .build();
        let client = client.map_err(|error| IndexError::Unreachable {
            index: index.to_string(),
            detail: deepest(&error.without_url()),
        })?;
        Ok(Self { index, client })
    }

    /// MPyC's page, and where it was found in the end: links in it are relative to that.
    async fn page(&self) -> Result<(Page, Url), IndexError> {
        let answer = self.get(self.index.page()?, Some(MEDIA_TYPE)).await?;
        let base = answer.url().clone();
        let media = answer
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let plain = media.split(';').next().unwrap_or_default().trim();
        if plain != MEDIA_TYPE && plain != "application/json" {
            return Err(self.not_simple(if plain.is_empty() {
                "it answers with no type".to_owned()
            } else {
                format!("it answers with {}", clean(plain, SHOWN))
            }));
        }
        let page = self.body(answer, PAGE, "the list of files").await?;
        let page = Page::parse(&page)
            .map_err(|error| self.not_simple(clean(&error.to_string(), SHOWN)))?;
        Ok((page, base))
    }

    /// A file of that page, of at most `limit` bytes.
    async fn file(&self, base: &Url, file: &File, limit: u64) -> Result<Vec<u8>, IndexError> {
        let name = clean(&file.filename, SHOWN);
        let url = base
            .join(&file.url)
            .map_err(|_| self.not_simple(format!("{name} has no sound URL")))?;
        let answer = self.get(url, None).await?;
        self.body(answer, limit, &name).await
    }

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

    fn not_simple(&self, detail: String) -> IndexError {
        IndexError::NotSimple {
            index: self.index.to_string(),
            detail,
        }
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
    clean(&cause.to_string(), SHOWN)
}
