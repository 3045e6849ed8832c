//! The list of published images that a command was given: where it is, and whose.

use e3_core::key::PublicKey;
use e3_image::published::{Address, Published, read, seen};

use super::work;
use crate::args::PublishedArgs;
use crate::commands::key;
use crate::error::Error;
use crate::output::Output;

/// Reads the list, if one was named.
pub(super) async fn list(
    args: &PublishedArgs,
    output: &Output,
) -> Result<Option<(Published, PublicKey)>, Error> {
    // An empty variable is none.
    let Some(from) = args.from.as_deref().filter(|from| !from.is_empty()) else {
        return Ok(None);
    };
    let Some(key) = args.signed_by.as_deref().filter(|key| !key.is_empty()) else {
        return Err(Error::Usage {
            message: "it is not said who must have signed the list of images".to_owned(),
            remedy: "Name its publisher's key with --signed-by did:key:…, or in E3_IMAGES_KEY. Leave --from and E3_IMAGES out to see what lies here alone.",
        });
    };
    let key: PublicKey = key.parse().map_err(|error| Error::Usage {
        message: format!("the key of who publishes images is none: {error}"),
        remedy: "Write it in --signed-by or E3_IMAGES_KEY as its publisher shows it: did:key:z6Mk…",
    })?;
    let from = Address::parse(from).map_err(e3_image::ImageError::from)?;
    let seen = seen::Seen(key::settings()?.join(seen::FILE));
    let list = work::run(output, move |stop, _| read(&from, &key, &seen, stop)).await?;
    Ok(Some((list, key)))
}
