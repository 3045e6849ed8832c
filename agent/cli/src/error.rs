//! What can go wrong in a command: what happened, what to do about it, and the exit code.
//!
//! Messages come from where the error arose; exit codes, words for scripts and the remedies that only
//! the command knows are in `remedy`.

mod remedy;

use std::io;
use std::path::PathBuf;

use e3_client::files::FileError;
use e3_client::hub::HubError;
use e3_core::document::{AskRefusal, DocumentError};
use e3_core::envelope::EnvelopeError;
use e3_core::time::Time;
use e3_core::trust::{Refusal, TrustError};

use crate::fleet_file::FleetError;
use crate::manifest::ManifestError;
use crate::manifest::bundle::BundleError;

/// Exit codes, as `e3 --help` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It worked.
    Ok = 0,
    /// The session failed, or a check found something wrong.
    Failed = 1,
    /// Flags, files, keys or manifests are wrong.
    Input = 2,
    /// Nobody answers.
    Unreachable = 3,
    /// The hub, the trust rules or a policy say no.
    Refused = 4,
    /// A fault in e3 itself.
    Internal = 70,
    /// Ctrl-C.
    Interrupted = 130,
}

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no key where one is needed.
    #[error("there is no secret key at {path}")]
    NoKey {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The home folder is not known, so the default key file is not either.
    #[error("the folder of your key and settings cannot be told: HOME is not set")]
    NoHome,
    /// Nor is the folder for what is kept between two commands.
    #[error("the cache folder cannot be told: neither XDG_CACHE_HOME nor HOME is set")]
    NoCache,
    /// The fleet's folder or file.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// Something that must not be overwritten is there.
    #[error("{path} exists already")]
    Exists {
        /// What.
        path: PathBuf,
    },
    /// A folder that cannot be made, listed or renamed.
    #[error("cannot {action} {path}")]
    Folder {
        /// `make`, `list`, `rename`.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The trust state in the fleet's folder is damaged.
    #[error("{path} is not a trust state of e3")]
    TrustState {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// Rule 12: there has been a trust state, and it is gone.
    #[error("{path} is gone, so nobody can tell whether the hub shows old documents")]
    TrustStateGone {
        /// The file.
        path: PathBuf,
    },
    /// The trust state belongs to another fleet than fleet.toml.
    #[error("{path} is about another first root than fleet.toml")]
    OtherRoot {
        /// The file.
        path: PathBuf,
    },
    /// A manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The hub.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The trust rules.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A session that the trust rules refuse.
    #[error("the session {name} is refused")]
    Session {
        /// Its name or digest.
        name: String,
        /// Why.
        #[source]
        source: Refusal,
    },
    /// An envelope in a file.
    #[error("{what} is refused")]
    Envelope {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: EnvelopeError,
    },
    /// A document that makes no sense and is therefore not signed.
    #[error("the {what} cannot be signed")]
    Document {
        /// `root`, `head`, `invite`.
        what: &'static str,
        /// Why not.
        #[source]
        source: DocumentError,
    },
    /// The key may not do that.
    #[error("the key {key} may not sign the fleet's {role}")]
    NotAllowed {
        /// The key.
        key: String,
        /// `head`, `invites`, …
        role: &'static str,
    },
    /// The head is signed once, and needs more signatures.
    #[error("head {counter} is signed, and {threshold} signatures are needed: it waits in {path}")]
    MoreSignatures {
        /// Its counter.
        counter: u64,
        /// Signatures needed.
        threshold: usize,
        /// Where it is.
        path: PathBuf,
    },
    /// The bundle lacks signatures.
    #[error("{valid} of the fleet's session keys have signed {name}, {threshold} must")]
    Unsigned {
        /// The session.
        name: String,
        /// Signatures that count.
        valid: usize,
        /// Signatures needed.
        threshold: usize,
    },
    /// No session of that name.
    #[error("there is no session `{0}` in the fleet's head{known}", known = known(.1))]
    NoSuchSession(String, Vec<String>),
    /// No party of that name.
    #[error("no party `{0}` has enrolled{known}", known = known(.1))]
    NoSuchParty(String, Vec<String>),
    /// A machine does not answer.
    #[error("{name} has not answered within {seconds} s{}", .seen.map_or_else(String::new, |seen| format!("; it was heard {} ago", crate::output::table::seconds(seen))))]
    NoAnswer {
        /// The party.
        name: String,
        /// How long it was waited for.
        seconds: u64,
        /// Seconds since it was heard, if it ever was.
        seen: Option<i64>,
    },
    /// A machine does not do what it was asked.
    #[error("{name} does not do it: {reason}")]
    Declined {
        /// The party.
        name: String,
        /// Why.
        reason: AskRefusal,
        /// What time it is for the machine, and here.
        times: (Time, Time),
    },
    /// An answer that cannot be one.
    #[error("the answer of {name} cannot be read: {detail}")]
    BadAnswer {
        /// The party.
        name: String,
        /// Why.
        detail: String,
    },
    /// The party has no certificate for the mesh.
    #[error("{name} has no certificate")]
    NoCertificate {
        /// The party.
        name: String,
    },
    /// A program that E3 uses.
    #[error("{program} does not do what it should: {detail}")]
    Program {
        /// Which.
        program: &'static str,
        /// What it or the system says.
        detail: String,
    },
    /// The head has no room.
    #[error("the head is full: it names {sessions} sessions and would have {size} bytes")]
    HeadFull {
        /// Sessions in it.
        sessions: usize,
        /// Its size.
        size: usize,
    },
    /// The session is over, or not there any more, before the answer was complete.
    #[error("no verdict after {seconds} s: {missing} of {parties} receipts are not there")]
    NoVerdict {
        /// How long it was waited for.
        seconds: u64,
        /// Receipts missing.
        missing: usize,
        /// Parties.
        parties: usize,
    },
    /// Flags that do not fit together.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to do.
        remedy: &'static str,
    },
    /// An image, or the disk that it goes to.
    #[error(transparent)]
    Image(#[from] e3_image::ImageError),
    /// Nix did not build an image.
    #[error("Nix has not built {name}; it said:\n{said}")]
    Build {
        /// Which.
        name: String,
        /// The last lines.
        said: String,
    },
    /// The hub could not start or died.
    #[error("the hub cannot serve at {listen}")]
    Serve {
        /// Where.
        listen: String,
        /// Why.
        #[source]
        source: e3_hub::ServeError,
    },
    /// `e3 hub serve --relay` found no relay to start.
    #[error("there is no e3-link: {}", .program.as_ref().map_or_else(|| "neither beside e3 nor in PATH".to_owned(), |path| format!("it is not {}", path.display())))]
    NoLinkBinary {
        /// Where it was to be, if somebody said.
        program: Option<PathBuf>,
    },
    /// The relay beside the hub does not start.
    #[error("the relay does not start: {detail}")]
    Relay {
        /// What it said.
        detail: String,
    },
    /// The head names another authority for the relay than this folder has.
    #[error("the fleet's head names a certificate authority for the relay that is not in {folder}")]
    OtherAuthority {
        /// Where it should be.
        folder: PathBuf,
    },
    /// `e3 demo` found no agent to start.
    #[error("there is no e3-agent: neither in E3_AGENT, nor beside e3, nor in PATH")]
    NoAgentBinary,
    /// An agent of the demo did not come up.
    #[error("the machine {name} did not join; its agent said:\n{log}")]
    Agent {
        /// The machine.
        name: String,
        /// The end of its log.
        log: String,
    },
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The asynchronous runtime.
    #[error("the runtime failed")]
    Runtime(#[source] io::Error),
}

impl From<BundleError> for Error {
    fn from(error: BundleError) -> Self {
        Self::Manifest(error.into())
    }
}

fn known(names: &[String]) -> String {
    if names.is_empty() {
        String::new()
    } else {
        format!("; there is: {}", names.join(", "))
    }
}
