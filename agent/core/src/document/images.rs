//! The list of images that somebody publishes: what there is, where it is fetched, and by which digest it is known.
//!
//! It belongs to no fleet: who reads it names the one key whose word counts, and takes the list with the highest number that was
//! ever seen of that key, so that nobody can serve yesterday's images as today's. One key signs one list. Only the owner's
//! command reads it; to an agent it is a type that was not asked for (rule 2).

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Document, DocumentError, ensure, file_name_is_safe};
use crate::digest::Blob;
use crate::limits;
use crate::time::Time;

/// Bytes of an address.
const URL: usize = 1024;
/// Bytes of the words for kind and processor.
const WORD: usize = 32;

/// The images of one publisher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Images {
    /// Rises with every list; an older one is refused by whoever has seen a newer one.
    pub number: u64,
    /// When it was signed.
    pub signed: Time,
    /// What there is, by file name at most once.
    pub images: Vec<PublishedImage>,
}

/// One image file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishedImage {
    /// The file's name, with no folder.
    pub file: String,
    /// What it is for: the image's name in the flake, such as `raspberrypi5`.
    pub image: String,
    /// The processor that it runs on, such as `aarch64`; left out where the file's name does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// The file as it is downloaded.
    pub content: Blob,
    /// Where it is: an address of http or https, or a path beside the list.
    pub url: String,
    /// When the file was made.
    pub made: Time,
}

impl Document for Images {
    const KIND: &'static str = "images";

    fn check(&self) -> Result<(), DocumentError> {
        ensure(self.number >= 1, "number", "starts at 1")?;
        ensure(
            self.images.len() <= limits::IMAGES,
            "images",
            "must name at most 128 images",
        )?;
        let files: BTreeSet<_> = self.images.iter().map(|i| i.file.as_str()).collect();
        ensure(
            files.len() == self.images.len(),
            "images",
            "names a file twice",
        )?;
        self.images.iter().try_for_each(PublishedImage::check)
    }
}

impl PublishedImage {
    fn check(&self) -> Result<(), DocumentError> {
        ensure(
            // Downloads lie under a longer name until they are whole.
            file_name_is_safe(&self.file) && !self.file.contains('/'),
            "images.file",
            "must be a file's name of letters, digits and `._-+@ ()`, with no folder",
        )?;
        ensure(
            is_word(&self.image) && self.arch.as_deref().is_none_or(is_word),
            "images.image",
            "and `arch` must be words of small letters, digits, `_` and `-`",
        )?;
        ensure(
            (1..=limits::IMAGE).contains(&self.content.size),
            "images.content",
            "must have 1 byte to 64 GiB",
        )?;
        let absolute = self.url.starts_with("https://") || self.url.starts_with("http://");
        let plain = |c: char| c.is_ascii_graphic() && !"\"<>\\^`{|}#".contains(c);
        ensure(
            self.url.len() <= URL
                && if absolute {
                    self.url.chars().all(plain)
                } else {
                    file_name_is_safe(&self.url)
                },
            "images.url",
            "must be an address of http or https, or a path beside the list",
        )
    }
}

fn is_word(text: &str) -> bool {
    let small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
    (1..=WORD).contains(&text.len()) && text.chars().all(small)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Images {
        Images {
            number: 7,
            signed: Time::from_unix(1_795_000_000),
            images: vec![PublishedImage {
                file: "e3-raspberrypi-aarch64.img.zst".to_owned(),
                image: "raspberrypi".to_owned(),
                arch: Some("aarch64".to_owned()),
                content: Blob::of(b"image"),
                url: "v1/e3-raspberrypi-aarch64.img.zst".to_owned(),
                made: Time::from_unix(1_795_000_000),
            }],
        }
    }

    #[test]
    fn a_list_is_taken_with_paths_beside_it_and_with_addresses() {
        let mut list = list();
        assert_eq!(list.check(), Ok(()));
        list.images[0].url = "https://images.example/e3.img.zst?v=1".to_owned();
        list.images[0].arch = None;
        assert_eq!(list.check(), Ok(()));
        list.images.clear();
        assert_eq!(list.check(), Ok(()));
    }

    #[test]
    fn what_would_leave_its_folder_or_has_no_bounds_is_refused() {
        type Spoil = fn(&mut Images);
        let spoilt: [(&str, Spoil); 13] = [
            ("number", |l| l.number = 0),
            ("images.file", |l| {
                l.images[0].file = "../.bashrc".to_owned();
            }),
            ("images.file", |l| l.images[0].file = "a/b.img".to_owned()),
            ("images.file", |l| {
                l.images[0].file = ".ssh".to_owned();
            }),
            ("images.file", |l| l.images[0].file = "a\\b.img".to_owned()),
            ("images.file", |l| {
                l.images[0].file = "a\u{1b}[2J".to_owned();
            }),
            ("images.image", |l| l.images[0].image = "Pi 5".to_owned()),
            ("images.image", |l| {
                l.images[0].arch = Some(String::new());
            }),
            ("images.content", |l| l.images[0].content.size = 0),
            ("images.content", |l| {
                l.images[0].content.size = limits::IMAGE + 1;
            }),
            ("images.url", |l| {
                l.images[0].url = "file:///etc/shadow".to_owned();
            }),
            ("images.url", |l| l.images[0].url = "../up".to_owned()),
            ("images", |l| l.images.push(l.images[0].clone())),
        ];
        for (field, spoil) in spoilt {
            let mut list = list();
            spoil(&mut list);
            let said = list.check().unwrap_err().to_string();
            assert!(said.starts_with(&format!("`{field}`")), "{said}");
        }
        let mut many = list();
        many.images = (0..=limits::IMAGES)
            .map(|n| PublishedImage {
                file: format!("{n}.img"),
                ..list().images[0].clone()
            })
            .collect();
        assert!(many.check().is_err());
    }
}
