//! What whoever starts a hub may choose, with defaults that fit a small machine.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use e3_core::time::Time;
use object_store::ObjectStore;

use crate::{Headscale, ServeError, Tailscale};

/// Everything that [`crate::serve`] needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the documents lie.
    pub location: Location,
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Whether and how to speak TLS.
    pub tls: Tls,
    /// The control server of the fleet's mesh, if that is a Headscale.
    pub headscale: Option<Headscale>,
    /// The tailnet of the fleet's mesh, if that is Tailscale's.
    pub tailscale: Option<Tailscale>,
    /// Who is shown the page.
    pub page: Page,
    /// The system's clock: the hub does not read it itself.
    pub clock: fn() -> Time,
    /// Bounds against misuse.
    pub limits: Limits,
}

impl Settings {
    /// Plain HTTP with the default bounds.
    pub fn new(location: Location, listen: SocketAddr, clock: fn() -> Time) -> Self {
        Self {
            location,
            listen,
            tls: Tls::None,
            headscale: None,
            tailscale: None,
            page: Page::default(),
            clock,
            limits: Limits::default(),
        }
    }
}

/// Who is shown the fleet's page. Its documents can be read by whoever reaches the hub: parties must, and show no credentials.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Page {
    /// Everybody a summary: names, states, sessions. Whoever signs in with an owner's key everything.
    #[default]
    Everyone,
    /// Nobody but who signs in.
    Owners,
    /// Nobody: there is no page.
    Off,
}

/// Where the documents lie. As text: a folder's path, or `s3://bucket/prefix`.
#[derive(Clone)]
pub enum Location {
    /// A folder of this machine. It is made if it is not there.
    Folder(PathBuf),
    /// An S3-compatible store; needs the feature `s3`.
    S3(S3),
    /// Any other store that can put a new object only if there is none, and replace one only if it
    /// is still the one that was read.
    Other(Arc<dyn ObjectStore>),
}

/// An S3-compatible store.
#[derive(Debug, Clone, Default)]
pub struct S3 {
    /// `s3://bucket/prefix`.
    pub url: String,
    /// The server, unless it is Amazon's.
    pub endpoint: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// A file with the lines `aws_access_key_id = …` and `aws_secret_access_key = …`. Without it the
    /// machine's own role is asked for: secrets never come by way of the environment.
    pub credentials: Option<PathBuf>,
}

impl FromStr for Location {
    type Err = ServeError;
    fn from_str(text: &str) -> Result<Self, ServeError> {
        match text.split_once("://") {
            Some(("s3", _)) => Ok(Self::S3(S3 {
                url: text.to_owned(),
                ..S3::default()
            })),
            Some(("file", path)) if path.starts_with('/') => Ok(Self::Folder(path.into())),
            Some(_) => Err(ServeError::Location {
                text: text.to_owned(),
            }),
            None => Ok(Self::Folder(text.into())),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::S3(s3) => f.write_str(&s3.url),
            Self::Other(store) => write!(f, "{store}"),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

/// How connections are protected. What the hub serves is signed anyway; TLS hides who reads what
/// and spares honest readers a tampering network's denials.
#[derive(Debug, Clone)]
pub enum Tls {
    /// Plain HTTP: behind a proxy that speaks TLS, or on one machine.
    None,
    /// A certificate that somebody else keeps current; its files are read again when they change.
    Files {
        /// The certificate chain, PEM.
        certificate: PathBuf,
        /// Its key, PEM.
        key: PathBuf,
    },
    /// The hub's own certificate authority, made once in this folder, and a server certificate under
    /// it that renews itself. The authority goes into the join files: [`crate::Bound::ca_pem`].
    SelfSigned {
        /// Where both are kept; secret files get mode 0600.
        folder: PathBuf,
        /// The host names and IP addresses that machines know the hub by.
        names: Vec<String>,
    },
}

/// Bounds against misuse.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time. 20,000 take about 400 MiB.
    pub connections: usize,
    /// Connections at a time from one IPv4 address or IPv6 /64. Raise it for a hub behind a proxy or a
    /// fleet behind one NAT.
    pub connections_per_address: usize,
    /// From the last byte of an answer, or the connection, to the end of the next request's header.
    pub header: Duration,
    /// For a TLS handshake.
    pub handshake: Duration,
    /// The longest silence within a request's body.
    pub body_silence: Duration,
    /// Bytes per second that a body must reach on average, once `body_silence` has passed.
    pub body_rate: u64,
    /// Bytes of request bodies held in memory at a time, over all connections.
    pub bodies: usize,
    /// How long a reader may take nothing at all before it is cut off.
    pub write_stall: Duration,
    /// How long a hub that stops waits for answers that are under way.
    pub drain: Duration,
    /// How often a comment line keeps idle push streams open.
    pub keep_alive: Duration,
    /// How often other hubs' changes of the head are looked for while there are subscribers.
    pub refresh: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connections: 20_000,
            connections_per_address: 4_096,
            header: seconds(10),
            handshake: seconds(10),
            body_silence: seconds(10),
            body_rate: 8 * 1024,
            bodies: 256 * 1024 * 1024,
            write_stall: seconds(30),
            drain: seconds(5),
            keep_alive: seconds(30),
            refresh: seconds(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_folder_or_a_bucket() {
        assert!(matches!("/var/lib/e3-hub".parse(), Ok(Location::Folder(_))));
        assert!(matches!("file:///srv".parse(), Ok(Location::Folder(path)) if path == *"/srv"));
        assert!(
            matches!("s3://b/p".parse(), Ok(Location::S3(S3 { url, .. })) if url == "s3://b/p")
        );
        assert!(matches!(
            "ftp://b/p".parse::<Location>(),
            Err(ServeError::Location { .. })
        ));
    }
}
