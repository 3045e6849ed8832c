//! The head: the one mutable object. Read often, replaced rarely, pushed to whoever listens.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use e3_core::digest::Digest;
use e3_core::document::Head;
use e3_core::envelope::Envelope;
use e3_core::limits;
use object_store::ObjectMeta;
use tokio::time::Instant;

use super::pure::pure;
use super::{Hub, MUTABLE, Refusal, to_the_end};
use crate::names;
use crate::roots::{canonical, open_head};
use crate::store::{Class, Replaced, StoreError};

/// Polls that come within this time share one look at the store.
const SHARED_LOOK: Duration = Duration::from_millis(100);

/// The head as it was read last.
#[derive(Default)]
pub(super) struct Cache(tokio::sync::Mutex<Cached>);

#[derive(Default)]
struct Cached {
    looked: Option<Instant>,
    /// What the store said of the object when it was read.
    meta: Option<ObjectMeta>,
    head: Option<Current>,
}

#[derive(Clone)]
struct Current {
    bytes: Bytes,
    etag: HeaderValue,
}

/// A strong tag: the digest of the bytes, so that all hubs over one store agree on it.
fn etag(bytes: &[u8]) -> HeaderValue {
    let text = format!("\"{}\"", Digest::of(bytes).hex());
    // Hexadecimal digits in quotes are always a header's value.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Whether a condition names `etag` or everything. Weak tags match only where that is enough.
fn names_tag(
    headers: &HeaderMap,
    header: &HeaderName,
    etag: Option<&HeaderValue>,
    weak: bool,
) -> bool {
    let etag = etag.and_then(|etag| etag.to_str().ok());
    let same = |tag: &str| {
        let tag = tag.trim();
        let tag = if weak {
            tag.strip_prefix("W/").unwrap_or(tag)
        } else {
            tag
        };
        etag.is_some_and(|etag| tag == etag || tag == "*")
    };
    headers
        .get_all(header)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(same))
}

impl Hub {
    /// Looks whether the head has changed, and tells the subscribers if so.
    pub(crate) async fn refresh_head(&self) -> Result<(), StoreError> {
        self.current_head().await.map(|_| ())
    }

    /// What the newest head says.
    pub(super) async fn newest_head(&self) -> Result<Option<Head>, StoreError> {
        let current = self.current_head().await?;
        Ok(current.and_then(|current| Some(open_head(&current.bytes)?.0)))
    }

    async fn current_head(&self) -> Result<Option<Current>, StoreError> {
        let mut cached = self.head.0.lock().await;
        if cached
            .looked
            .is_some_and(|looked| looked.elapsed() < SHARED_LOOK)
        {
            return Ok(cached.head.clone());
        }
        // The look before the read: if it is replaced in between, the next look finds out.
        let meta = self.store.stat(&names::head()).await?;
        if meta != cached.meta || cached.looked.is_none() {
            let read = self.store.get(&names::head(), limits::HEAD).await?;
            self.take_head(&mut cached, read.map(|object| object.bytes));
            cached.meta = meta;
        }
        cached.looked = Some(Instant::now());
        Ok(cached.head.clone())
    }

    /// Takes over what is current now. Whoever calls it holds the cache, so events keep their order.
    fn take_head(&self, cached: &mut Cached, bytes: Option<Bytes>) {
        let head = bytes.map(|bytes| Current {
            etag: etag(&bytes),
            bytes,
        });
        let news = head
            .as_ref()
            .filter(|new| cached.head.as_ref().is_none_or(|old| old.etag != new.etag));
        if let Some(new) = news {
            self.head_changed.notify_one();
            // An event is one line; a head that was put there by hand may have more.
            match Envelope::parse(&new.bytes, limits::HEAD) {
                Ok(envelope) => self
                    .metrics
                    .pushes
                    .add(self.subscribers.head(&envelope.to_bytes())),
                Err(error) => tracing::error!(%error, "head.json in the store is no envelope"),
            }
        }
        cached.head = head;
    }

    /// Rule 5, then the exchange, then the push; in this order under one lock.
    async fn replace_head(
        &self,
        new: Bytes,
        conditions: &HeaderMap,
    ) -> Result<HeaderValue, Refusal> {
        let guard = self.store.lock(Class::Head).await?;
        let roots = self.chain.refresh(&self.store).await?;
        let path = names::head();
        let stored = self.store.get(&path, limits::HEAD).await?;
        let current = stored.as_ref().map(|object| etag(&object.bytes));
        // The same head again, because the answer was lost: nothing to do and nothing to tell.
        let digest = canonical(&new, limits::HEAD).map(|envelope| envelope.digest());
        let known = stored.as_ref().and_then(|object| open_head(&object.bytes));
        if let (Some(current), Some((_, known))) = (&current, known)
            && digest == Ok(known)
        {
            return Ok(current.clone());
        }
        let fits = if conditions.contains_key(IF_MATCH) {
            names_tag(conditions, &IF_MATCH, current.as_ref(), false)
        } else {
            !names_tag(conditions, &IF_NONE_MATCH, current.as_ref(), true)
        };
        if !fits {
            return Err(Refusal::Changed);
        }
        digest.map_err(|error| Refusal::Envelope {
            what: "head",
            error,
        })?;
        let before = stored.as_ref().map(|object| &object.bytes[..]);
        roots
            .judge_head(before, &new, (self.clock)())
            .map_err(Refusal::Head)?;
        pure("head", &new, limits::HEAD, &roots.newest().head.keys)?;
        if self
            .store
            .replace(&guard, &path, stored.as_ref(), new.clone())
            .await?
            == Replaced::Changed
        {
            return Err(Refusal::Changed);
        }
        let mut cached = self.head.0.lock().await;
        self.take_head(&mut cached, Some(new.clone()));
        // What the store says of it is not known yet; the next look reads it once more.
        cached.meta = None;
        Ok(etag(&new))
    }
}

pub(super) async fn read(
    State(hub): State<Arc<Hub>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let head = hub.current_head().await?.ok_or(Refusal::NotFound)?;
    if names_tag(&headers, &IF_NONE_MATCH, Some(&head.etag), true) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, head.etag)]).into_response());
    }
    let json = HeaderValue::from_static("application/json");
    let (cache, asks) = MUTABLE;
    let headers = [
        (CONTENT_TYPE, json),
        (ETAG, head.etag),
        (cache, HeaderValue::from_static(asks)),
    ];
    Ok((headers, head.bytes).into_response())
}

pub(super) async fn write(
    State(hub): State<Arc<Hub>>,
    request: Request,
) -> Result<Response, Refusal> {
    let headers = request.headers().clone();
    let everything = |name| {
        headers
            .get(name)
            .is_some_and(|value: &HeaderValue| value.as_bytes() == b"*")
    };
    if !headers.contains_key(IF_MATCH) && !everything(IF_NONE_MATCH) {
        return Err(Refusal::Unconditional);
    }
    let new = hub.take(request, limits::HEAD as u64).await?.bytes;
    let hub = Arc::clone(&hub);
    let etag = to_the_end(async move { hub.replace_head(new, &headers).await }).await?;
    Ok([(ETAG, etag)].into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_name_tags_or_everything() {
        let tag = etag(b"x");
        let text = tag.to_str().unwrap().to_owned();
        let asks = |value: &str, current: Option<&HeaderValue>, weak| {
            let headers = HeaderMap::from_iter([(IF_MATCH, HeaderValue::from_str(value).unwrap())]);
            names_tag(&headers, &IF_MATCH, current, weak)
        };
        assert!(asks(&text, Some(&tag), false));
        assert!(asks(&format!("\"other\", {text}"), Some(&tag), false));
        assert!(asks("*", Some(&tag), false));
        assert!(!asks("*", None, false));
        assert!(!asks("\"other\"", Some(&tag), false));
        assert!(!asks(&format!("W/{text}"), Some(&tag), false));
        assert!(asks(&format!("W/{text}"), Some(&tag), true));
    }
}
