//! The hub's way to the control servers of the fleet's meshes, which let nobody in without a key: keys for machines that join, and
//! machines that are to be forgotten. So the hub remembers nothing.
//!
//! - `headscale`: a server of the fleet's own.
//! - `tailscale`: Tailscale's public one.
//!
//! The server's words are for the hub's log, and for nobody else.

mod headscale;
mod tailscale;

use std::time::Duration;

use e3_client::clock::Clock;
use e3_client::files;
use e3_client::tls::{self, Authorities};
use e3_core::key::PublicKey;
use e3_core::name::Name;
use e3_core::text::clean;
use e3_core::time::Time;
use reqwest::{Client, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

pub use self::headscale::Headscale;
pub use self::tailscale::Tailscale;
use crate::store::StoreError;
use crate::{ServeError, Settings};

/// Seconds that a key is good for: a machine uses it at once.
const KEY_SECONDS: u64 = 600;
/// For one answer of a server.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer: a fleet of thousands.
const ANSWER: usize = 16 * 1024 * 1024;
/// Bytes of a refusal that are looked at, and characters of it that are logged.
const REFUSAL: (usize, usize) = (64 * 1024, 300);

/// Why the server does not do what it should. The hub's log has it, and nobody else.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("the file that lets the hub in")]
    Key(#[from] files::FileError),
    #[error("{0}")]
    Secret(&'static str),
    #[error("the hub's store")]
    Store(#[source] StoreError),
    #[error("the server cannot be asked")]
    Request(#[from] reqwest::Error),
    #[error(
        "the server refuses with HTTP {status}: {words}; is what lets the hub in the right one, and has it not expired?"
    )]
    Refused {
        status: StatusCode,
        /// The server's own, cleaned.
        words: String,
    },
    #[error("the server wants to be left alone for {seconds} s")]
    Busy { seconds: u64 },
    #[error("the server's answer is no {0}")]
    Strange(&'static str),
    #[error("the server's answer is too long")]
    TooLong,
}

/// A control server.
pub(crate) enum Server {
    Headscale(headscale::Server),
    Tailscale(tailscale::Server),
}

impl Server {
    /// Prepares for those that there are; nothing is asked yet.
    pub(crate) fn open(settings: &Settings) -> Result<Vec<Self>, ServeError> {
        let headscale = settings.headscale.as_ref();
        let headscale = headscale.map(headscale::Server::open).transpose()?;
        let tailscale = settings.tailscale.as_ref();
        let tailscale = tailscale.map(tailscale::Server::open).transpose()?;
        let headscale = headscale.map(Self::Headscale).into_iter();
        Ok(headscale.chain(tailscale.map(Self::Tailscale)).collect())
    }

    /// The mesh that it keeps together.
    pub(crate) const fn backend(&self) -> &'static str {
        match self {
            Self::Headscale(_) => "headscale",
            Self::Tailscale(_) => "tailscale",
        }
    }

    /// A key that one machine joins with, once, soon.
    pub(crate) async fn key_for(
        &self,
        fleet: &Name,
        party: &PublicKey,
        now: Time,
    ) -> Result<Zeroizing<String>, ServerError> {
        match self {
            Self::Headscale(server) => server.key_for(fleet, party, now).await,
            Self::Tailscale(server) => server.key_for(fleet, party).await,
        }
    }

    /// Has it forget the machines of this fleet that are gone. Returns how many.
    pub(crate) async fn forget(&self, fleet: &Name, gone: &Gone) -> Result<usize, ServerError> {
        match self {
            Self::Headscale(server) => server.forget(fleet, gone).await,
            Self::Tailscale(server) => server.forget(fleet, gone).await,
        }
    }
}

/// Which machines of a fleet do not belong on its server any more.
#[derive(Debug)]
pub(crate) enum Gone {
    /// All: the fleet has left it.
    All,
    /// Those of these parties.
    Of {
        /// Who.
        parties: Vec<PublicKey>,
        /// The keys that they have named as theirs on this mesh, in base64, and that nobody else names.
        keys: Vec<String>,
    },
}

/// What all machines of a fleet have in common.
fn fleet_tag(fleet: &Name) -> String {
    format!("tag:e3-{fleet}")
}

/// A client for a server at this address, which is reached by TLS or on this machine.
fn client(base: &str, ca: Option<&[u8]>) -> Result<Client, String> {
    let url = Url::parse(base).map_err(|error| error.to_string())?;
    let is_here = match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    };
    if url.scheme() != "https" && !(url.scheme() == "http" && is_here) {
        return Err("it is not https://, and not on this machine".to_owned());
    }
    let authorities = match ca {
        Some(pem) => Authorities::Pem(pem),
        None if url.scheme() == "http" => Authorities::None,
        None => Authorities::Machine,
    };
    let tls = tls::client(authorities, Clock::default())?;
    Client::builder()
        .tls_backend_preconfigured(tls)
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| error.to_string())
}

/// What a server answers, if that is good. `secrets` stand in no log, even if it says them.
async fn body(mut answer: Response, secrets: &[&str]) -> Result<Zeroizing<Vec<u8>>, ServerError> {
    let status = answer.status();
    if status != StatusCode::OK {
        let said = read(&mut answer, REFUSAL.0).await.unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let is_told = !secrets.iter().any(|secret| said.contains(secret));
        let words = if is_told {
            clean(&said, REFUSAL.1)
        } else {
            String::new()
        };
        return Err(ServerError::Refused { status, words });
    }
    read(&mut answer, ANSWER).await
}

async fn read(answer: &mut Response, limit: usize) -> Result<Zeroizing<Vec<u8>>, ServerError> {
    let mut bytes = Zeroizing::new(Vec::new());
    while let Some(piece) = answer.chunk().await? {
        if bytes.len() + piece.len() > limit {
            return Err(ServerError::TooLong);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// An answer as what it should be. What is wrong with it is not told: it may hold a key.
fn parse<T: DeserializeOwned>(answer: &[u8], what: &'static str) -> Result<T, ServerError> {
    serde_json::from_slice(answer).map_err(|_| ServerError::Strange(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_reached_by_tls_or_on_this_machine() {
        for good in [
            "https://hs.example.org",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "http://localhost:8080",
        ] {
            assert!(client(good, None).is_ok(), "{good}");
        }
        for bad in [
            "http://hs.example.org",
            "http://127.0.0.1.example.org",
            "ftp://127.0.0.1",
            "hs",
        ] {
            assert!(client(bad, None).is_err(), "{bad}");
        }
    }
}
