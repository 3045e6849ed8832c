//! The hub's way to the fleet's Headscale: keys for machines that join, and machines that are to be forgotten.
//!
//! Each node bears two tags that it cannot change, since the hub chooses them: the fleet's, which the server's policy lets talk
//! to itself and to nothing else, and its party's, by which the hub finds it again.

use std::path::PathBuf;

use e3_client::files;
use e3_core::digest::Digest;
use e3_core::key::PublicKey;
use e3_core::name::Name;
use e3_core::time::Time;
use reqwest::{Client, Method};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Gone, KEY_SECONDS, ServerError, fleet_tag, parse};
use crate::ServeError;

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
        files::read_secret(&settings.key).map_err(|error| unfit(error.to_string()))?;
        let ca = settings
            .ca
            .as_ref()
            .map(|path| files::read_bounded(path, 1 << 20));
        let ca = ca.transpose().map_err(|error| unfit(error.to_string()))?;
        let client = super::client(&settings.url, ca.as_deref()).map_err(unfit)?;
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
        let made: Made = parse(&answer, "key")?;
        Ok(Zeroizing::new(made.pre_auth_key.key))
    }

    /// Has it forget the machines of this fleet for which `is_gone` says so: of a party, or of all. Returns how many.
    pub(crate) async fn forget(&self, fleet: &Name, gone: &Gone) -> Result<usize, ServerError> {
        #[derive(Deserialize)]
        struct Nodes {
            nodes: Vec<Node>,
        }
        let answer = self.ask(Method::GET, "node", None).await?;
        let nodes: Nodes = parse(&answer, "list of machines")?;
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
    ) -> Result<Zeroizing<Vec<u8>>, ServerError> {
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
        super::body(request.send().await?, &[key.trim()]).await
    }
}

impl Gone {
    fn includes(&self, fleet: &Name, tags: &[String]) -> bool {
        tags.contains(&fleet_tag(fleet))
            && match self {
                Self::All => true,
                Self::Of { parties, .. } => {
                    parties.iter().any(|party| tags.contains(&party_tag(party)))
                }
            }
    }
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
        let gone = Gone::Of {
            parties: vec![p],
            keys: vec![],
        };
        assert!(gone.includes(&fleet, &tags(&fleet, &p)));
        assert!(!gone.includes(&fleet, &tags(&fleet, &q)));
        assert!(!gone.includes(&fleet, &tags(&other, &p)));
        assert!(!gone.includes(&fleet, &[]));
        assert!(Gone::All.includes(&fleet, &tags(&fleet, &q)));
        assert!(!Gone::All.includes(&fleet, &tags(&other, &q)));
        assert!(!Gone::All.includes(&fleet, &[party_tag(&p)]));
    }

    #[test]
    fn a_key_that_is_not_there_is_told_when_the_hub_starts() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        let settings = Headscale {
            url: "http://127.0.0.1:8080".to_owned(),
            key: key.clone(),
            ca: None,
        };
        assert!(Server::open(&settings).is_err());
        files::write_secret(&key, b"word").unwrap();
        assert!(Server::open(&settings).is_ok());
    }
}
