//! Where a session's files come from: this machine, then the hub, and for MPyC then the Python index.
//!
//! Digest and length of each are signed in the manifest, so it does not matter who has it. A file
//! that is on this machine but is not what its name says is never healed silently: it is put aside
//! and the session fails with what was found.

use e3_client::hub::{Hub, HubError};
use e3_client::index::{self, IndexUrl};
use e3_core::digest::{Blob, Digest};
use e3_core::document::Mpyc;
use e3_core::session::Reason;
use e3_core::text::clean;

use crate::shared::Shared;
use crate::store::{BlobStore, StoreError};

/// Characters of one place's answer; three of them fit into a reason's text.
const ANSWER: usize = 130;

/// Why a file is not to be had.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// The one on this machine is another one.
    Tampered {
        /// What the manifest says.
        pinned: Digest,
        /// What was there.
        has: Digest,
    },
    /// Nobody has it, or the disk cannot take it.
    Other(Reason),
}

/// The places.
pub(super) struct Places<'a> {
    blobs: &'a BlobStore,
    hub: &'a Hub,
    index: Option<&'a IndexUrl>,
}

impl<'a> Places<'a> {
    /// This agent's.
    pub(super) fn of(shared: &'a Shared) -> Self {
        Self {
            blobs: &shared.blobs,
            hub: &shared.hub,
            index: shared.settings.index.as_ref(),
        }
    }

    /// The packed program.
    pub(super) async fn program(&self, pack: &Blob) -> Result<Vec<u8>, Missing> {
        if let Some(bytes) = self.blobs.get(pack).map_err(disk)? {
            return Ok(bytes);
        }
        match self.hub.blob(pack).await {
            Ok(bytes) => self.keep(bytes),
            Err(error) => Err(unavailable("the program", &[answer(&error)])),
        }
    }

    /// MPyC's wheel. The Python index is asked for exactly this file, and believed nothing.
    pub(super) async fn wheel(&self, mpyc: &Mpyc) -> Result<Vec<u8>, Missing> {
        if let Some(bytes) = self.blobs.get(&mpyc.wheel).map_err(disk)? {
            return Ok(bytes);
        }
        let from_hub = match self.hub.blob(&mpyc.wheel).await {
            Ok(bytes) => return self.keep(bytes),
            Err(error) => error,
        };
        let from_index = match self.index {
            // A hub that lies is named, not made up for.
            _ if matches!(
                from_hub,
                HubError::NotAsNamed { .. } | HubError::TooLarge { .. }
            ) =>
            {
                return Err(unavailable(&mpyc.file, &[answer(&from_hub)]));
            }
            None => "no Python index is set".to_owned(),
            Some(index) => match index::exact(index, &mpyc.file, &mpyc.wheel).await {
                Ok(bytes) => {
                    tracing::info!(file = mpyc.file, %index, hub = %from_hub, "MPyC comes from the Python index");
                    return self.keep(bytes);
                }
                Err(error) => answer(&error),
            },
        };
        Err(unavailable(&mpyc.file, &[answer(&from_hub), from_index]))
    }

    /// For the next session, and for the next start of this one.
    fn keep(&self, bytes: Vec<u8>) -> Result<Vec<u8>, Missing> {
        self.blobs.put(&bytes).map_err(disk)?;
        Ok(bytes)
    }
}

fn disk(error: StoreError) -> Missing {
    match error {
        StoreError::Tampered { pinned, has, .. } => Missing::Tampered { pinned, has },
        other => Missing::Other(Reason::Disk {
            detail: crate::text::chain(&other),
        }),
    }
}

fn answer(error: &dyn std::error::Error) -> String {
    clean(&crate::text::chain(error), ANSWER)
}

fn unavailable(what: &str, answers: &[String]) -> Missing {
    Missing::Other(Reason::Unavailable {
        what: what.to_owned(),
        detail: format!("not on this machine; {}", answers.join("; ")),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use e3_client::files;
    use e3_testkit::pages::Pages;

    use super::*;

    const WHEEL: &[u8] = b"PK\x03\x04 a wheel";
    const FILE: &str = "mpyc-0.11-py3-none-any.whl";

    fn mpyc() -> Mpyc {
        Mpyc {
            version: "0.11".to_owned(),
            file: FILE.to_owned(),
            wheel: Blob::of(WHEEL),
            threshold: Some(1),
            prss: true,
            tls: true,
            base_port: 11_365,
            bit_length: None,
            sec_param: None,
            mixed_word_sizes: false,
        }
    }

    /// An agent's own blobs, a hub that is a folder, and an index that has `bytes` as the wheel.
    struct Desk {
        folder: tempfile::TempDir,
        blobs: BlobStore,
        hub: Hub,
        server: Pages,
        index: IndexUrl,
    }

    impl Desk {
        async fn new(bytes: &[u8]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            files::private_folder(&folder.path().join("hub")).unwrap();
            let page = format!(
                r#"{{"files": [{{"filename": "{FILE}", "url": "/f", "hashes": {{"sha256": "{}"}}}}]}}"#,
                Digest::of(bytes).hex()
            );
            let json = "application/vnd.pypi.simple.v1+json";
            let pages = vec![
                ("/simple/mpyc/", 200, json, page.into_bytes()),
                ("/f", 200, "application/octet-stream", bytes.to_owned()),
            ];
            let server = Pages::serve(pages).await.unwrap();
            Self {
                blobs: BlobStore::open(folder.path(), Vec::new()).unwrap(),
                hub: hub(&folder.path().join("hub")),
                index: IndexUrl::parse(&format!("http://{}/simple", server.address())).unwrap(),
                folder,
                server,
            }
        }

        fn places(&self) -> Places<'_> {
            Places {
                blobs: &self.blobs,
                hub: &self.hub,
                index: Some(&self.index),
            }
        }
    }

    fn hub(folder: &Path) -> Hub {
        Hub::open(&format!("file://{}", folder.display()), None).unwrap()
    }

    /// The text of a reason that says what was tried, as it travels.
    fn detail(missing: Missing) -> String {
        let Missing::Other(reason) = missing else {
            panic!("{missing:?}")
        };
        let Reason::Unavailable { what, detail } = reason.cleaned() else {
            panic!("{reason:?}")
        };
        assert_eq!(what, FILE);
        assert!(!detail.ends_with('…'), "cut: {detail}");
        detail
    }

    #[tokio::test]
    async fn what_the_hub_has_not_got_comes_from_the_index_once() {
        let desk = Desk::new(WHEEL).await;
        assert_eq!(desk.places().wheel(&mpyc()).await.unwrap(), WHEEL);
        assert_eq!(desk.server.requests(), 2);
        assert_eq!(desk.places().wheel(&mpyc()).await.unwrap(), WHEEL);
        assert_eq!(desk.server.requests(), 2, "it was kept");
        // A hub that cannot be reached is no reason to fail, either.
        let other = Desk::new(WHEEL).await;
        let nobody = hub(&other.folder.path().join("nowhere"));
        let places = Places {
            hub: &nobody,
            ..other.places()
        };
        assert_eq!(places.wheel(&mpyc()).await.unwrap(), WHEEL);
    }

    #[tokio::test]
    async fn the_hub_is_asked_before_the_index_which_never_gives_a_program() {
        let desk = Desk::new(WHEEL).await;
        let missing = desk.places().program(&Blob::of(WHEEL)).await.unwrap_err();
        assert!(
            matches!(&missing, Missing::Other(Reason::Unavailable { what, .. }) if what == "the program")
        );
        let place = desk.folder.path().join("hub/sha256");
        files::private_folder(&place).unwrap();
        files::write_atomic(&place.join(Digest::of(WHEEL).hex()), WHEEL).unwrap();
        assert_eq!(desk.places().wheel(&mpyc()).await.unwrap(), WHEEL);
        assert_eq!(desk.server.requests(), 0);
    }

    #[tokio::test]
    async fn an_index_that_sends_other_bytes_is_refused_and_nothing_of_it_is_kept() {
        let desk = Desk::new(b"PK\x03\x04 another").await;
        let text = detail(desk.places().wheel(&mpyc()).await.unwrap_err());
        let expected = format!(
            "not on this machine; the hub does not have sha256/{}; the Python index {} ",
            Digest::of(WHEEL).hex(),
            desk.index
        );
        assert!(text.starts_with(&expected), "{text}");
        let kept = std::fs::read_dir(desk.folder.path().join("blobs")).unwrap();
        assert_eq!(kept.count(), 0);
    }

    #[tokio::test]
    async fn each_place_that_did_not_answer_is_named() {
        let desk = Desk::new(WHEEL).await;
        let nobody = Pages::serve(Vec::new()).await.unwrap().address();
        let places = Places {
            hub: &Hub::open(&format!("http://{nobody}"), None).unwrap(),
            index: Some(&IndexUrl::parse(&format!("http://{nobody}/simple")).unwrap()),
            ..desk.places()
        };
        let text = detail(places.wheel(&mpyc()).await.unwrap_err());
        let hub = format!("the hub http://{nobody} cannot be reached");
        let index = format!("the Python index http://{nobody}/simple/ cannot be reached");
        assert!(text.contains(&hub) && text.contains(&index), "{text}");
        let off = Places {
            index: None,
            ..desk.places()
        };
        let text = detail(off.wheel(&mpyc()).await.unwrap_err());
        assert!(text.ends_with("; no Python index is set"), "{text}");
        assert_eq!(desk.server.requests(), 0);
    }

    #[tokio::test]
    async fn a_hub_that_sends_other_bytes_is_named_and_not_made_up_for() {
        let desk = Desk::new(WHEEL).await;
        let place = desk.folder.path().join("hub/sha256");
        files::private_folder(&place).unwrap();
        files::write_atomic(&place.join(Digest::of(WHEEL).hex()), b"other").unwrap();
        let text = detail(desk.places().wheel(&mpyc()).await.unwrap_err());
        assert!(text.contains("the hub sends other bytes"), "{text}");
        assert_eq!(desk.server.requests(), 0);
    }
}
