//! Why `e3-link` cannot do what it is asked.

use std::net::SocketAddr;
use std::path::PathBuf;

use e3_client::files::FileError;
use e3_core::mesh::link::{ConfigError, RelayConfigError};

/// Why `e3-link` ends.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The configuration is wrong.
    #[error("{path} is refused")]
    Config {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: ConfigError,
    },
    /// The relay's configuration is wrong.
    #[error("{path} is refused")]
    RelayConfig {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: RelayConfigError,
    },
    /// A credential was not handed over.
    #[error("there is no credential `{0}`; the unit should have LoadCredential={0}:…")]
    NoCredential(String),
    /// A credential holds no key.
    #[error("the credential `{0}` holds no key")]
    Credential(String),
    /// The authorities cannot be used.
    #[error("the relays' authorities cannot be used: {0}")]
    Authorities(String),
    /// A relay's URL cannot be used.
    #[error("`{0}` is not the URL of a relay")]
    RelayUrl(String),
    /// No runtime, no threads.
    #[error("the system gives no threads or timers")]
    Runtime(#[source] std::io::Error),
    /// The UDP sockets cannot be bound.
    #[error("cannot open the mesh's sockets: {0}")]
    Bind(String),
    /// The control socket cannot be made or reached.
    #[error("cannot use the control socket {path}")]
    Control {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Somebody else answers there.
    #[error("another e3-link answers at {0}; stop it first")]
    ControlTaken(PathBuf),
    /// The running one does not answer as it should.
    #[error("no answer comes from {0}")]
    NoAnswer(PathBuf),
    /// The relay's certificate and key cannot be used.
    #[error("{path} cannot be used as the relay's certificate: {why}")]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The relay's sockets cannot be bound.
    #[error("the relay cannot listen at {listen}: {why}")]
    Listen {
        /// Where.
        listen: SocketAddr,
        /// Why.
        why: String,
    },
    /// A folder cannot be made.
    #[error("cannot make the folder {path}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Tor cannot be started, or has ended.
    #[error("Tor does not run: {detail}")]
    Tor {
        /// Why, and Tor's last warning.
        detail: String,
    },
    /// The sockets were closed.
    #[error("the mesh's sockets are closed")]
    Closed,
    /// The relay has ended by itself.
    #[error("the relay has stopped: {0}")]
    RelayStopped(String),
}

/// An error and its causes, from the outermost to the innermost.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some of iroh's errors repeat their causes.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// The same for what may come from a stranger, fit for one line of a terminal.
pub fn detail(error: &dyn std::error::Error) -> String {
    e3_core::text::clean(&chain(error), e3_core::text::DETAIL)
}
