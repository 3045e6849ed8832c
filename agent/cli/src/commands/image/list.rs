//! `e3 image list`: which images lie here.

use std::path::Path;

use e3_client::human;
use e3_core::text;
use e3_image::source::Image;
use e3_image::{ImageError, shelf, sums};
use serde_json::{Value, json};

use super::work;
use crate::args::ImageList;
use crate::error::Error;
use crate::output::table::table;
use crate::output::{Answer, Output};

/// Characters of a file's name.
const NAME: usize = 200;

pub(super) async fn run(args: &ImageList, output: &Output) -> Result<Answer, Error> {
    let found = shelf::look(&args.folder)?;
    let hashes = if args.no_hash {
        vec![None; found.len()]
    } else {
        let images = found.clone();
        work::run(output, move |stop, meter| {
            let mut hashes = Vec::new();
            for found in images {
                let step = text::clean(plain(&found.path), NAME);
                let total = found.size.max(1);
                let mut tell =
                    |done: u64| meter.show(&step, done, done.saturating_mul(1000) / total);
                let hash = match Image::open(&found.path) {
                    Ok(image) => sums::packed(&image, stop, &mut tell).map(Some),
                    // Packed with what is not unpacked here, or broken: listed all the same.
                    Err(_) => Ok(None),
                };
                hashes.push(match hash {
                    Err(error @ ImageError::Stopped { .. }) => return Err(error),
                    other => other.ok().flatten(),
                });
            }
            Ok(hashes)
        })
        .await?
    };
    let shown: Vec<Value> = found
        .iter()
        .zip(&hashes)
        .map(|(found, hash)| {
            json!({"file": found.path, "size": found.size, "image": found.image, "arch": found.arch, "sha256": hash})
        })
        .collect();
    if found.is_empty() {
        let folder = args.folder.display();
        let text =
            format!("There is no image in {folder}\nBuild one with `e3 image build NAME`.\n");
        return Ok(Answer::new(text, json!({"images": shown})));
    }
    let dash = || "-".to_owned();
    let rows: Vec<[String; 5]> = found
        .iter()
        .zip(hashes)
        .map(|(found, hash)| {
            [
                text::clean(plain(&found.path), NAME),
                human::size(found.size),
                found.image.clone().unwrap_or_else(dash),
                found.arch.map_or_else(dash, str::to_owned),
                hash.unwrap_or_else(dash),
            ]
        })
        .collect();
    let text = table(["FILE", "SIZE", "IMAGE", "ARCH", "SHA-256"], &rows);
    Ok(Answer::new(text, json!({"images": shown})))
}

/// `./result/x` as `result/x`.
fn plain(path: &Path) -> &str {
    let path = path.strip_prefix(".").unwrap_or(path);
    path.to_str().unwrap_or("a name that is not text")
}
