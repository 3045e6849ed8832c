//! Where a list or an image lies: an address of http or https, or a file.

use std::path::PathBuf;
use std::time::Duration;

use e3_core::text::clean;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use super::PublishedError;

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long to wait for the next bytes.
const SILENCE: Duration = Duration::from_secs(30);
/// Redirects one after the other: places that hand out files use one or two.
const REDIRECTS: usize = 5;
/// Characters of somebody else's text in a message.
pub(super) const SHOWN: usize = 200;

/// A place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Over the network.
    Web(Url),
    /// On this computer.
    File(PathBuf),
}

impl Address {
    /// Reads what a person typed.
    pub fn parse(text: &str) -> Result<Self, PublishedError> {
        if !text.contains("://") {
            return Ok(Self::File(PathBuf::from(text)));
        }
        let bad = || PublishedError::Address {
            text: e3_core::text::without_credentials(&clean(text, SHOWN)),
        };
        let url: Url = text.parse().map_err(|_| bad())?;
        let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
        if is_web {
            Ok(Self::Web(url))
        } else {
            Err(bad())
        }
    }

    /// What a list at this place calls `url`. Relative to where the list was asked for, wherever that led: so one address
    /// can stand for the newest release.
    pub fn join(&self, url: &str) -> Result<Self, PublishedError> {
        if url.contains("://") {
            return Self::parse(url);
        }
        match self {
            Self::Web(base) => base
                .join(url)
                .map(Self::Web)
                .map_err(|_| PublishedError::Address {
                    text: clean(url, SHOWN),
                }),
            Self::File(list) => Ok(Self::File(list.with_file_name("").join(url))),
        }
    }

    /// Without what may be secret in it.
    pub fn shown(&self) -> String {
        match self {
            Self::Web(url) => {
                let mut url = url.clone();
                let _ = url.set_username("");
                let _ = url.set_password(None);
                url.set_query(None);
                url.to_string()
            }
            Self::File(path) => path.display().to_string(),
        }
    }
}

/// What asks for lists and images.
pub(super) fn client() -> Result<Client, reqwest::Error> {
    let policy = Policy::custom(|attempt| match leads(attempt.previous(), attempt.url()) {
        Ok(()) => attempt.follow(),
        Err(why) => attempt.error(why),
    });
    Client::builder()
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .redirect(policy)
        .user_agent(concat!("e3/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Whether to follow a redirect.
fn leads(previous: &[Url], next: &Url) -> Result<(), &'static str> {
    if previous.len() > REDIRECTS {
        Err("it leads on and on")
    } else if previous.iter().any(|url| url.scheme() == "https") && next.scheme() != "https" {
        Err("it leads from https to http")
    } else {
        Ok(())
    }
}

/// That a place does not answer.
pub(super) fn unreachable(from: &Address, error: reqwest::Error) -> PublishedError {
    let detail = if error.is_timeout() {
        "it takes too long to answer".to_owned()
    } else {
        // The innermost cause says most.
        let error = error.without_url();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        clean(&cause.to_string(), SHOWN)
    };
    PublishedError::Unreachable {
        from: from.shown(),
        detail,
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    #[test]
    fn files_lie_beside_their_list_and_redirects_lead_nowhere_unsafe() {
        let join = |list: &str, url: &str| {
            let list = Address::parse(list).unwrap();
            list.join(url).map(|place| place.shown())
        };
        for (list, url, place) in [
            (
                "https://x.example/latest/images.json",
                "e3.wsl",
                "https://x.example/latest/e3.wsl",
            ),
            (
                "https://x.example/images.json",
                "http://y.example/e3.wsl?token=x",
                "http://y.example/e3.wsl",
            ),
            ("images.json", "v1/e3.wsl", "v1/e3.wsl"),
            ("/srv/images.json", "e3.wsl", "/srv/e3.wsl"),
        ] {
            assert_eq!(join(list, url).unwrap(), place);
        }
        for bad in ["ftp://x.example/images.json", "https://", "file:///etc"] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
        let url = |text: &str| text.parse::<Url>().unwrap();
        let (safe, open) = (url("https://x.example"), url("http://x.example"));
        assert!(leads(from_ref(&open), &safe).is_ok());
        assert!(leads(from_ref(&open), &open).is_ok());
        assert!(leads(&[open.clone(), safe.clone()], &open).is_err());
        assert!(leads(&vec![safe.clone(); 5], &safe).is_ok());
        assert!(leads(&vec![safe.clone(); 6], &safe).is_err());
        let secret = Address::parse("https://me:secret@x.example/l?key=secret").unwrap();
        assert!(!secret.shown().contains("secret"));
    }
}
