//! Why a fleet folder cannot be used.

use std::path::PathBuf;

use e3_client::files::FileError;
use e3_core::trust::TrustError;

use super::FILE;
use crate::manifest::problem::Problems;

/// Why a fleet folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// None was given and none found.
    #[error(
        "there is no {FILE} in {start} or above it; go to your fleet's folder, give it with --fleet FOLDER or \
         E3_FLEET, or make a new fleet with `e3 fleet new`"
    )]
    NotFound {
        /// Where the search began.
        start: PathBuf,
    },
    /// The folder that was given is none.
    #[error(
        "{folder} is no fleet folder, there is no {FILE} in it; give another one with --fleet FOLDER or E3_FLEET"
    )]
    NoFleet {
        /// The folder.
        folder: PathBuf,
    },
    /// A new fleet may not replace one.
    #[error("{path} exists already; choose another folder, a fleet is never overwritten")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// What is wrong in the file.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// The root chain is not there.
    #[error(
        "{path} is missing, so nobody can tell which keys count; run `e3 fleet status` to fetch it from the hub"
    )]
    NoRoot {
        /// The file.
        path: PathBuf,
    },
    /// The root chain does not hold.
    #[error(
        "{path} is no root of this fleet; restore it from a backup, or remove it and run `e3 fleet status`"
    )]
    Root {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: TrustError,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}
