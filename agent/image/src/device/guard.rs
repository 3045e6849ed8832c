//! Whether a disk may be written over. Every way to say no has its own words.

use std::path::Path;

use e3_client::human;

use super::{DeviceError, Disk};

/// Mounted there, a disk is the system's.
const OURS: [&str; 8] = [
    "/", "/boot", "/nix", "/usr", "/var", "/home", "/etc", "/efi",
];

/// The disk that `path` names, if it may be written over. A link (`/dev/disk/by-id/…`) has been followed already.
pub fn check<'a>(disks: &'a [Disk], path: &Path) -> Result<&'a Disk, DeviceError> {
    let removable = || {
        disks
            .iter()
            .filter(|disk| may(disk).is_ok())
            .map(|disk| {
                format!(
                    "{} ({}, {})",
                    disk.path.display(),
                    disk.model,
                    human::size(disk.size)
                )
            })
            .collect()
    };
    let path = path.to_owned();
    if let Some(disk) = disks.iter().find(|disk| disk.partitions.contains(&path)) {
        // Whose system it is comes first, whatever was named.
        return Err(match may(disk) {
            Err(error @ DeviceError::System { .. }) => error,
            _ => DeviceError::Partition {
                path,
                disk: disk.path.clone(),
            },
        });
    }
    let Some(disk) = disks.iter().find(|disk| disk.path == path) else {
        return Err(DeviceError::None {
            path,
            removable: removable(),
        });
    };
    match may(disk) {
        Ok(()) => Ok(disk),
        Err(DeviceError::Fixed {
            path, model, size, ..
        }) => Err(DeviceError::Fixed {
            path,
            model,
            size,
            removable: removable(),
        }),
        Err(error) => Err(error),
    }
}

fn may(disk: &Disk) -> Result<(), DeviceError> {
    let path = disk.path.clone();
    let is_ours = |at: &str| {
        OURS.iter().any(|ours| {
            at == *ours
                || at
                    .strip_prefix(ours)
                    .is_some_and(|rest| rest.starts_with('/') && *ours != "/home")
        })
    };
    if let Some((_, at)) = disk.mounted.iter().find(|(_, at)| is_ours(at)) {
        let what = at.clone();
        return Err(DeviceError::System { path, what });
    }
    if !disk.swap.is_empty() {
        let what = "swap".to_owned();
        return Err(DeviceError::System { path, what });
    }
    if !disk.removable {
        return Err(DeviceError::Fixed {
            path,
            model: disk.model.clone(),
            size: human::size(disk.size),
            removable: Vec::new(),
        });
    }
    if let Some((part, at)) = disk.mounted.first() {
        let (part, at) = (part.clone(), at.clone());
        return Err(DeviceError::Mounted { path, part, at });
    }
    if let Some(by) = disk.held_by.first() {
        let by = by.clone();
        return Err(DeviceError::Held { path, by });
    }
    if disk.size == 0 {
        return Err(DeviceError::Empty { path });
    }
    if disk.read_only {
        return Err(DeviceError::ReadOnly { path });
    }
    Ok(())
}
