//! `e3 image publish`: the signed list of what lies in some folders.

use std::path::Path;

use e3_client::{clock, files};
use e3_core::document::Images;
use e3_core::envelope::Envelope;
use e3_core::key::PublicKey;
use e3_core::limits;
use e3_image::published::list;
use e3_image::{ImageError, Stop};
use serde_json::json;

use super::work;
use crate::args::ImagePublish;
use crate::commands::key;
use crate::error::Error;
use crate::manifest::text::word;
use crate::output::{self, Answer, Output};

pub(super) async fn run(args: &ImagePublish, output: &Output) -> Result<Answer, Error> {
    let key = key::read(args.key.as_deref())?;
    let replaces = number_of(&args.out, &key.public())?;
    let now = clock::now();
    let (folders, base) = (args.folders.clone(), args.url_base.clone());
    let images = work::run(output, move |stop: &Stop, meter| {
        let mut tell = |step: &str, done, total| meter.show(step, done, total);
        list::draft(&folders, base.as_deref(), now, stop, &mut tell)
    })
    .await?;
    if images.is_empty() {
        return Err(Error::Usage {
            message: "there is no image in what was named".to_owned(),
            remedy: "Name the folders that have them; `e3 image list DIR` shows what is seen there.",
        });
    }
    let (list, envelope) =
        list::sign(images, replaces, now, &key).map_err(ImageError::Published)?;
    files::write_atomic(&args.out, &envelope.to_bytes())?;
    let names: Vec<_> = list
        .images
        .iter()
        .map(|i| format!("  {}\n", i.file))
        .collect();
    let (out, signer, number) = (word(&args.out), key.public(), list.number);
    let place = args.url_base.as_deref().map_or_else(
        || "Publish it with the images in one folder.".to_owned(),
        |base| format!("Publish it, and the images at {base}"),
    );
    let text = format!(
        "{out} is list {number}, with:\n{}{place}\nTell your readers your key by another way than the list:\n  e3 image list --from URL --signed-by {signer}\n",
        names.concat()
    );
    Ok(Answer::new(
        text,
        json!({"file": output::named(&args.out), "number": number, "signed": list.signed, "signed_by": signer, "images": list.images}),
    ))
}

/// The number of the list that will be replaced. What is no list of this key is left alone.
fn number_of(out: &Path, key: &PublicKey) -> Result<Option<u64>, Error> {
    let bytes = match files::read_bounded(out, limits::ENVELOPE) {
        Err(error) if error.is_not_found() => return Ok(None),
        other => other?,
    };
    let envelope = Envelope::parse(&bytes, limits::ENVELOPE).ok();
    let list = envelope.and_then(|envelope| envelope.verify::<Images>([key], 1).ok());
    list.map_or_else(
        || {
            Err(Error::Image(ImageError::Exists {
                path: out.to_owned(),
            }))
        },
        |list| Ok(Some(list.document.number)),
    )
}
