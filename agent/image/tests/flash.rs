//! Images onto loop devices, and everything that goes wrong with a card. As root; otherwise it is said that nothing was checked.

#![allow(clippy::disallowed_methods)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use e3_image::flash::{Device, Flashed, Progress, Step, Written, check, write};
use e3_image::overlay::{Changes, Overlay};
use e3_image::source::Image;
use e3_image::{ImageError, Stop};

const MIB: u64 = 1 << 20;

/// A loop device over a file.
struct Card {
    device: PathBuf,
    file: PathBuf,
}

impl Card {
    fn new(file: PathBuf, size: u64) -> Self {
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&file)
            .unwrap()
            .set_len(size)
            .unwrap();
        let output = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let device = String::from_utf8(output.stdout).unwrap().trim().into();
        Self { device, file }
    }

    fn open(&self) -> Device {
        Device::open(&self.device).unwrap()
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.device).status();
    }
}

/// Whether these tests can be made here.
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("NOT CHECKED: loop devices need root");
    }
    is_root
}

/// An image of `mib` MiB and 512 bytes: noise, zeros, and noise again.
fn image(folder: &Path, mib: u64) -> PathBuf {
    let path = folder.join("image.img");
    let script = format!(
        "openssl enc -aes-128-ctr -nosalt -K 00 -iv 00 < /dev/zero 2>/dev/null | head -c {0}M > {1}; truncate -s {2}M {1}; head -c 512 /dev/urandom >> {1}; zstd -qf {1}",
        mib / 2,
        path.display(),
        mib
    );
    assert!(
        Command::new("bash")
            .args(["-c", &script])
            .status()
            .unwrap()
            .success()
    );
    path
}

fn flash(
    path: &Path,
    card: &Card,
    changes: &Changes,
    stop: &Stop,
    show: &mut dyn FnMut(Progress),
) -> Result<Flashed, ImageError> {
    let device = card.open();
    let written = write(&Image::open(path)?, changes, &device, stop, show)?;
    check(&written, &device, stop, show)?;
    Ok(written.flashed)
}

fn plainly(path: &Path, card: &Card) -> Result<Flashed, ImageError> {
    flash(
        path,
        card,
        &Changes::default(),
        &Stop::default(),
        &mut |_| (),
    )
}

/// Whether the card begins with the image.
fn is_on(image: &Path, card: &Card) -> bool {
    let image = fs::read(image).unwrap();
    fs::read(&card.file).unwrap()[..image.len()] == image[..]
}

#[test]
fn the_card_has_what_the_image_has() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), 33);
    for name in ["image.img", "image.img.zst"] {
        let card = Card::new(folder.path().join("card"), 40 * MIB);
        let mut shares = Vec::new();
        let done = flash(
            &folder.path().join(name),
            &card,
            &Changes::default(),
            &Stop::default(),
            &mut |progress| {
                shares.push((progress.step, progress.share));
            },
        );
        assert_eq!(done.unwrap().size, 33 * MIB + 512);
        assert!(is_on(&image, &card));
        assert_eq!(shares.last(), Some(&(Step::Checking, 1000)));
        fs::remove_file(&card.file).unwrap();
    }
}

#[test]
fn changes_are_on_the_card_and_not_in_the_image() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), 12);
    let before = fs::read(&image).unwrap();
    let mut overlay = Overlay::new(File::open(&image).unwrap(), 4 * MIB - 100, 4096, MIB);
    std::io::Write::write_all(&mut overlay, &[7; 300]).unwrap();
    let card = Card::new(folder.path().join("card"), 16 * MIB);
    let packed = folder.path().join("image.img.zst");
    flash(
        &packed,
        &card,
        &overlay.into_changes(),
        &Stop::default(),
        &mut |_| (),
    )
    .unwrap();
    let mut expected = before.clone();
    let at = usize::try_from(4 * MIB - 100).unwrap();
    expected[at..at + 300].fill(7);
    assert!(fs::read(&card.file).unwrap()[..expected.len()] == expected[..]);
    assert!(fs::read(&image).unwrap() == before);
}

#[test]
fn an_interrupted_card_starts_nothing_and_the_next_run_goes_on() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), 64);
    let card = Card::new(folder.path().join("card"), 72 * MIB);
    // An old partition table is on it.
    File::options()
        .write(true)
        .open(&card.file)
        .unwrap()
        .write_all_at(&[0xaa; 4096], 0)
        .unwrap();
    let stop = Stop::default();
    let stopped = flash(&image, &card, &Changes::default(), &stop, &mut |progress| {
        if progress.done >= 16 * MIB {
            stop.set();
        }
    });
    let text = stopped.unwrap_err().to_string();
    assert!(
        text.starts_with("interrupted; ") && text.contains("starts nothing"),
        "{text}"
    );
    assert!(
        fs::read(&card.file).unwrap()[..4 << 20]
            .iter()
            .all(|byte| *byte == 0)
    );
    let done = plainly(&image, &card).unwrap();
    assert!((12 * MIB..=20 * MIB).contains(&done.resumed), "{done:?}");
    assert!(is_on(&image, &card));
    // A finished card: nothing but the first piece is written again.
    assert_eq!(plainly(&image, &card).unwrap().resumed, 60 * MIB + 512);
    // What has changed on it since is written again.
    File::options()
        .write(true)
        .open(&card.file)
        .unwrap()
        .write_all_at(b"changed", 20 * MIB)
        .unwrap();
    let _ = Command::new("blockdev")
        .arg("--flushbufs")
        .arg(&card.device)
        .status();
    assert_eq!(plainly(&image, &card).unwrap().resumed, 16 * MIB);
    assert!(is_on(&image, &card));
}

#[test]
fn a_card_that_is_too_small_is_refused_before_it_is_touched_if_the_image_says_its_size() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), 16);
    let card = Card::new(folder.path().join("card"), 12 * MIB);
    fs::write(folder.path().join("unsaid"), b"").unwrap();
    let script = "zstd -q < image.img > unsaid.img.zst";
    assert!(
        Command::new("sh")
            .args(["-c", script])
            .current_dir(folder.path())
            .status()
            .unwrap()
            .success()
    );
    for (name, says, is_blank) in [
        (
            "image.img",
            "has 12.5 MB, and the image needs 16.7 MB",
            true,
        ),
        (
            "image.img.zst",
            "has 12.5 MB, and the image needs 16.7 MB",
            true,
        ),
        (
            "unsaid.img.zst",
            "has 12.5 MB, and the image needs more than 16.7 MB",
            false,
        ),
    ] {
        let error = plainly(&folder.path().join(name), &card).unwrap_err();
        assert_eq!(error.kind(), "disk-too-small");
        assert!(error.to_string().ends_with(says), "{error}");
        assert_eq!(
            fs::read(&card.file).unwrap().iter().all(|byte| *byte == 0),
            is_blank,
            "{name}"
        );
        assert_eq!(
            error.remedy().unwrap().contains("Nothing was written"),
            is_blank
        );
    }
    drop(image);
}

#[test]
fn a_damaged_image_is_named_and_the_card_is_no_half_system() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    image(folder.path(), 32);
    let script = "head -c 12M image.img.zst > short.img.zst; cp image.img.zst bad.img.zst; printf XXXX | dd of=bad.img.zst bs=1 seek=9000000 conv=notrunc status=none";
    assert!(
        Command::new("sh")
            .args(["-c", script])
            .current_dir(folder.path())
            .status()
            .unwrap()
            .success()
    );
    for name in ["short.img.zst", "bad.img.zst"] {
        let card = Card::new(folder.path().join("card"), 40 * MIB);
        let error = plainly(&folder.path().join(name), &card).unwrap_err();
        assert_eq!(error.kind(), "image-damaged", "{name}: {error}");
        let remedy = error.remedy().unwrap();
        assert!(
            remedy.contains("Get the file again") && remedy.ends_with("and starts nothing."),
            "{remedy}"
        );
        assert!(
            fs::read(&card.file).unwrap()[..4 << 20]
                .iter()
                .all(|byte| *byte == 0)
        );
    }
}

#[test]
fn a_download_that_broke_off_is_refused_before_the_card_is_touched() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let card = Card::new(folder.path().join("card"), 40 * MIB);
    for table in ["dos", "gpt"] {
        let script = format!(
            "truncate -s 32M whole.img; printf 'label: {table}\\n2048,8M\\n,16M\\n' | sfdisk -q whole.img; head -c 20M whole.img > short.img"
        );
        let made = Command::new("sh")
            .args(["-euc", &script])
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir(folder.path())
            .status();
        assert!(made.unwrap().success());
        let error = plainly(&folder.path().join("short.img"), &card).unwrap_err();
        assert_eq!(error.kind(), "image-damaged", "{error}");
        assert!(
            error
                .to_string()
                .ends_with("it ends before its partitions do"),
            "{error}"
        );
        assert!(
            fs::read(&card.file).unwrap().iter().all(|byte| *byte == 0),
            "{table}"
        );
        plainly(&folder.path().join("whole.img"), &card).unwrap();
        File::options()
            .write(true)
            .open(&card.file)
            .unwrap()
            .write_all_at(&vec![0; 40 << 20], 0)
            .unwrap();
    }
}

#[test]
fn a_card_that_cannot_be_read_may_be_written() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), 16);
    let card = Card::new(folder.path().join("card"), 20 * MIB);
    // Where the device's file ends, reading fails; writing makes it longer.
    let file = File::options().write(true).open(&card.file).unwrap();
    file.set_len(6 * MIB).unwrap();
    assert_eq!(plainly(&image, &card).unwrap().resumed, 0);
    assert!(is_on(&image, &card));
}

#[test]
fn a_mounted_card_is_not_opened() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let card = Card::new(folder.path().join("card"), 16 * MIB);
    let mount = folder.path().join("mnt");
    fs::create_dir(&mount).unwrap();
    assert!(
        Command::new("mkfs.ext4")
            .arg("-q")
            .arg(&card.device)
            .status()
            .unwrap()
            .success()
    );
    assert!(
        Command::new("mount")
            .args([&card.device, &mount])
            .status()
            .unwrap()
            .success()
    );
    let opened = Device::open(&card.device);
    assert!(
        Command::new("umount")
            .arg(&mount)
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(opened.unwrap_err().kind(), "disk-busy");
    assert_eq!(
        Device::open(Path::new("/dev/null")).unwrap_err().kind(),
        "disk-open"
    );
}

#[test]
fn a_card_that_is_pulled_out_is_gone() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), 32);
    let card = Card::new(folder.path().join("card"), 40 * MIB);
    let error = flash(
        &image,
        &card,
        &Changes::default(),
        &Stop::default(),
        &mut |progress| {
            if progress.done >= 12 * MIB {
                // What a card reader shows without its card: a disk of no size.
                File::options()
                    .write(true)
                    .open(&card.file)
                    .unwrap()
                    .set_len(0)
                    .unwrap();
                let _ = Command::new("losetup").arg("-c").arg(&card.device).status();
            }
        },
    )
    .unwrap_err();
    assert_eq!(error.kind(), "disk-gone", "{error}");
    assert!(error.remedy().unwrap().contains("goes on where it stopped"));
}

#[test]
fn a_write_error_says_where() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), 32);
    let memory = folder.path().join("memory");
    fs::create_dir(&memory).unwrap();
    // A file in a file system that is fuller than it says: the device fails in the middle.
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=9M", "none"])
        .arg(&memory)
        .status();
    assert!(mounted.unwrap().success());
    let card = Card::new(memory.join("card"), 40 * MIB);
    let error = plainly(&image, &card).unwrap_err();
    drop(card);
    let _ = Command::new("umount").arg("-l").arg(&memory).status();
    assert_eq!(error.kind(), "disk-write", "{error}");
    assert!(
        error.to_string().contains("cannot be written to beyond"),
        "{error}"
    );
}

#[test]
fn a_card_that_forgets_is_found_out() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = image(folder.path(), 32);
    let card = Card::new(folder.path().join("card"), 40 * MIB);
    let device = card.open();
    let opened = Image::open(&image).unwrap();
    let written: Written = write(
        &opened,
        &Changes::default(),
        &device,
        &Stop::default(),
        &mut |_| (),
    )
    .unwrap();
    File::options()
        .write(true)
        .open(&card.file)
        .unwrap()
        .write_all_at(b"x", 9 * MIB + 5)
        .unwrap();
    let error = check(&written, &device, &Stop::default(), &mut |_| ()).unwrap_err();
    let text = error.to_string();
    assert_eq!(
        (error.kind(), text.ends_with("at byte 8388608")),
        ("disk-mismatch", true),
        "{text}"
    );
}
