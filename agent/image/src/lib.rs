//! Built images, after they were built: a join file is put into them, and they are put onto cards. Without root, and without
//! building anything again.
//!
//! | module | what it does |
//! |---|---|
//! | [`source`] | opens an image, tells what it is by what is in it, unpacks it as a stream |
//! | [`join`] | judges a join file before it goes anywhere |
//! | [`inject`] | puts it where the image looks: the FAT partition, WSL's archive, a NoCloud disk beside it |
//! | [`table`], [`fat`], [`overlay`], [`tarball`], [`seed`] | one format each |
//! | [`device`] | which disks there are, and which may be written over |
//! | [`flash`] | an image onto a disk, and back to compare |
//! | [`shelf`], [`sums`], [`imager`] | which images there are, their hashes, the list for Raspberry Pi Imager |
//! | [`published`] | lists of images that somebody has signed, and the files that they name |
//! | [`upload`] | an image to DigitalOcean, through object storage |
//! | [`windows`] | the script that installs E3 on Windows, keeps it running, and removes it |
//! | [`copy`] | files that appear whole or not at all, copied without copying where the file system can |
//!
//! Images are hostile until looked at: each number in them is checked against what the file has, and nothing is followed
//! without an end. What is written holds a secret, so only its owner may read it.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod copy;
pub mod device;
pub mod error;
pub mod fat;
pub mod flash;
pub mod imager;
pub mod inject;
pub mod join;
mod lock;
pub mod overlay;
pub mod published;
pub mod seed;
pub mod shelf;
pub mod source;
pub mod stop;
pub mod sums;
pub mod table;
pub mod tarball;
pub mod upload;
pub mod windows;

pub use crate::error::ImageError;
pub use crate::stop::Stop;
