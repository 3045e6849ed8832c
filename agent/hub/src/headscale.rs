//! The hub's way to the fleet's Headscale: keys for machines that join, and machines that are to be forgotten.
//!
//! Each node bears two tags that it cannot change, since the hub chooses them: the fleet's, which the server's policy lets talk
//! to itself and to nothing else, and its party's, by which the hub finds it again. So the hub remembers nothing.

use std::path::PathBuf;
use std::time::Duration;

use axum::body::Bytes;
use e3_client::clock::Clock;
use e3_client::files;
use e3_client::tls::{self, Authorities};
use e3_core::digest::Digest;
use e3_core::key::PublicKey;
use e3_core::name::Name;
use e3_core::time::Time;
use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::ServeError;

/// Seconds that a key is good for: a machine uses it at once.
const KEY_SECONDS: u64 = 600;
/// For one answer of the server.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer: a fleet of thousands.
const ANSWER: usize = 16 * 1024 * 1024;

/// Where the fleet's Headscale is, and what lets the hub in.
#[derive(Debug, Clone)]
pub struct Headscale {
    /// `https://host:port`; without TLS only on this machine.
    pub url: String,
    /// A file with a key of the server's API, readable by nobody else. It is read anew for each use.
    pub key: PathBuf,
    /// The server's certificate authorities as PEM, if the machine's own do not know it.
    pub ca: Option<PathBuf>,
}

/// Why the server does not do what it should. The hub's log has it, and nobody else.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("the file with the API's key")]
    Key(#[from] files::FileError),
    #[error("the server cannot be asked")]
    Request(#[from] reqwest::Error),
    #[error(
        "the server refuses with HTTP {0}; is the API's key the right one, and has it not expired?"
    )]
    Refused(StatusCode),
    #[error("the server's answer is none: {0}")]
    Answer(#[from] serde_json::Error),
    #[error("the server's answer is too long")]
    TooLong,
}

/// The server.
pub(crate) struct Server {
    base: String,
    key: PathBuf,
    client: Client,
}

/// A machine, as far as the hub wants to know.
#[derive(Deserialize)]
struct Node {
    /// A number, in digits: JSON has none of 64 bits.
    id: String,
    #[serde(default)]
    tags: Vec<String>,
}

impl Server {
    /// Prepares for it; nothing is asked yet.
    pub(crate) fn open(settings: &Headscale) -> Result<Self, ServeError> {
        let unfit = |detail: String| ServeError::Headscale {
            url: settings.url.clone(),
            detail,
        };
        let url = reqwest::Url::parse(&settings.url).map_err(|error| unfit(error.to_string()))?;
        let is_here = match url.host_str() {
            Some("localhost") => true,
            Some(host) => host
                .trim_matches(['[', ']'])
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback()),
            None => false,
        };
        if url.scheme() != "https" && !(url.scheme() == "http" && is_here) {
            return Err(unfit(
                "it is not https://, and not on this machine".to_owned(),
            ));
        }
        files::read_secret(&settings.key).map_err(|error| unfit(error.to_string()))?;
        let ca = settings
            .ca
            .as_ref()
            .map(|path| files::read_bounded(path, 1 << 20));
        let ca = ca.transpose().map_err(|error| unfit(error.to_string()))?;
        let authorities = match &ca {
            Some(pem) => Authorities::Pem(pem),
            None if url.scheme() == "http" => Authorities::None,
            None => Authorities::Machine,
        };
        let tls = tls::client(authorities, Clock::default()).map_err(unfit)?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| unfit(error.to_string()))?;
        Ok(Self {
            base: settings.url.trim_end_matches('/').to_owned(),
            key: settings.key.clone(),
            client,
        })
    }

    /// A key that one machine joins with, once, soon.
    pub(crate) async fn key_for(
        &self,
        fleet: &Name,
        party: &PublicKey,
        now: Time,
    ) -> Result<Zeroizing<String>, ServerError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Made {
            pre_auth_key: Key,
        }
        #[derive(Deserialize)]
        struct Key {
            key: String,
        }
        let wanted = json!({
            "reusable": false,
            // A machine that was off for long must find its place again: it is removed by the hub, and by nobody's clock.
            "ephemeral": false,
            "expiration": now.plus(KEY_SECONDS).to_string(),
            "aclTags": [fleet_tag(fleet), party_tag(party)],
        });
        let answer = self.ask(Method::POST, "preauthkey", Some(&wanted)).await?;
        let made: Made = serde_json::from_slice(&answer)?;
        Ok(Zeroizing::new(made.pre_auth_key.key))
    }

    /// Has it forget the machines of this fleet for which `is_gone` says so: of a party, or of all. Returns how many.
    pub(crate) async fn forget(&self, fleet: &Name, gone: &Gone<'_>) -> Result<usize, ServerError> {
        #[derive(Deserialize)]
        struct Nodes {
            nodes: Vec<Node>,
        }
        let answer = self.ask(Method::GET, "node", None).await?;
        let nodes: Nodes = serde_json::from_slice(&answer)?;
        let mut count = 0;
        for node in nodes
            .nodes
            .iter()
            .filter(|node| gone.includes(fleet, &node.tags))
        {
            // It goes into a path.
            if node.id.bytes().all(|byte| byte.is_ascii_digit()) {
                self.ask(Method::DELETE, &format!("node/{}", node.id), None)
                    .await?;
                count += 1;
            }
        }
        Ok(count)
    }

    async fn ask(
        &self,
        method: Method,
        what: &str,
        body: Option<&Value>,
    ) -> Result<Bytes, ServerError> {
        let key = files::read_secret(&self.key)?;
        let request = self
            .client
            .request(method, format!("{}/api/v1/{what}", self.base));
        let mut request = request.bearer_auth(key.trim());
        if let Some(body) = body {
            request = request
                .header(reqwest::header::CONTENT_TYPE, "application/json")
                .body(body.to_string());
        }
        let mut answer = request.send().await?;
        if answer.status() != StatusCode::OK {
            return Err(ServerError::Refused(answer.status()));
        }
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await? {
            if bytes.len() + piece.len() > ANSWER {
                return Err(ServerError::TooLong);
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.into())
    }
}

/// Which machines of a fleet do not belong on its server any more.
pub(crate) enum Gone<'a> {
    /// All: the fleet has left it.
    All,
    /// Those of these parties.
    Of(&'a [PublicKey]),
}

impl Gone<'_> {
    fn includes(&self, fleet: &Name, tags: &[String]) -> bool {
        tags.contains(&fleet_tag(fleet))
            && match self {
                Self::All => true,
                Self::Of(parties) => parties.iter().any(|party| tags.contains(&party_tag(party))),
            }
    }
}

/// What all machines of a fleet have in common.
fn fleet_tag(fleet: &Name) -> String {
    format!("tag:e3-{fleet}")
}

/// What tells a party's machine from the others: the first half of its key's digest.
fn party_tag(party: &PublicKey) -> String {
    format!("tag:e3-party-{}", &Digest::of(party.as_bytes()).hex()[..32])
}

#[cfg(test)]
mod tests {
    use super::*;
    use e3_core::key::SecretKey;

    #[test]
    fn only_machines_of_the_fleet_are_forgotten_and_of_those_only_who_is_meant() {
        let [p, q] = [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]).public());
        let (fleet, other): (Name, Name) = ("demo".parse().unwrap(), "other".parse().unwrap());
        let tags = |fleet: &Name, party: &PublicKey| vec![fleet_tag(fleet), party_tag(party)];
        let gone = [p];
        let gone = Gone::Of(&gone);
        assert!(gone.includes(&fleet, &tags(&fleet, &p)));
        assert!(!gone.includes(&fleet, &tags(&fleet, &q)));
        assert!(!gone.includes(&fleet, &tags(&other, &p)));
        assert!(!gone.includes(&fleet, &[]));
        assert!(Gone::All.includes(&fleet, &tags(&fleet, &q)));
        assert!(!Gone::All.includes(&fleet, &tags(&other, &q)));
        assert!(!Gone::All.includes(&fleet, &[party_tag(&p)]));
    }

    #[test]
    fn a_server_is_reached_by_tls_or_on_this_machine() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        files::write_secret(&key, b"word").unwrap();
        let open = |url: &str, key: &PathBuf| {
            let settings = Headscale {
                url: url.to_owned(),
                key: key.clone(),
                ca: None,
            };
            Server::open(&settings).is_ok()
        };
        assert!(open("http://127.0.0.1:8080", &key) && open("http://[::1]:8080", &key));
        assert!(open("http://localhost:8080", &key));
        assert!(
            !open("http://hs.example.org", &key) && !open("http://127.0.0.1.example.org", &key)
        );
        assert!(!open("ftp://127.0.0.1", &key) && !open("hs", &key));
        assert!(!open("http://127.0.0.1:8080", &folder.path().join("none")));
    }
}
