//! A large object piece by piece, for whoever does not want to hold all of it in memory.
//!
//! It is bounded (rule 3), but not verified: only whoever has all of it can say whether it is what
//! its digest names.

use std::io::Read as _;

use bytes::Bytes;
use e3_core::digest::Blob;

use super::lines::Since;
use super::{Hub, HubError, Way, blob_path};

/// Read from a folder at once.
const PIECE: usize = 64 * 1024;

/// An object on its way.
#[derive(Debug)]
pub struct Download {
    url: String,
    what: String,
    size: u64,
    left: u64,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Http(reqwest::Response, Since),
    File(std::fs::File),
}

impl Hub {
    /// Opens an immutable object.
    pub async fn download(&self, blob: &Blob) -> Result<Download, HubError> {
        let what = blob_path(&blob.digest);
        let source = match &self.way {
            Way::Folder(folder) => {
                let opened = std::fs::File::open(folder.join(&what));
                Source::File(opened.map_err(|error| self.of_file(&what, &error))?)
            }
            Way::Http { base, lines, .. } => {
                let request = lines.requests().get(format!("{base}/{what}"));
                let mut since = lines.since_now();
                let response = since.unless_moved(&self.url, request.send()).await?;
                match response.status().as_u16() {
                    200 => Source::Http(response, since),
                    404 => return Err(HubError::NotFound { what }),
                    status => {
                        let body = self.body(response, &what, 65_536).await?;
                        return Err(HubError::of_status(status, &what, &body));
                    }
                }
            }
        };
        let (url, size) = (self.url.clone(), blob.size);
        Ok(Download {
            url,
            what,
            size,
            left: size,
            source,
        })
    }

    fn of_file(&self, what: &str, error: &std::io::Error) -> HubError {
        match error.kind() {
            std::io::ErrorKind::NotFound => HubError::NotFound {
                what: what.to_owned(),
            },
            _ => HubError::Unreachable {
                url: self.url.clone(),
                detail: error.to_string(),
            },
        }
    }
}

impl Download {
    /// The next piece; nothing at its end. The first byte too many is an error.
    pub async fn next(&mut self) -> Result<Option<Bytes>, HubError> {
        let piece = match &mut self.source {
            Source::Http(response, since) => {
                since.unless_moved(&self.url, response.chunk()).await?
            }
            Source::File(file) => {
                let mut piece = vec![0; PIECE];
                let read = file
                    .read(&mut piece)
                    .map_err(|error| HubError::Unreachable {
                        url: self.url.clone(),
                        detail: error.to_string(),
                    })?;
                piece.truncate(read);
                (read > 0).then(|| piece.into())
            }
        };
        let Some(piece) = piece else {
            return Ok(None);
        };
        let left = self.left.checked_sub(piece.len() as u64);
        self.left = left.ok_or_else(|| HubError::TooLarge {
            what: self.what.clone(),
            limit: self.size,
        })?;
        Ok(Some(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::write_atomic;
    use e3_testkit::pages::Pages;

    async fn all(hub: &Hub, blob: &Blob) -> Result<Vec<u8>, HubError> {
        let (mut download, mut bytes) = (hub.download(blob).await?, Vec::new());
        while let Some(piece) = download.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    #[tokio::test]
    async fn pieces_come_from_a_folder_and_over_http_and_endless_data_is_cut() {
        let contents = vec![7; 3 * PIECE + 1];
        let blob = Blob::of(&contents);
        let path = format!("/{}", blob_path(&blob.digest));
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sha256")).unwrap();
        write_atomic(&folder.path().join(&path[1..]), &contents).unwrap();
        let pages = Pages::serve(vec![(
            &path,
            200,
            "application/octet-stream",
            contents.clone(),
        )]);
        let pages = pages.await.unwrap();
        let urls = [
            format!("file://{}", folder.path().display()),
            format!("http://{}", pages.address()),
        ];
        for url in urls {
            let hub = Hub::open(&url, None).unwrap();
            assert_eq!(all(&hub, &blob).await.unwrap(), contents, "{url}");
            let short = Blob {
                size: blob.size - 1,
                ..blob
            };
            let error = all(&hub, &short).await.unwrap_err();
            assert!(matches!(error, HubError::TooLarge { .. }), "{url}: {error}");
            let error = all(&hub, &Blob::of(b"other")).await.unwrap_err();
            assert!(matches!(error, HubError::NotFound { .. }), "{url}: {error}");
        }
    }
}
