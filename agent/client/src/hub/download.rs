//! A large object piece by piece, for whoever does not want to hold all of it in memory.
//!
//! It is bounded (rule 3), but not verified: only whoever has all of it can say whether it is what
//! its digest names.

use std::io::Read as _;

use bytes::{Buf as _, Bytes};
use e3_core::digest::Blob;

use super::lines::{Lines, Since};
use super::{Hub, HubError, Way, blob_path};

/// Read from a folder at once.
const PIECE: usize = 64 * 1024;

/// An object on its way. If this machine moves meanwhile, what is left of it comes another way.
#[derive(Debug)]
pub struct Download {
    hub: Hub,
    what: String,
    size: u64,
    left: u64,
    /// Bytes that come once more.
    again: u64,
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
        let (what, size) = (blob_path(&blob.digest), blob.size);
        let source = self.source(&what).await?;
        Ok(Download {
            hub: self.clone(),
            what,
            size,
            left: size,
            again: 0,
            source,
        })
    }

    async fn source(&self, what: &str) -> Result<Source, HubError> {
        let (base, lines) = match &self.way {
            Way::Http { base, lines, .. } => (base, lines),
            Way::Folder(folder) => {
                let opened = std::fs::File::open(folder.join(what));
                let missing = |error| self.of_file(what, folder.is_dir(), &error);
                return opened.map(Source::File).map_err(missing);
            }
        };
        let mut again = lines.again_if_moved();
        loop {
            let opened = self.open_http(base, lines, what).await;
            let lost = matches!(opened, Err(HubError::Unreachable { .. }));
            if !lost || !again.may().await {
                return opened;
            }
        }
    }

    async fn open_http(&self, base: &str, lines: &Lines, what: &str) -> Result<Source, HubError> {
        let request = lines.requests().get(format!("{base}/{what}"));
        let since = lines.since_now();
        let response = since.unless_moved(&self.url, request.send()).await?;
        self.note_date(&response);
        match response.status().as_u16() {
            200 => Ok(Source::Http(response, since)),
            404 => Err(HubError::NotFound {
                what: what.to_owned(),
            }),
            status => {
                let body = self.body(response, what, 65_536).await?;
                Err(HubError::of_status(status, what, &body))
            }
        }
    }

    fn of_file(&self, what: &str, is_there: bool, error: &std::io::Error) -> HubError {
        match error.kind() {
            std::io::ErrorKind::NotFound if is_there => HubError::NotFound {
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
        loop {
            let Some(mut piece) = self.piece().await? else {
                return Ok(None);
            };
            let known = self.again.min(piece.len() as u64);
            self.again -= known;
            piece.advance(usize::try_from(known).unwrap_or(piece.len()));
            if piece.is_empty() {
                continue;
            }
            let left = self.left.checked_sub(piece.len() as u64);
            self.left = left.ok_or_else(|| HubError::TooLarge {
                what: self.what.clone(),
                limit: self.size,
            })?;
            return Ok(Some(piece));
        }
    }

    /// What comes next, known or not.
    async fn piece(&mut self) -> Result<Option<Bytes>, HubError> {
        loop {
            match &mut self.source {
                Source::Http(response, since) => {
                    match since.unless_moved(&self.hub.url, response.chunk()).await {
                        Err(HubError::Unreachable { .. }) if since.has_moved() => {
                            self.source = self.hub.source(&self.what).await?;
                            self.again = self.size - self.left;
                        }
                        piece => return piece,
                    }
                }
                Source::File(file) => {
                    let mut piece = vec![0; PIECE];
                    let read = file.read(&mut piece);
                    let read = read.map_err(|error| self.hub.of_file(&self.what, true, &error))?;
                    piece.truncate(read);
                    return Ok((read > 0).then(|| piece.into()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::write_atomic;
    use e3_testkit::pages::Pages;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn what_is_left_comes_when_the_machine_has_moved_in_the_middle() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", server.local_addr().unwrap());
        let hub = Hub::open(&url, None).unwrap();
        let contents: Vec<u8> = (0..=255).cycle().take(3 * PIECE).collect();
        // Up to some byte; then it is silent, as where nobody is any more.
        let answer = async |until: usize| {
            let (mut stream, _) = server.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let _ = stream.read(&mut request).await.unwrap();
            let size = contents.len();
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\nconnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&contents[..until]).await.unwrap();
            stream
        };
        let blob = Blob::of(&contents);
        let (download, lost) = tokio::join!(hub.download(&blob), answer(PIECE + 7));
        let (mut download, mut bytes) = (download.unwrap(), Vec::new());
        while bytes.len() < PIECE + 7 {
            bytes.extend_from_slice(&download.next().await.unwrap().unwrap());
        }
        hub.moved();
        let rest = async {
            while let Some(piece) = download.next().await.unwrap() {
                bytes.extend_from_slice(&piece);
            }
        };
        let ((), _whole) = tokio::join!(rest, answer(contents.len()));
        assert!(bytes == contents, "{} bytes came", bytes.len());
        drop(lost);
    }

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
