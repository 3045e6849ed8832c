//! Why a hub does not start. What it answers to requests is in [`crate::api`].

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use e3_core::envelope::EnvelopeError;
use e3_core::trust::TrustError;

/// Why a hub does not start, or a store cannot be initialised.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Not a folder, not a bucket.
    #[error("`{text}` is no place for a hub's documents; give a folder or s3://bucket/prefix")]
    Location {
        /// What was given.
        text: String,
    },
    /// This build cannot speak to S3.
    #[error("{url} needs a build with S3 support; build with `--features s3`, or give a folder")]
    NoS3 {
        /// What was given.
        url: String,
    },
    /// The file holds no credentials.
    #[error("{path} needs the lines aws_access_key_id = … and aws_secret_access_key = …")]
    Credentials {
        /// The file.
        path: PathBuf,
    },
    /// A folder or file cannot be used.
    #[error("{path} cannot be used; check that it exists and who may read and write it")]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The store does not answer.
    #[error("the hub's store cannot be used; check its address, and access to it")]
    Store {
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
    /// The store does not do what it should.
    #[error(
        "the hub's store cannot be read or written; check that it is not full, and access to it"
    )]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nobody has put a first root there.
    #[error("there is no fleet in {location}; make one with `e3 fleet new`")]
    NotInitialised {
        /// The store.
        location: String,
    },
    /// Another fleet lies there.
    #[error("{location} holds another fleet or another head already; take an empty place")]
    AlreadyInitialised {
        /// The store.
        location: String,
    },
    /// The first root is none.
    #[error("this is not a fleet's first root; make one with `e3 fleet new`")]
    Root(#[source] TrustError),
    /// The first root has another version than 1.
    #[error("a fleet starts with root version 1, this is version {version}")]
    RootVersion {
        /// Its version.
        version: u64,
    },
    /// The bytes are no envelope in its one-line form.
    #[error("this is not an envelope as the hub stores it; publish the file as it was signed")]
    Envelope(#[source] EnvelopeError),
    /// The first head does not fit the root.
    #[error("the first head does not stand on this root; sign it again")]
    Head(#[source] TrustError),
    /// Keys to the mesh cannot be made with this.
    #[error("the Headscale {url} cannot be used as it is given: {detail}")]
    Headscale {
        /// Its address.
        url: String,
        /// Why.
        detail: String,
    },
    /// Keys to a tailnet cannot be made with this.
    #[error("Tailscale cannot be asked for keys as it is said: {detail}")]
    Tailscale {
        /// Why.
        detail: String,
    },
    /// The port is taken, or may not be used.
    #[error(
        "{address} cannot be listened on; choose another one with `--listen`, or stop who uses it"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The files hold no certificate and key that fit together.
    #[error("{path} holds no certificate, or no key that fits it; give PEM files of one pair")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What TLS said.
        #[source]
        source: rustls::Error,
    },
    /// Making a certificate failed.
    #[error("no certificate can be made for {names}; give host names or IP addresses")]
    Issue {
        /// The names asked for.
        names: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
}
