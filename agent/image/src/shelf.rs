//! Which images lie in a folder, by their names and by what is in them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::ImageError;

/// What the files of images end in.
const ENDINGS: [&str; 12] = [
    ".img",
    ".img.zst",
    ".img.gz",
    ".wsl",
    ".qcow2",
    ".qcow2.bz2",
    ".qcow2.gz",
    ".iso",
    ".iso.zst",
    ".vma.zst",
    ".vhd",
    ".tar.gz",
];
/// Folders in folders: `result/sd-image/`.
const DEPTH: u32 = 3;
/// Files that are looked at in all.
const FILES: usize = 10_000;

/// An image file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// What it is for: the image's name in the flake, if the file has one.
    pub image: Option<String>,
    /// The processor, if the file's name says it.
    pub arch: Option<&'static str>,
}

/// The images in a folder and the folders in it. Links to folders are followed from the folder itself alone: `result` of
/// `nix build` is one.
pub fn look(folder: &Path) -> Result<Vec<Found>, ImageError> {
    let mut found = Vec::new();
    let mut left = FILES;
    walk(folder, DEPTH, &mut left, &mut found)?;
    found.sort_by(|one, two| one.path.cmp(&two.path));
    Ok(found)
}

fn walk(
    folder: &Path,
    depth: u32,
    left: &mut usize,
    found: &mut Vec<Found>,
) -> Result<(), ImageError> {
    let failed = |error| ImageError::io("list", folder)(error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if *left == 0 {
            return Ok(());
        }
        *left -= 1;
        let (path, name) = (
            entry.path(),
            entry.file_name().to_string_lossy().into_owned(),
        );
        // One that cannot be looked at is none that could be used.
        let (Ok(kind), Ok(metadata)) = (entry.file_type(), fs::metadata(&path)) else {
            continue;
        };
        let is_result = kind.is_symlink() && depth == DEPTH && name.starts_with("result");
        if metadata.is_dir() && (kind.is_dir() || is_result) && depth > 0 && !name.starts_with('.')
        {
            // A folder that only somebody else may enter.
            let _ = walk(&path, depth - 1, left, found);
        } else if metadata.is_file() && ENDINGS.iter().any(|end| name.ends_with(end)) {
            found.push(Found {
                size: metadata.len(),
                image: image_of(&name),
                arch: arch_of(&name),
                path,
            });
        }
    }
    Ok(())
}

/// `e3-raspberrypi-aarch64.img.zst` is `raspberrypi`; `e3.wsl` is `wsl`.
fn image_of(name: &str) -> Option<String> {
    let names = [
        "digitalocean",
        "raspberrypi5",
        "raspberrypi",
        "wsl",
        "container",
        "amazon",
        "iso",
        "proxmox",
        "qemu",
    ];
    let is_it = |image: &&&str| {
        name.starts_with(&format!("e3-{image}")) || name.ends_with(&format!(".{image}"))
    };
    names.iter().find(is_it).map(|image| (*image).to_owned())
}

fn arch_of(name: &str) -> Option<&'static str> {
    ["aarch64", "x86_64"]
        .into_iter()
        .find(|arch| name.contains(arch))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn images_are_found_in_what_nix_made_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let here = folder.path().join("here");
        fs::create_dir_all(store.join("sd-image")).unwrap();
        fs::create_dir_all(here.join(".git")).unwrap();
        for (path, length) in [
            (store.join("sd-image/e3-raspberrypi-aarch64.img.zst"), 7),
            (here.join("e3.wsl"), 3),
            (here.join("e3-qemu-x86_64-linux.qcow2"), 3),
            (here.join("notes.txt"), 3),
            (here.join(".git/x.img"), 3),
        ] {
            fs::write(path, vec![0; length]).unwrap();
        }
        symlink(&store, here.join("result")).unwrap();
        symlink("/", here.join("everything")).unwrap();
        let found = look(&here).unwrap();
        let shown: Vec<_> = found
            .iter()
            .map(|found| {
                (
                    found.path.strip_prefix(&here).unwrap().to_str().unwrap(),
                    found.image.as_deref(),
                    found.arch,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("e3-qemu-x86_64-linux.qcow2", Some("qemu"), Some("x86_64")),
                ("e3.wsl", Some("wsl"), None),
                (
                    "result/sd-image/e3-raspberrypi-aarch64.img.zst",
                    Some("raspberrypi"),
                    Some("aarch64")
                ),
            ]
        );
        assert!(look(&here.join("nowhere")).is_err());
    }
}
