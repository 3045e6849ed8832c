//! Which disks may be written over: trees as the kernel makes them, for one computer each.

#![allow(clippy::disallowed_methods)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use e3_image::device::{DeviceError, Disk, System, check, list};

/// A computer with one disk inside (LVM over encryption, an EFI partition), a USB stick with two partitions, a card
/// reader with a card and one without, soldered memory, and a loop device.
struct Computer {
    folder: tempfile::TempDir,
    mounts: String,
    swaps: String,
}

impl Computer {
    fn new() -> Self {
        let computer = Self {
            folder: tempfile::tempdir().unwrap(),
            mounts: String::new(),
            swaps: "Filename Type Size Used Priority\n".to_owned(),
        };
        let inside = "devices/pci0000:00/0000:00:17.0/ata1/host0";
        let usb = "devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host6";
        computer.disk(
            "nvme0n1",
            inside,
            &[
                ("size", "1000215216"),
                ("removable", "0"),
                ("dev", "259:0"),
                ("device/model", "Fast One"),
            ],
        );
        computer.part("nvme0n1", "nvme0n1p1", "259:1");
        computer.part("nvme0n1", "nvme0n1p2", "259:2");
        computer.disk(
            "dm-0",
            "devices/virtual/block",
            &[("dev", "253:0"), ("dm/name", "luks-1234")],
        );
        computer.disk(
            "dm-1",
            "devices/virtual/block",
            &[("dev", "253:1"), ("dm/name", "vg-root")],
        );
        computer.put("block/nvme0n1/nvme0n1p2/holders/dm-0", "");
        computer.put("block/dm-0/holders/dm-1", "");
        // Many sticks and card readers say `removable`; larger USB disks do not.
        computer.disk(
            "sda",
            usb,
            &[
                ("size", "62333952"),
                ("removable", "1"),
                ("dev", "8:0"),
                ("device/vendor", "SanDisk"),
                ("device/model", "Ultra\x1b[31m"),
            ],
        );
        computer.part("sda", "sda1", "8:1");
        computer.part("sda", "sda2", "8:2");
        computer.disk(
            "sdb",
            usb,
            &[
                ("size", "3907029168"),
                ("removable", "0"),
                ("dev", "8:16"),
                ("device/model", "USB Disk"),
            ],
        );
        computer.disk(
            "sdc",
            usb,
            &[
                ("size", "0"),
                ("removable", "1"),
                ("dev", "8:32"),
                ("device/model", "Reader"),
            ],
        );
        computer.disk(
            "mmcblk0",
            "devices/platform/mmc0",
            &[
                ("size", "62333952"),
                ("removable", "0"),
                ("dev", "179:0"),
                ("device/type", "SD"),
                ("device/name", "SC32G"),
                ("ro", "1"),
            ],
        );
        computer.disk(
            "mmcblk1",
            "devices/platform/mmc1",
            &[
                ("size", "30535680"),
                ("removable", "0"),
                ("dev", "179:32"),
                ("device/type", "MMC"),
                ("device/name", "eMMC"),
            ],
        );
        computer.disk(
            "mmcblk1boot0",
            "devices/platform/mmc1",
            &[("size", "8192"), ("dev", "179:64")],
        );
        computer.disk(
            "loop0",
            "devices/virtual/block",
            &[("size", "8192"), ("removable", "0"), ("dev", "7:0")],
        );
        computer
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.folder.path().join("sys").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn disk(&self, name: &str, bus: &str, values: &[(&str, &str)]) {
        let real = format!("{bus}/{name}");
        self.put(&format!("{real}/uevent"), "");
        fs::create_dir_all(self.folder.path().join("sys").join(&real).join("holders")).unwrap();
        fs::create_dir_all(self.folder.path().join("sys/block")).unwrap();
        symlink(
            format!("../{real}"),
            self.folder.path().join("sys/block").join(name),
        )
        .unwrap();
        for (file, value) in values {
            self.put(&format!("{real}/{file}"), &format!("{value}\n"));
        }
    }

    fn part(&self, disk: &str, name: &str, numbers: &str) {
        self.put(&format!("block/{disk}/{name}/partition"), "1\n");
        self.put(&format!("block/{disk}/{name}/dev"), &format!("{numbers}\n"));
        fs::create_dir_all(
            self.folder
                .path()
                .join(format!("sys/block/{disk}/{name}/holders")),
        )
        .unwrap();
    }

    fn mount(mut self, numbers: &str, source: &str, at: &str) -> Self {
        let line = format!("36 35 {numbers} / {at} rw,noatime shared:1 - ext4 {source} rw\n");
        self.mounts.push_str(&line);
        self
    }

    fn disks(&self) -> Vec<Disk> {
        let proc = self.folder.path().join("proc");
        fs::create_dir_all(proc.join("self")).unwrap();
        fs::write(proc.join("self/mountinfo"), &self.mounts).unwrap();
        fs::write(proc.join("swaps"), &self.swaps).unwrap();
        list(&System {
            sys: self.folder.path().join("sys"),
            proc,
            dev: "/dev".into(),
        })
        .unwrap()
    }

    fn refused(&self, name: &str) -> (String, String) {
        let error = check(&self.disks(), &Path::new("/dev").join(name)).unwrap_err();
        let remedy = error.remedy().unwrap_or_default();
        (format!("{}: {error}", error.kind()), remedy)
    }
}

#[test]
fn whole_disks_are_listed_and_a_stick_says_nothing_that_acts() {
    let disks = Computer::new().disks();
    let names: Vec<&PathBuf> = disks.iter().map(|disk| &disk.path).collect();
    assert_eq!(
        names
            .iter()
            .map(|name| name.to_str().unwrap())
            .collect::<Vec<_>>(),
        [
            "/dev/mmcblk0",
            "/dev/mmcblk1",
            "/dev/nvme0n1",
            "/dev/sda",
            "/dev/sdb",
            "/dev/sdc"
        ]
    );
    let stick = disks
        .iter()
        .find(|disk| disk.path.ends_with("sda"))
        .unwrap();
    assert_eq!(
        (stick.model.as_str(), stick.size),
        ("SanDisk Ultra\u{fffd}[31m", 31_914_983_424)
    );
}

#[test]
fn a_stick_and_a_large_usb_disk_may_be_written_over() {
    let computer = Computer::new().mount("253:1", "/dev/mapper/vg-root", "/");
    for name in ["/dev/sda", "/dev/sdb"] {
        check(&computer.disks(), Path::new(name)).unwrap();
    }
}

#[test]
fn the_systems_disk_is_found_through_encryption_and_lvm() {
    for (numbers, source, at) in [
        ("253:1", "/dev/mapper/vg-root", "/"),
        // btrfs and overlays have numbers of their own.
        ("0:33", "/dev/mapper/vg-root", "/"),
        ("0:33", "/dev/nvme0n1p2", "/nix/store"),
        ("259:1", "/dev/nvme0n1p1", "/boot/efi"),
    ] {
        let computer = Computer::new().mount(numbers, source, at);
        let (error, _) = computer.refused("nvme0n1");
        assert_eq!(
            error,
            format!("disk-is-system: /dev/nvme0n1 holds the system of this computer ({at})")
        );
        let (error, _) = computer.refused("nvme0n1p1");
        assert!(
            error.starts_with("disk-is-system"),
            "a partition of it, too: {error}"
        );
    }
    let mut computer = Computer::new();
    computer.swaps += "/dev/dm-1 partition 8388604 0 -2\n";
    assert!(computer.refused("nvme0n1").0.ends_with("(swap)"));
}

#[test]
fn a_system_that_runs_from_a_stick_keeps_it() {
    let computer = Computer::new().mount("8:2", "/dev/sda2", "/");
    assert!(computer.refused("sda").0.starts_with("disk-is-system"));
    assert!(computer.refused("sda1").0.starts_with("disk-is-system"));
}

#[test]
fn what_is_in_use_is_named_with_what_to_do() {
    let computer = Computer::new().mount("8:1", "/dev/sda1", "/media/me/MY\\040CARD");
    assert_eq!(
        computer.refused("sda"),
        (
            "disk-mounted: /dev/sda is in use: /dev/sda1 is mounted at /media/me/MY CARD"
                .to_owned(),
            "If everything on it may go: `umount /dev/sda1`, then run the command again."
                .to_owned()
        )
    );
    let computer = Computer::new();
    computer.put("block/sda/sda2/holders/dm-0", "");
    assert_eq!(
        computer.refused("sda").0,
        "disk-held: /dev/sda is in use: luks-1234 is built on it"
    );
}

#[test]
fn everything_else_is_refused_by_its_own_name() {
    let computer = Computer::new();
    let those = "Disks that can be taken out: /dev/sda (SanDisk Ultra\u{fffd}[31m, 31.9 GB); /dev/sdb (USB Disk, 2.0 TB).";
    for (name, error, remedy) in [
        (
            "nvme0n1",
            "disk-not-removable: /dev/nvme0n1 cannot be taken out of this computer: Fast One, 512 GB",
            those,
        ),
        (
            "mmcblk1",
            "disk-not-removable: /dev/mmcblk1 cannot be taken out of this computer: eMMC, 15.6 GB",
            those,
        ),
        (
            "loop0",
            "no-such-disk: /dev/loop0 is no disk of this computer",
            those,
        ),
        (
            "dm-0",
            "no-such-disk: /dev/dm-0 is no disk of this computer",
            those,
        ),
        (
            "sda1",
            "disk-is-partition: /dev/sda1 is a partition, and an image is a whole disk",
            "If everything on it may go: --to /dev/sda",
        ),
        (
            "sdc",
            "disk-empty: there is no card in /dev/sdc",
            "Put the card in.",
        ),
        (
            "mmcblk0",
            "disk-read-only: /dev/mmcblk0 cannot be written to: it is locked",
            "Push the small lock at the card's side up, and put it in again.",
        ),
    ] {
        assert_eq!(
            computer.refused(name),
            (error.to_owned(), remedy.to_owned())
        );
    }
}

#[test]
fn without_the_kernels_word_nothing_is_written() {
    let computer = Computer::new();
    computer.disks();
    fs::remove_file(computer.folder.path().join("proc/self/mountinfo")).unwrap();
    let system = System {
        sys: computer.folder.path().join("sys"),
        proc: computer.folder.path().join("proc"),
        dev: "/dev".into(),
    };
    assert!(matches!(list(&system), Err(DeviceError::Read { .. })));
}
