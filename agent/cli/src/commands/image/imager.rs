//! `e3 image pi-imager`: the list that Raspberry Pi Imager reads, with sizes and hashes of what was read.

use e3_client::{clock, files};
use e3_image::imager::{self, Entry};
use e3_image::source::Image;
use e3_image::{ImageError, inject, sums};

use super::work;
use crate::args::ImagePiImager;
use crate::error::Error;
use crate::output::{self, Answer, Output};

pub(super) async fn run(args: &ImagePiImager, output: &Output) -> Result<Answer, Error> {
    let base = &args.url_base;
    let is_plain = |c: char| c.is_ascii_graphic() && !"\"<>?#".contains(c);
    if !(base.starts_with("https://") || base.starts_with("http://")) || !base.chars().all(is_plain)
    {
        return Err(Error::Usage {
            message: "--url-base is no address of a folder".to_owned(),
            remedy: "Write it like https://host/folder.",
        });
    }
    let images = args.images.clone();
    // The day alone: `2026-11-23T…`.
    let released: String = clock::now().to_string().chars().take(10).collect();
    let entries = work::run(output, move |stop, meter| {
        let mut entries = Vec::new();
        for path in &images {
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            let name = name.unwrap_or_default();
            if !name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
            {
                return Err(ImageError::NotAnImage {
                    path: path.clone(),
                    why: "its name has to go into an address: letters, digits, dots and dashes",
                });
            }
            let image = Image::open(path)?;
            let board = inject::board(&image, &std::env::temp_dir())?;
            let board = board.ok_or_else(|| ImageError::NotAnImage {
                path: path.clone(),
                why: "its boot partition has no device tree of a Raspberry Pi",
            })?;
            let mut tell = |done| meter.show(&name, done, image.length);
            let sums = sums::both(&image, stop, &mut tell)?;
            entries.push(Entry {
                name,
                board,
                sums,
                released: released.clone(),
            });
        }
        Ok(entries)
    })
    .await?;
    let list = imager::list(&entries, base);
    let shown = format!("{list:#}\n");
    let Some(out) = &args.out else {
        return Ok(Answer::new(shown, list));
    };
    files::write_atomic(out, shown.as_bytes())?;
    let text = format!(
        "{}\nPublish it beside the images. Then, in Raspberry Pi Imager: App options, Content repository, Use custom URL.\n",
        output::shown(out)
    );
    Ok(Answer::new(text, list))
}
