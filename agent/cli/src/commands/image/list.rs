//! `e3 image list`: which images lie here, and which somebody publishes.

use std::path::Path;

use e3_client::human;
use e3_core::digest::Digest;
use e3_core::key::PublicKey;
use e3_image::published::{Images, Published, PublishedImage};
use e3_image::shelf::Found;
use e3_image::{ImageError, shelf, sums};
use serde_json::{Value, json};

use super::{published, work};
use crate::args::ImageList;
use crate::error::Error;
use crate::output::table::table;
use crate::output::{self, Answer, Output};

pub(super) async fn run(args: &ImageList, output: &Output) -> Result<Answer, Error> {
    let list = published::list(&args.published, output).await?;
    let found = shelf::look(&args.folder)?;
    let hashes = if args.no_hash {
        vec![None; found.len()]
    } else {
        let images = found.clone();
        work::run(output, move |stop, meter| {
            let mut hashes = Vec::new();
            for found in images {
                let step = plain(&found.path);
                let mut tell = |done| meter.show(&step, done, found.size);
                hashes.push(match sums::of_file(&found.path, stop, &mut tell) {
                    Err(error @ ImageError::Stopped { .. }) => return Err(error),
                    // What cannot be read is listed all the same.
                    other => other.ok(),
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
            json!({"file": output::named(&found.path), "size": found.size, "image": found.image, "arch": found.arch, "sha256": hash.as_ref().map(Digest::hex)})
        })
        .collect();
    let mut json = json!({"images": shown});
    let mut text = if found.is_empty() {
        let folder = output::shown(&args.folder);
        let how = if list.is_some() {
            "Get one with `e3 image fetch NAME`."
        } else {
            "Build one with `e3 image build NAME`."
        };
        format!("There is no image in {folder}\n{how}\n")
    } else {
        here(&found, &hashes)
    };
    if let Some((list, key)) = list {
        let place = |image: &PublishedImage| {
            let same = |hash: &Option<Digest>| *hash == Some(image.content.digest);
            Some(found[hashes.iter().position(same)?].path.as_path())
        };
        text.push_str(&published_here(&list, &key, place));
        json["published"] = json!({
            "from": list.from.shown(), "number": list.list.number, "signed": list.list.signed, "signed_by": key,
            "images": list.list.images.iter().map(|image| {
                let mut json = serde_json::to_value(image).unwrap_or_default();
                json["here"] = json!(place(image).map(output::named));
                json
            }).collect::<Vec<_>>(),
        });
    }
    Ok(Answer::new(text, json))
}

/// What lies here.
fn here(found: &[Found], hashes: &[Option<Digest>]) -> String {
    let dash = || "-".to_owned();
    let rows: Vec<[String; 5]> = found
        .iter()
        .zip(hashes)
        .map(|(found, hash)| {
            [
                plain(&found.path),
                human::size(found.size),
                found.image.clone().unwrap_or_else(dash),
                found.arch.map_or_else(dash, str::to_owned),
                hash.as_ref().map_or_else(dash, Digest::hex),
            ]
        })
        .collect();
    table(["FILE", "SIZE", "IMAGE", "ARCH", "SHA-256"], &rows)
}

/// What is published, and where it lies here.
fn published_here<'a>(
    list: &Published,
    key: &PublicKey,
    place: impl Fn(&PublishedImage) -> Option<&'a Path>,
) -> String {
    let dash = || "-".to_owned();
    let Images { number, signed, .. } = list.list;
    let from = list.from.shown();
    let head = format!("\n{from}\nlist {number}, signed at {signed} by {key}\n\n");
    let rows: Vec<[String; 6]> = list
        .list
        .images
        .iter()
        .map(|image| {
            [
                image.file.clone(),
                human::size(image.content.size),
                image.image.clone(),
                image.arch.clone().unwrap_or_else(dash),
                image.made.to_string(),
                place(image).map_or_else(dash, plain),
            ]
        })
        .collect();
    head + &table(["FILE", "SIZE", "IMAGE", "ARCH", "MADE", "HERE"], &rows)
}

/// `./result/x` as `result/x`.
fn plain(path: &Path) -> String {
    output::shown(path.strip_prefix(".").unwrap_or(path))
}
