//! Updates of the agent itself: `e3_core::update` carried out.
//!
//! - [`stage0`]: the first thing that `e3-agent run` does: chooses what runs, and becomes it.
//! - [`worker`]: in the running agent: follows the head's release, proves a new agent or gives it up.
//! - `errand`: when it follows: at once, and again after a failure.
//! - [`fetch`]: brings a binary to its place with `self_update`, checked by the trust rules.
//! - [`check`]: lets a binary check itself before it is ever tried.
//! - [`effect`]: which agent runs, and which one is to follow, for whoever asks.
//! - [`disk`]: where binaries, their releases and the state lie, and whether they are what was signed.
//!
//! What lies where, below the state folder: `update.json`, and for each binary
//! `bin/<sha256>/e3-agent` with `bin/<sha256>/release.json`, the signed release that names it.

use std::path::Path;

use e3_core::digest::{Blob, Digest};
use e3_core::document::Root;
use e3_core::trust::open_release;
use e3_core::update::Image;

pub mod check;
pub mod disk;
pub mod effect;
mod errand;
pub mod fetch;
pub mod stage0;
pub mod worker;

pub use effect::InEffect;
pub use stage0::Entered;
pub use worker::Updater;

/// The version of this binary.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The binaries that this machine runs: static ones for its processor, because those run on every
/// Linux, whatever the installed one was built for.
pub fn target() -> String {
    format!("{}-unknown-linux-musl", std::env::consts::ARCH)
}

/// Does what takes long in a thread of its own. An SD card may take seconds to take in a binary, a small
/// processor to hash one, and an agent that stands still for that long ends its session.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| error.to_string())
}

/// Rule 9, for what is on the disk or just came in: the release is signed to the root's threshold,
/// names this binary for this machine, and the file at `path` is that binary. The text says why not.
fn verify(root: &Root, release: &[u8], file: &Blob, path: &Path) -> Result<(), String> {
    names(root, release, file)?;
    disk::open_whole(path, file).map(drop)
}

/// The release's half of [`verify`].
fn names(root: &Root, release: &[u8], file: &Blob) -> Result<(), String> {
    let release = open_release(root, release).map_err(|error| crate::text::chain(&error))?;
    let image = Image::of(&release.document, &target()).map_err(|trouble| trouble.to_string())?;
    if image.file == *file {
        Ok(())
    } else {
        let named: Digest = image.file.digest;
        Err(format!("its release names {named}, not {}", file.digest))
    }
}
