//! Writing to a hub. There are no passwords: the hub takes what the fleet's keys have signed, and
//! what such a document names.

use e3_core::digest::Digest;
use e3_core::key::PublicKey;
use http::Method;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{Hub, HubError, Way, blob_path};

/// A hub's answer to a write is a word or an error.
const ANSWER: u64 = 65_536;

impl Hub {
    /// Publishes a head in place of the one with this tag, or as the first one.
    pub async fn put_head(&self, head: Vec<u8>, replaces: Option<&str>) -> Result<(), HubError> {
        let condition = match replaces {
            Some(etag) => (IF_MATCH, etag),
            None => (IF_NONE_MATCH, "*"),
        };
        self.send(Method::PUT, "head.json", head, Some(condition))
            .await
    }

    /// Publishes the next root.
    pub async fn put_root(&self, version: u64, root: Vec<u8>) -> Result<(), HubError> {
        self.send(Method::PUT, &format!("root/{version}.json"), root, None)
            .await
    }

    /// Uploads a session's envelope and returns the digest it is stored by.
    pub async fn put_session(&self, envelope: Vec<u8>) -> Result<Digest, HubError> {
        let digest = Digest::of(&envelope);
        self.send(
            Method::PUT,
            &format!("{}?kind=session", blob_path(&digest)),
            envelope,
            None,
        )
        .await?;
        Ok(digest)
    }

    /// Uploads something that an uploaded session names.
    pub async fn put_blob(&self, session: &Digest, bytes: Vec<u8>) -> Result<(), HubError> {
        let path = format!(
            "{}?session={}",
            blob_path(&Digest::of(&bytes)),
            session.hex()
        );
        self.send(Method::PUT, &path, bytes, None).await
    }

    /// Uploads a release's envelope.
    pub async fn put_release(&self, envelope: Vec<u8>) -> Result<Digest, HubError> {
        let digest = Digest::of(&envelope);
        self.send(
            Method::PUT,
            &format!("{}?kind=release", blob_path(&digest)),
            envelope,
            None,
        )
        .await?;
        Ok(digest)
    }

    /// Uploads a binary that an uploaded release names.
    pub async fn put_binary(&self, release: &Digest, bytes: Vec<u8>) -> Result<(), HubError> {
        let path = format!(
            "{}?release={}",
            blob_path(&Digest::of(&bytes)),
            release.hex()
        );
        self.send(Method::PUT, &path, bytes, None).await
    }

    /// Publishes a party's receipt for the session whose envelope is stored by `session`.
    pub async fn put_receipt(
        &self,
        session: &Digest,
        manifest: &Digest,
        party: usize,
        receipt: Vec<u8>,
    ) -> Result<(), HubError> {
        let path = format!(
            "receipts/{}/{party}.json?session={}",
            manifest.hex(),
            session.hex()
        );
        self.send(Method::PUT, &path, receipt, None).await
    }

    /// Publishes a party's presence.
    pub async fn put_presence(&self, party: &PublicKey, presence: Vec<u8>) -> Result<(), HubError> {
        self.send(
            Method::PUT,
            &format!("presence/{party}.json"),
            presence,
            None,
        )
        .await
    }

    /// Leaves a request for a party.
    pub async fn put_request(&self, party: &PublicKey, request: Vec<u8>) -> Result<(), HubError> {
        self.send(
            Method::PUT,
            &format!("requests/{party}.json"),
            request,
            None,
        )
        .await
    }

    /// Leaves a party's answer to the request that the hub has for it.
    pub async fn put_answer(&self, party: &PublicKey, answer: Vec<u8>) -> Result<(), HubError> {
        self.send(Method::PUT, &format!("answers/{party}.json"), answer, None)
            .await
    }

    /// Publishes a certificate for a party's key on a mesh.
    pub async fn put_grant(
        &self,
        backend: &str,
        party: &PublicKey,
        grant: Vec<u8>,
    ) -> Result<(), HubError> {
        let path = format!("mesh/{backend}/{party}.json");
        self.send(Method::PUT, &path, grant, None).await
    }

    /// Enrols a machine. Doing it again with the same identity is no error.
    pub async fn enrol(&self, enrolment: &[u8], invite: &[u8]) -> Result<(), HubError> {
        let body = [b"{\"enrolment\":", enrolment, b",\"invite\":", invite, b"}"].concat();
        self.send(Method::POST, "v1/enrol", body, None).await
    }

    /// Takes an invite back, with whoever has enrolled by it. Doing it again is no error.
    pub async fn withdraw(&self, invite: &Digest, withdrawal: Vec<u8>) -> Result<(), HubError> {
        let path = format!("withdrawn/{}.json", invite.hex());
        self.send(Method::PUT, &path, withdrawal, None).await
    }

    /// Asks for a key to a mesh, and returns what the hub has sealed for whoever asks.
    pub async fn mesh_key(&self, backend: &str, request: Vec<u8>) -> Result<String, HubError> {
        #[derive(serde::Deserialize)]
        struct Answer {
            key: String,
        }
        let path = format!("v1/mesh/{backend}/key");
        let answer: Answer = self.ask(&path, request).await?;
        Ok(answer.key)
    }

    /// A challenge that whoever wants to look at the hub's page signs.
    pub async fn login_challenge(&self) -> Result<String, HubError> {
        #[derive(serde::Deserialize)]
        struct Answer {
            challenge: String,
        }
        let answer: Answer = self.ask("v1/login/challenge", Vec::new()).await?;
        Ok(answer.challenge)
    }

    /// A code for the hub's page, good once and for so many seconds, in return for a signed challenge.
    pub async fn login(&self, login: Vec<u8>) -> Result<(Zeroizing<String>, u64), HubError> {
        #[derive(serde::Deserialize)]
        struct Answer {
            code: String,
            seconds: u64,
        }
        let answer: Answer = self.ask("v1/login", login).await?;
        Ok((Zeroizing::new(answer.code), answer.seconds))
    }

    /// Posts something, and reads the JSON that comes back.
    async fn ask<T: DeserializeOwned>(&self, path: &str, body: Vec<u8>) -> Result<T, HubError> {
        let response = self.answered(Method::POST, path, body, None).await?;
        let body = self.body(response, path, ANSWER).await?;
        serde_json::from_slice(&body).map_err(|error| HubError::Malformed {
            what: path.to_owned(),
            detail: error.to_string(),
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        condition: Option<(http::HeaderName, &str)>,
    ) -> Result<(), HubError> {
        self.answered(method, path, body, condition).await.map(drop)
    }

    /// The answer to a write that the hub has taken.
    async fn answered(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        condition: Option<(http::HeaderName, &str)>,
    ) -> Result<reqwest::Response, HubError> {
        let Way::Http { base, lines, .. } = &self.way else {
            return Err(HubError::ReadOnly {
                url: self.url.clone(),
            });
        };
        let mut request = lines
            .requests()
            .request(method, format!("{base}/{path}"))
            .body(body);
        if let Some((name, value)) = condition {
            request = request.header(name, value);
        }
        let since = lines.since_now();
        let response = since.unless_moved(&self.url, request.send()).await?;
        let status = response.status().as_u16();
        if response.status().is_success() {
            return Ok(response);
        }
        // A static host answers 405 or 501 to everything but reads.
        if matches!(status, 405 | 501) {
            return Err(HubError::ReadOnly {
                url: self.url.clone(),
            });
        }
        Err(HubError::of_status(
            status,
            path,
            &self.body(response, path, ANSWER).await?,
        ))
    }
}
