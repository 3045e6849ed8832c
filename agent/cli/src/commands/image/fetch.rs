//! `e3 image fetch`: a published image onto this computer.

use std::path::Path;

use e3_client::human;
use e3_image::published::{Fetched, Order, Progress, fetch};
use serde_json::json;

use super::{published, work};
use crate::args::ImageFetch;
use crate::error::Error;
use crate::output::{self, Answer, Output};

pub(super) async fn run(args: &ImageFetch, output: &Output) -> Result<Answer, Error> {
    let Some((list, key)) = published::list(&args.published, output).await? else {
        return Err(Error::Usage {
            message: "it is not said where the list of images is".to_owned(),
            remedy: "Name it with --from https://host/images.json, or in E3_IMAGES.",
        });
    };
    let image = list
        .find(&args.name, args.arch.as_deref())
        .map_err(e3_image::ImageError::from)?
        .clone();
    let (wanted, folder) = (image.clone(), args.out.clone());
    let Fetched {
        path,
        had,
        was_there,
    } = work::run(output, move |stop, meter| {
        let order = Order {
            list: &list,
            image: &wanted,
            folder: &folder,
        };
        let size = wanted.content.size;
        fetch(&order, stop, &mut |progress| match progress {
            Progress::Reading(done) => meter.show("read", done, size),
            Progress::Fetching(done) => meter.show("fetch", done, size),
        })
    })
    .await?;
    let plain = path.strip_prefix(".").unwrap_or(&path);
    let how = if was_there {
        "was here already"
    } else {
        "is here"
    };
    let (size, digest) = (human::size(image.content.size), image.content.digest);
    let text = format!(
        "{} {how}, {size}, as {key} has signed it:\n{digest}\n{}",
        output::shown(plain),
        next(&image.image, plain)
    );
    Ok(Answer::new(
        text,
        json!({
            "file": output::named(&path), "image": image.image, "arch": image.arch, "size": image.content.size,
            "sha256": digest.hex(), "made": image.made, "signed_by": key, "had": had, "was_there": was_there,
        }),
    ))
}

/// What to do with it.
fn next(image: &str, path: &Path) -> String {
    let file = crate::manifest::text::word(path);
    match image {
        "raspberrypi" | "raspberrypi5" => {
            format!("Next:  e3 image flash {file} --to DISK --join NAME.toml\n")
        }
        "wsl" | "iso" | "qemu" => format!("Next:  e3 image inject {file} --join NAME.toml\n"),
        "digitalocean" => format!("Next:  e3 image upload digitalocean {file} --space SPACE\n"),
        _ => String::new(),
    }
}
