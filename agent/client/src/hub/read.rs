//! Reading from a hub.

use std::path::Path;

use e3_core::digest::{Blob, Digest};
use e3_core::key::PublicKey;
use e3_core::limits;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Hub, HubError, Way, blob_path};
use crate::files;

/// A head as it was read, and the tag that tells whether it has changed since.
#[derive(Debug, Clone)]
pub struct Head {
    /// The envelope.
    pub bytes: Vec<u8>,
    /// For the next read and for publishing.
    pub etag: String,
}

/// What a hub tells of one enrolled party; nothing of it is verified yet.
#[derive(Debug, Clone)]
pub struct PartyRecord {
    /// The enrolment's envelope.
    pub enrolment: Vec<u8>,
    /// The invite's envelope.
    pub invite: Vec<u8>,
    /// The newest presence's envelope.
    pub presence: Option<Vec<u8>>,
}

/// 64 parties with the largest envelopes would be more; a fleet of thousands still fits.
const PARTIES_ANSWER: u64 = 16 * 1024 * 1024;

enum Answer {
    Body {
        bytes: Vec<u8>,
        etag: Option<String>,
    },
    NotModified,
    NotFound,
}

/// What is known of an object without its bytes.
enum Size {
    Bytes(u64),
    /// It is there; some hosts do not say more.
    Unknown,
    Missing,
}

impl Hub {
    /// The head, or nothing if it is still the one with this tag.
    pub async fn head(&self, known: Option<&str>) -> Result<Option<Head>, HubError> {
        match self.get("head.json", limits::HEAD as u64, known).await? {
            Answer::Body { bytes, etag } => {
                let etag = etag.unwrap_or_else(|| format!("\"{}\"", Digest::of(&bytes).hex()));
                Ok(Some(Head { bytes, etag }))
            }
            Answer::NotModified => Ok(None),
            Answer::NotFound => Err(HubError::NotFound {
                what: "head.json".to_owned(),
            }),
        }
    }

    /// Root version `version`, if there is one.
    pub async fn root(&self, version: u64) -> Result<Option<Vec<u8>>, HubError> {
        self.optional(&format!("root/{version}.json"), limits::ENVELOPE as u64)
            .await
    }

    /// An immutable object: exactly the bytes that `blob` names, or an error.
    pub async fn blob(&self, blob: &Blob) -> Result<Vec<u8>, HubError> {
        let (mut download, mut bytes) = (self.download(blob).await?, Vec::new());
        while let Some(piece) = download.next().await? {
            bytes.extend_from_slice(&piece);
        }
        if blob.names(&bytes) {
            Ok(bytes)
        } else {
            let what = blob_path(&blob.digest);
            Err(HubError::NotAsNamed { what })
        }
    }

    /// Whether an immutable object is there, by its size, without fetching it.
    ///
    /// Its bytes are compared with the digest by whoever fetches them.
    pub async fn has_blob(&self, blob: &Blob) -> Result<bool, HubError> {
        let what = blob_path(&blob.digest);
        let size = match &self.way {
            Way::Folder(folder) => size_in_folder(folder, &what)?,
            Way::Http { .. } => self.size_by_http(&what).await?,
        };
        match size {
            Size::Missing => Ok(false),
            Size::Unknown => Ok(true),
            Size::Bytes(size) if size == blob.size => Ok(true),
            Size::Bytes(_) => Err(HubError::NotAsNamed { what }),
        }
    }

    async fn size_by_http(&self, path: &str) -> Result<Size, HubError> {
        let Way::Http { base, lines, .. } = &self.way else {
            return Ok(Size::Missing);
        };
        let request = lines.requests().head(format!("{base}/{path}"));
        let since = lines.since_now();
        let response = since.unless_moved(&self.url, request.send()).await?;
        match response.status().as_u16() {
            // Not `content_length()`: that is the length of the body, and this answer has none.
            200 => Ok(response
                .headers()
                .get(http::header::CONTENT_LENGTH)
                .and_then(|length| length.to_str().ok()?.parse().ok())
                .map_or(Size::Unknown, Size::Bytes)),
            404 => Ok(Size::Missing),
            status => Err(HubError::of_status(status, path, b"")),
        }
    }

    /// The receipt of one party, if there is one.
    pub async fn receipt(
        &self,
        manifest: &Digest,
        party: usize,
    ) -> Result<Option<Vec<u8>>, HubError> {
        let path = format!("receipts/{}/{party}.json", manifest.hex());
        self.optional(&path, limits::ENVELOPE as u64).await
    }

    /// The receipts of all parties, in order.
    pub async fn receipts(
        &self,
        manifest: &Digest,
        parties: usize,
    ) -> Result<Vec<Option<Vec<u8>>>, HubError> {
        let mut receipts = Vec::with_capacity(parties);
        for party in 0..parties {
            receipts.push(self.receipt(manifest, party).await?);
        }
        Ok(receipts)
    }

    /// What a party said of itself last, if it has said anything.
    pub async fn presence(&self, party: &PublicKey) -> Result<Option<Vec<u8>>, HubError> {
        self.optional(&format!("presence/{party}.json"), limits::ENVELOPE as u64)
            .await
    }

    /// What somebody asks a party, if somebody has asked it lately.
    pub async fn request(&self, party: &PublicKey) -> Result<Option<Vec<u8>>, HubError> {
        self.optional(&format!("requests/{party}.json"), limits::REQUEST as u64)
            .await
    }

    /// What a party has answered to the request that the hub has for it, if it has.
    pub async fn answer(&self, party: &PublicKey) -> Result<Option<Vec<u8>>, HubError> {
        self.optional(&format!("answers/{party}.json"), limits::ENVELOPE as u64)
            .await
    }

    /// The newest certificate of a party's key on a mesh, if there is one.
    pub async fn grant(
        &self,
        backend: &str,
        party: &PublicKey,
    ) -> Result<Option<Vec<u8>>, HubError> {
        self.optional(
            &format!("mesh/{backend}/{party}.json"),
            limits::ENVELOPE as u64,
        )
        .await
    }

    /// All parties that have enrolled. Only a running hub knows them.
    pub async fn parties(&self) -> Result<Vec<PartyRecord>, HubError> {
        #[derive(Deserialize)]
        struct Parties {
            parties: Vec<Record>,
        }
        #[derive(Deserialize)]
        struct Record {
            enrolment: Box<RawValue>,
            invite: Box<RawValue>,
            presence: Option<Box<RawValue>>,
        }
        let what = "v1/parties";
        let bytes = self.optional(what, PARTIES_ANSWER).await?;
        let bytes = bytes.ok_or_else(|| HubError::NotFound {
            what: what.to_owned(),
        })?;
        let malformed = |error: serde_json::Error| HubError::Malformed {
            what: what.to_owned(),
            detail: error.to_string(),
        };
        let parties: Parties = serde_json::from_slice(&bytes).map_err(malformed)?;
        let bytes = |raw: Box<RawValue>| raw.get().as_bytes().to_vec();
        let record = |r: Record| PartyRecord {
            enrolment: bytes(r.enrolment),
            invite: bytes(r.invite),
            presence: r.presence.map(bytes),
        };
        Ok(parties.parties.into_iter().map(record).collect())
    }

    pub(super) async fn optional(
        &self,
        path: &str,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, HubError> {
        match self.get(path, limit, None).await? {
            Answer::Body { bytes, .. } => Ok(Some(bytes)),
            Answer::NotModified | Answer::NotFound => Ok(None),
        }
    }

    async fn get(&self, path: &str, limit: u64, known: Option<&str>) -> Result<Answer, HubError> {
        match &self.way {
            Way::Folder(folder) => read_folder(folder, path, limit, known),
            Way::Http { base, lines, .. } => {
                let mut request = lines.requests().get(format!("{base}/{path}"));
                if let Some(etag) = known {
                    request = request.header(http::header::IF_NONE_MATCH, etag);
                }
                let since = lines.since_now();
                let response = since.unless_moved(&self.url, request.send()).await?;
                self.note_date(&response);
                let status = response.status().as_u16();
                let etag = response.headers().get(http::header::ETAG);
                let etag = etag
                    .and_then(|etag| etag.to_str().ok())
                    .map(ToOwned::to_owned);
                match status {
                    200 => Ok(Answer::Body {
                        bytes: self.body(response, path, limit).await?,
                        etag,
                    }),
                    304 => Ok(Answer::NotModified),
                    404 => Ok(Answer::NotFound),
                    _ => Err(HubError::of_status(
                        status,
                        path,
                        &self.body(response, path, 65_536).await?,
                    )),
                }
            }
        }
    }

    /// Reads a body, and stops at the first byte too many (rule 3).
    pub(super) async fn body(
        &self,
        mut response: reqwest::Response,
        what: &str,
        limit: u64,
    ) -> Result<Vec<u8>, HubError> {
        let too_large = || HubError::TooLarge {
            what: what.to_owned(),
            limit,
        };
        if response
            .content_length()
            .is_some_and(|length| length > limit)
        {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        let Way::Http { lines, .. } = &self.way else {
            return Ok(bytes);
        };
        let since = lines.since_now();
        while let Some(chunk) = since.unless_moved(&self.url, response.chunk()).await? {
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

fn size_in_folder(folder: &Path, path: &str) -> Result<Size, HubError> {
    match std::fs::metadata(folder.join(path)) {
        Ok(meta) => Ok(Size::Bytes(meta.len())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && folder.is_dir() => {
            Ok(Size::Missing)
        }
        Err(error) => Err(HubError::Unreachable {
            url: format!("file://{}", folder.display()),
            detail: error.to_string(),
        }),
    }
}

fn read_folder(
    folder: &Path,
    path: &str,
    limit: u64,
    known: Option<&str>,
) -> Result<Answer, HubError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let bytes = match files::read_bounded(&folder.join(path), limit) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() && folder.is_dir() => return Ok(Answer::NotFound),
        Err(files::FileError::TooLarge { .. }) => {
            return Err(HubError::TooLarge {
                what: path.to_owned(),
                limit: limit as u64,
            });
        }
        Err(error) => {
            let url = format!("file://{}", folder.display());
            return Err(HubError::Unreachable {
                url,
                detail: error.to_string(),
            });
        }
    };
    let etag = format!("\"{}\"", Digest::of(&bytes).hex());
    if known == Some(etag.as_str()) {
        Ok(Answer::NotModified)
    } else {
        Ok(Answer::Body {
            bytes,
            etag: Some(etag),
        })
    }
}
