//! The list that Raspberry Pi Imager reads: its JSON schema is `doc/json-schema/os-list-schema.json` in its repository.

use serde_json::{Value, json};

use crate::inject::Board;
use crate::sums::Sums;

/// A picture that Imager has itself (`src/icons` in its repository).
const ICON: &str = "icons/cat_other_general_purpose_operating_systems.png";

/// An image for the list.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The file's name.
    pub name: String,
    /// Which boards start from it.
    pub board: Board,
    /// Its lengths and hashes.
    pub sums: Sums,
    /// The day of its release: `2026-11-23`.
    pub released: String,
}

/// The list of these images, which lie below `base`.
pub fn list(entries: &[Entry], base: &str) -> Value {
    let base = base.trim_end_matches('/');
    let shown = entries.iter().map(|entry| {
        let (name, devices) = match entry.board {
            Board::Pi4 => ("E3 for Raspberry Pi 3, 4, 400 and Zero 2 W", &["pi4-64bit", "pi3-64bit"][..]),
            Board::Pi5 => ("E3 for Raspberry Pi 5", &["pi5-64bit"][..]),
        };
        json!({
            "name": name,
            "description": "Carries out its owner's part of secure multiparty computations. After writing, put your join file e3.toml on the card.",
            "icon": ICON,
            "url": format!("{base}/{}", entry.name),
            "extract_size": entry.sums.unpacked_size,
            "extract_sha256": entry.sums.unpacked_sha256,
            "image_download_size": entry.sums.size,
            "image_download_sha256": entry.sums.sha256,
            "release_date": entry.released,
            "devices": devices,
            "architecture": "armv8",
            // Imager's own settings would have no effect: the join file has them.
            "init_format": "none",
        })
    });
    json!({"os_list": shown.collect::<Vec<_>>()})
}
