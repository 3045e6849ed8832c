//! A stream through Tor: SOCKS 5 (RFC 1928, RFC 1929) on Tor's Unix socket.
//!
//! What is asked for by different user names never goes by the same circuit (`IsolateSOCKSAuth`); so a name for each attempt
//! is how a circuit is left that leads nowhere.

use std::io;
use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum SocksError {
    /// Tor's socket is gone, or speaks otherwise.
    #[error("Tor cannot be asked: {0}")]
    Io(#[from] io::Error),
    /// Tor has not found the service's descriptor: it has published none, or not yet.
    #[error("nothing is known of the onion service yet")]
    Unknown,
    /// The descriptor is for other clients.
    #[error("the onion service does not let this machine's key in")]
    NotLetIn,
    /// Another one of Tor's answers.
    #[error("{0}")]
    Refused(&'static str),
}

/// Asks for a stream to `service`, and sends `first` at once, without waiting until it is there.
pub(super) async fn connect(
    socket: &Path,
    user: &str,
    service: &str,
    port: u16,
    first: &[u8],
) -> Result<UnixStream, SocksError> {
    let mut stream = UnixStream::connect(socket).await?;
    let mut hello = [0; 2];
    // Version 5, one method: a user's name.
    stream.write_all(&[5, 1, 2]).await?;
    stream.read_exact(&mut hello).await?;
    if hello != [5, 2] {
        return Err(SocksError::Refused("Tor wants no user's name"));
    }
    let length = |text: &str| u8::try_from(text.len()).map_err(io::Error::other);
    let mut request = vec![1, length(user)?];
    request.extend_from_slice(user.as_bytes());
    // No password.
    request.extend_from_slice(&[1, b'0']);
    stream.write_all(&request).await?;
    stream.read_exact(&mut hello).await?;
    if hello != [1, 0] {
        return Err(SocksError::Refused("Tor refuses the user's name"));
    }
    let host = format!("{service}.onion");
    let mut request = vec![5, 1, 0, 3, length(&host)?];
    request.extend_from_slice(host.as_bytes());
    request.extend_from_slice(&port.to_be_bytes());
    request.extend_from_slice(first);
    stream.write_all(&request).await?;
    let mut reply = [0; 4];
    stream.read_exact(&mut reply).await?;
    let [5, code, 0, kind] = reply else {
        return Err(SocksError::Refused("Tor's answer is no SOCKS"));
    };
    outcome(code)?;
    let rest = match kind {
        1 => 4 + 2,
        4 => 16 + 2,
        3 => usize::from(stream.read_u8().await?) + 2,
        _ => return Err(SocksError::Refused("Tor's answer is no SOCKS")),
    };
    stream.read_exact(&mut vec![0; rest]).await?;
    Ok(stream)
}

/// What an answer means, with Tor's own numbers (`ExtendedErrors`).
fn outcome(code: u8) -> Result<(), SocksError> {
    Err(match code {
        0x00 => return Ok(()),
        0xf0 => SocksError::Unknown,
        0xf1 => SocksError::Refused("what is known of the onion service makes no sense"),
        0xf2 => SocksError::Refused("the onion service's introduction points do not answer"),
        0xf3 => SocksError::Refused("the onion service does not come to the meeting point"),
        0xf4 | 0xf5 => SocksError::NotLetIn,
        0xf6 => SocksError::Refused("Tor does not take the address"),
        0xf7 => SocksError::Refused("the onion service's introduction points take too long"),
        0x05 => SocksError::Refused("the onion service does not listen"),
        0x06 => SocksError::Refused("it takes too long"),
        _ => SocksError::Refused("Tor reaches nothing"),
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    /// What comes of a request that Tor answers like this.
    async fn ask(answers: &'static [&'static [u8]]) -> (Result<Vec<u8>, SocksError>, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socks");
        let listener = UnixListener::bind(&path).unwrap();
        let tor = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = vec![0; 4096];
            let mut said = Vec::new();
            for answer in answers {
                let count = stream.read(&mut heard).await.unwrap();
                said.extend_from_slice(&heard[..count]);
                stream.write_all(answer).await.unwrap();
            }
            drop(stream);
            said
        };
        let asked = async {
            let mut stream = connect(&path, "me-1", "abc", 7331, b"first").await?;
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await?;
            Ok(rest)
        };
        tokio::join!(asked, tor)
    }

    #[tokio::test]
    async fn what_is_asked_for_is_what_tor_hears() {
        let (got, said) = ask(&[&[5, 2], &[1, 0], b"\x05\0\0\x01\0\0\0\0\0\0rest"]).await;
        assert_eq!(got.unwrap(), b"rest");
        let expected = b"\x05\x01\x02\x01\x04me-1\x010\x05\x01\0\x03\x09abc.onion\x1c\xa3first";
        assert_eq!(said, expected);
    }

    #[tokio::test]
    async fn what_tor_says_of_the_service_is_told_apart() {
        let (got, _) = ask(&[&[5, 2], &[1, 0], &[5, 0xf0, 0, 1]]).await;
        assert!(matches!(got, Err(SocksError::Unknown)));
        let (got, _) = ask(&[&[5, 2], &[1, 0], &[5, 0xf4, 0, 1]]).await;
        assert!(matches!(got, Err(SocksError::NotLetIn)));
        let strange: [&'static [&'static [u8]]; 3] = [
            &[&[5, 2], &[1, 0], &[5, 1, 0, 1]],
            &[&[5, 2], &[1, 0], &[4, 0, 0, 1]],
            &[&[5, 2], &[1, 0], &[5, 0, 0, 9]],
        ];
        for answers in strange {
            let (got, _) = ask(answers).await;
            assert!(matches!(got, Err(SocksError::Refused(_))), "{answers:?}");
        }
        // It ends in the middle.
        let (got, _) = ask(&[&[5, 2], &[1, 0], &[5, 0]]).await;
        assert!(matches!(got, Err(SocksError::Io(_))));
        let (got, _) = ask(&[&[5, 0xff]]).await;
        assert!(matches!(got, Err(SocksError::Refused(_))));
    }
}
