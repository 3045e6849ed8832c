//! The Space: DigitalOcean's object storage, or another one that speaks S3.
//!
//! Each request is signed with the SHA-256 of what it carries, so what arrives is what was read. Requests are tried again a
//! few times by the library; what fails after that is named here.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path;
use object_store::signer::{Method, Signer as _};
use object_store::{
    BackoffConfig, ClientOptions, Error, ObjectStore as _, ObjectStoreExt as _, RetryConfig,
};

use super::account::Account;
use super::answer::{Way, said};
use super::error::Fault;

/// What Spaces are called.
const SPACES: &str = ".digitaloceanspaces.com";
/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// A part may take this many times as long as an answer without one: with eight on their way, 1 Mbit/s is enough.
const PATIENCE: u32 = 20;
/// How often a request is tried again.
const RETRIES: usize = 4;
/// And for how long.
const RETRYING: Duration = Duration::from_mins(3);

/// Where a Space is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    endpoint: String,
    region: String,
    bucket: String,
}

impl Space {
    /// The region of DigitalOcean that it is in, if it is one of its own.
    pub fn region(&self) -> Option<&str> {
        self.endpoint.ends_with(SPACES).then_some(&*self.region)
    }
}

impl FromStr for Space {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let wrong = || Fault::SpaceAddress {
            text: e3_core::text::clean(text, 200),
        };
        let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
        if !["https", "http"].contains(&scheme) {
            return Err(wrong());
        }
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.trim_end_matches('/');
        let (endpoint, region, bucket) = match host.strip_suffix(SPACES) {
            Some(labels) => match (labels.split_once('.'), path) {
                (Some((bucket, region)), "") => (format!("{region}{SPACES}"), region, bucket),
                (None, bucket) => (host.to_owned(), labels, bucket),
                _ => return Err(wrong()),
            },
            // The region that S3 has where it has none.
            None => (host.to_owned(), "us-east-1", path),
        };
        let plain = |text: &str, more: &str| {
            let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(c);
            !text.is_empty() && text.chars().all(good)
        };
        let is_bucket = plain(bucket, ".-") && (3..=63).contains(&bucket.len());
        if !is_bucket || !plain(region, "-") || endpoint.contains(['@', '?', '#', ' ']) {
            return Err(wrong());
        }
        Ok(Self {
            endpoint: format!("{scheme}://{endpoint}"),
            region: region.to_owned(),
            bucket: bucket.to_owned(),
        })
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.endpoint, self.bucket)
    }
}

/// A Space with its key. Copies share their connections.
#[derive(Debug, Clone)]
pub(super) struct Store {
    inner: AmazonS3,
    space: Space,
}

impl Store {
    pub(super) fn open(space: &Space, account: &Account, wait: Duration) -> Result<Self, Fault> {
        let inner = AmazonS3Builder::new()
            .with_endpoint(&space.endpoint)
            .with_region(&space.region)
            .with_bucket_name(&space.bucket)
            .with_virtual_hosted_style_request(false)
            .with_access_key_id(account.key.as_str())
            .with_secret_access_key(account.secret.as_str())
            // Deleting many at once is what stores differ in, and there is one.
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig {
                backoff: BackoffConfig::default(),
                max_retries: RETRIES,
                retry_timeout: RETRYING,
            })
            .with_client_options(
                ClientOptions::new()
                    .with_allow_http(space.endpoint.starts_with("http://"))
                    .with_connect_timeout(CONNECT.min(wait))
                    .with_timeout(wait * PATIENCE),
            )
            .build();
        let inner = inner.map_err(|_| Fault::SpaceAddress {
            text: space.to_string(),
        })?;
        let space = space.clone();
        Ok(Self { inner, space })
    }

    /// Whether the object is there, and how long it is. That also tells whether the Space and its key are good.
    pub(super) async fn look(&self, key: &str) -> Result<Option<u64>, Fault> {
        let path = Path::from(key);
        let mut listed = self.inner.list(path.parent().as_ref());
        while let Some(object) = listed
            .try_next()
            .await
            .map_err(|error| self.fault("list what is in it", &error))?
        {
            if object.location == path {
                return Ok(Some(object.size));
            }
        }
        Ok(None)
    }

    /// Begins an upload in parts.
    pub(super) async fn begin(&self, key: &str) -> Result<String, Fault> {
        let begun = self.inner.create_multipart(&Path::from(key)).await;
        begun.map_err(|error| self.fault("take the image", &error))
    }

    /// Sends a part, and returns what it is called there; nothing if the upload is not known any more.
    pub(super) async fn part(
        &self,
        key: &str,
        upload: &String,
        number: usize,
        bytes: Vec<u8>,
    ) -> Result<Option<String>, Fault> {
        let sent = self
            .inner
            .put_part(&Path::from(key), upload, number, bytes.into())
            .await;
        match sent {
            Ok(part) => Ok(Some(part.content_id)),
            Err(Error::NotFound { source, .. }) if !source.to_string().contains("NoSuchBucket") => {
                Ok(None)
            }
            Err(error) => Err(self.fault("take a part of the image", &error)),
        }
    }

    /// Makes one object of the parts. `false` if the upload is not known any more: perhaps it was completed already.
    pub(super) async fn complete(
        &self,
        key: &str,
        upload: &String,
        parts: Vec<String>,
    ) -> Result<bool, Fault> {
        let parts = parts.into_iter().map(|content_id| PartId { content_id });
        let done = self
            .inner
            .complete_multipart(&Path::from(key), upload, parts.collect())
            .await;
        match done {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.fault("put the parts together", &error)),
        }
    }

    /// Forgets an upload and its parts.
    pub(super) async fn abort(&self, key: &str, upload: &String) -> Result<(), Fault> {
        match self.inner.abort_multipart(&Path::from(key), upload).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.fault("forget the parts", &error)),
        }
    }

    /// Removes an object.
    pub(super) async fn delete(&self, key: &str) -> Result<(), Fault> {
        match self.inner.delete(&Path::from(key)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.fault("remove the copy", &error)),
        }
    }

    /// An address that lets whoever has it read the object for some time.
    pub(super) async fn address(&self, key: &str, life: Duration) -> Result<String, Fault> {
        let path = Path::from(key);
        let signed = self.inner.signed_url(Method::GET, &path, life).await;
        let signed = signed.map_err(|error| self.fault("sign an address", &error))?;
        Ok(signed.to_string())
    }

    /// The error of a store that forgets what was begun.
    pub(super) fn forgetful(&self) -> Fault {
        Fault::Space {
            space: self.space.to_string(),
            action: "keep the parts until all are there",
            status: 0,
            said: String::new(),
        }
    }

    /// The library keeps status and cause to itself, so they are read from what it says.
    fn fault(&self, action: &'static str, error: &Error) -> Fault {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(error) = cause {
            if let Some(http) = error.downcast_ref::<HttpError>() {
                return Fault::Unreachable {
                    host: self.host().to_owned(),
                    why: Way::of(http, http.kind() == HttpErrorKind::Timeout),
                };
            }
            cause = error.source();
        }
        let text = error.to_string();
        let status = text.split_once("status code: ");
        let status = status.and_then(|(_, rest)| rest.get(..3)?.parse().ok());
        let status = match (status, error) {
            (Some(status), _) => status,
            (None, Error::NotFound { .. }) => 404,
            (None, Error::PermissionDenied { .. }) => 403,
            (None, Error::Unauthenticated { .. }) => 401,
            (None, _) => 0,
        };
        let part = |name: &str| {
            let (_, rest) = text.split_once(&format!("<{name}>"))?;
            rest.split_once(&format!("</{name}>")).map(|found| found.0)
        };
        let words: Vec<_> = ["Code", "Message"].into_iter().filter_map(part).collect();
        Fault::Space {
            space: self.space.to_string(),
            action,
            status,
            said: said(&words.join(", ")),
        }
    }

    fn host(&self) -> &str {
        let endpoint = &self.space.endpoint;
        endpoint.split_once("://").map_or(endpoint, |parts| parts.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_is_written_as_its_owner_sees_it() {
        for (text, shown, region) in [
            (
                "my-space.ams3.digitaloceanspaces.com",
                "https://ams3.digitaloceanspaces.com/my-space",
                Some("ams3"),
            ),
            (
                "https://my-space.ams3.digitaloceanspaces.com/",
                "https://ams3.digitaloceanspaces.com/my-space",
                Some("ams3"),
            ),
            (
                "https://fra1.digitaloceanspaces.com/my-space",
                "https://fra1.digitaloceanspaces.com/my-space",
                Some("fra1"),
            ),
            (
                "http://127.0.0.1:5000/bucket",
                "http://127.0.0.1:5000/bucket",
                None,
            ),
        ] {
            let space: Space = text.parse().unwrap();
            assert_eq!(
                (space.to_string().as_str(), space.region()),
                (shown, region)
            );
        }
        for text in [
            "",
            "my-space",
            "s3://my-space",
            "my-space.ams3.digitaloceanspaces.com/folder",
            "my-space.ams3.cdn.digitaloceanspaces.com",
            "https://user@host/bucket",
            "https://host/a/b",
            "https://host/BUCKET",
            "https://host",
        ] {
            assert!(text.parse::<Space>().is_err(), "{text}");
        }
    }
}
