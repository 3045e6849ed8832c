//! The three files beside the pages: style, script, icon. They are in the binary, and their addresses name their contents.

use std::sync::LazyLock;

use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use e3_core::digest::Digest;

use crate::api::{One, Refusal};
use crate::names::Segment;

const IMMUTABLE: (HeaderName, &str) = (CACHE_CONTROL, "public, max-age=31536000, immutable");

/// A file, under a name that changes with it.
pub(crate) struct Asset {
    name: String,
    kind: &'static str,
    text: &'static str,
}

impl Asset {
    fn new(name: &str, kind: &'static str, text: &'static str) -> Self {
        let hash = Digest::of(text.as_bytes()).hex();
        let (stem, ending) = name.split_once('.').unwrap_or((name, ""));
        let name = format!("{stem}-{}.{ending}", &hash[..12]);
        Self { name, kind, text }
    }

    /// Where it is, relative to the hub's address.
    pub(super) fn href(&self) -> String {
        format!("page/{}", self.name)
    }
}

pub(super) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "style.css",
        "text/css; charset=utf-8",
        include_str!("style.css"),
    )
});
pub(super) static LIVE: LazyLock<Asset> = LazyLock::new(|| {
    let kind = "text/javascript; charset=utf-8";
    Asset::new("live.js", kind, include_str!("live.js"))
});
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon.svg", "image/svg+xml", include_str!("icon.svg")));

impl Segment for &'static Asset {
    fn read(text: &str) -> Option<Self> {
        let all: [Self; 3] = [&STYLE, &LIVE, &ICON];
        all.into_iter().find(|asset| asset.name == text)
    }
}

/// Gives one out. An icon that is opened by itself is a document, so it gets a policy, too.
pub(super) async fn show(One(asset): One<&'static Asset>) -> Result<Response, Refusal> {
    let headers = [(CONTENT_TYPE, asset.kind), super::POLICY];
    Ok((headers, [IMMUTABLE], asset.text).into_response())
}
