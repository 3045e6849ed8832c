//! Which disks there are: `/sys/block`, the mounts and the swap spaces, as text from the kernel.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use e3_core::text;

use super::DeviceError;

/// Longer names are cut: they are what a stick says of itself.
const MODEL: usize = 60;
/// Devices on devices on devices: no system has more layers.
const LAYERS: usize = 16;

/// Where the kernel shows what it has. Tests have trees of their own.
#[derive(Debug, Clone)]
pub struct System {
    /// `/sys`
    pub sys: PathBuf,
    /// `/proc`
    pub proc: PathBuf,
    /// `/dev`
    pub dev: PathBuf,
}

impl Default for System {
    fn default() -> Self {
        Self {
            sys: "/sys".into(),
            proc: "/proc".into(),
            dev: "/dev".into(),
        }
    }
}

/// A whole disk.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Disk {
    /// `/dev/sdb`
    pub path: PathBuf,
    /// What it calls itself.
    pub model: String,
    /// Bytes.
    pub size: u64,
    /// Whether it can be taken out.
    pub removable: bool,
    /// Whether it is locked.
    pub read_only: bool,
    /// Its partitions.
    pub partitions: Vec<PathBuf>,
    /// What is built on it: LVM, encryption, RAID.
    pub held_by: Vec<String>,
    /// What of it is mounted: the device and where.
    pub mounted: Vec<(PathBuf, String)>,
    /// The devices that swap.
    pub swap: Vec<PathBuf>,
}

/// All disks but those that are none: loop devices, memory, and what is built on others.
pub fn list(system: &System) -> Result<Vec<Disk>, DeviceError> {
    let mounts = mounts(system)?;
    let swaps = swaps(system);
    let folder = system.sys.join("block");
    let mut disks = Vec::new();
    for name in names(&folder)? {
        let virtual_ones = ["loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd", "zd"];
        let of_mmc = name.starts_with("mmcblk") && (name.contains("boot") || name.contains("rpmb"));
        if of_mmc || virtual_ones.iter().any(|start| name.starts_with(start)) {
            continue;
        }
        disks.push(disk(system, &name, &mounts, &swaps)?);
    }
    Ok(disks)
}

/// A mount: the device's numbers, its name if it has one, and where.
struct Mount {
    numbers: String,
    source: String,
    at: String,
}

fn disk(
    system: &System,
    name: &str,
    mounts: &[Mount],
    swaps: &[String],
) -> Result<Disk, DeviceError> {
    let folder = system.sys.join("block").join(name);
    let value = |file: &str| {
        let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
        text.trim().to_owned()
    };
    let mut devices = vec![(name.to_owned(), folder.clone())];
    for part in names(&folder)? {
        if folder.join(&part).join("partition").exists() {
            devices.push((part.clone(), folder.join(&part)));
        }
    }
    let partitions = devices[1..]
        .iter()
        .map(|device| system.dev.join(&device.0))
        .collect();
    let mut held_by = Vec::new();
    let mut mounted = Vec::new();
    let mut swap = Vec::new();
    let mut seen = BTreeSet::new();
    // What is built on it, and on that, and so on: each of them can be mounted.
    let mut layer = 0;
    while !devices.is_empty() && layer < LAYERS {
        layer += 1;
        let mut above = Vec::new();
        for (device, folder) in devices {
            let read = |file: &str| {
                let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
                text.trim().to_owned()
            };
            let (numbers, mapped) = (read("dev"), read("dm/name"));
            let path = system.dev.join(&device);
            let is_it = |source: &str| {
                source == format!("/dev/{device}")
                    || (!mapped.is_empty() && source == format!("/dev/mapper/{mapped}"))
            };
            for mount in mounts {
                if mount.numbers == numbers || is_it(&mount.source) {
                    mounted.push((path.clone(), mount.at.clone()));
                }
            }
            if swaps.iter().any(|swap| is_it(swap)) {
                swap.push(path.clone());
            }
            for holder in names(&folder.join("holders")).unwrap_or_default() {
                if seen.insert(holder.clone()) {
                    let folder = system.sys.join("block").join(&holder);
                    let mapped = fs::read_to_string(folder.join("dm/name")).unwrap_or_default();
                    held_by.push(match mapped.trim() {
                        "" => holder.clone(),
                        mapped => text::clean(mapped, MODEL),
                    });
                    above.push((holder, folder));
                }
            }
        }
        devices = above;
    }
    let model = match (
        value("device/vendor"),
        value("device/model"),
        value("device/name"),
    ) {
        (vendor, model, _) if !model.is_empty() => format!("{vendor} {model}"),
        (_, _, name) if !name.is_empty() => name,
        _ => "unnamed disk".to_owned(),
    };
    let bus = folder.canonicalize().unwrap_or_default();
    let is_usb = bus
        .components()
        .any(|part| part.as_os_str().to_string_lossy().starts_with("usb"));
    Ok(Disk {
        path: system.dev.join(name),
        model: text::clean(model.trim(), MODEL),
        // In units of 512 bytes, whatever the disk has.
        size: value("size")
            .parse::<u64>()
            .unwrap_or(0)
            .saturating_mul(512),
        // A card is of the type SD; the same bus has memory that is soldered in (MMC).
        removable: value("removable") == "1" || is_usb || value("device/type") == "SD",
        read_only: value("ro") == "1",
        partitions,
        held_by,
        mounted,
        swap,
    })
}

fn mounts(system: &System) -> Result<Vec<Mount>, DeviceError> {
    let path = system.proc.join("self/mountinfo");
    let text = fs::read_to_string(&path).map_err(|source| DeviceError::Read { path, source })?;
    // 36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/sda1 rw
    let mount = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ');
        Some(Mount {
            numbers: left.nth(2)?.to_owned(),
            at: unescaped(left.nth(1)?),
            source: unescaped(right.split(' ').nth(1)?),
        })
    };
    Ok(text.lines().filter_map(mount).collect())
}

fn swaps(system: &System) -> Vec<String> {
    let text = fs::read_to_string(system.proc.join("swaps")).unwrap_or_default();
    let first = |line: &str| line.split_whitespace().next().map(unescaped);
    text.lines().skip(1).filter_map(first).collect()
}

/// `\040` is a blank.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part
            .get(..3)
            .and_then(|code| u8::from_str_radix(code, 8).ok())
        {
            Some(code) => {
                plain.push(char::from(code));
                plain.push_str(&part[3..]);
            }
            None => plain.push_str(part),
        }
    }
    plain
}

fn names(folder: &Path) -> Result<Vec<String>, DeviceError> {
    let failed = |source: io::Error| DeviceError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        names.push(
            entry
                .map_err(failed)?
                .file_name()
                .to_string_lossy()
                .into_owned(),
        );
    }
    names.sort();
    Ok(names)
}
