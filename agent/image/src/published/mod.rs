//! Images that somebody publishes: their list, and the files that it names.
//!
//! A list is a document of `e3-core` ([`Images`]), signed by one key that its reader names; nothing comes with e3 that would
//! decide for him. Where it lies, and whoever carries it, can withhold it, and no more: the newest number that was ever seen of a
//! key is [remembered](seen), and a file counts by its digest alone, wherever redirects lead.
//!
//! | the attack | what keeps it out |
//! |---|---|
//! | another list, or a changed one | the signature of the key that was named |
//! | yesterday's list as today's, or two lists of one number | [`seen`] |
//! | another file, or a changed one | its digest, before it has its name ([`fetch`]) |
//! | more bytes than the list says, or no end of them | the length, counted as they come |
//! | a name that leaves the folder | `Images::check` |
//! | from https to http | redirects only go the other way |

mod address;
mod error;
pub mod fetch;
pub mod list;
mod part;
pub mod seen;

use std::future::Future;

pub use e3_core::document::{Images, PublishedImage};

pub use self::address::Address;
pub use self::error::PublishedError;
pub use self::fetch::{Fetched, Order, Progress, fetch};
pub use self::list::{Published, read};
use crate::error::ImageError;
use crate::stop::Stop;

/// Runs what waits for others, until it is done or somebody presses Ctrl-C.
fn wait_for<T>(
    stop: &Stop,
    left: &str,
    work: impl Future<Output = Result<T, ImageError>>,
) -> Result<T, ImageError> {
    e3_client::tls::install();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(PublishedError::Runtime)?;
    runtime.block_on(async {
        tokio::select! {
            done = work => done,
            () = stop.asked() => Err(ImageError::Stopped { left: left.to_owned() }),
        }
    })
}
