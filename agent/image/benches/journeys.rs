//! How fast images are edited and written, beside what everybody has: `dd bs=4M conv=fsync` and `cmp` on the same loop device.
//!
//! `ci/bench journeys [--json]`, as root. The image has 1 GiB, half of it noise, and is flashed from its zstd file, which dd
//! cannot do; dd gets it unpacked. Medians of three, in turns.

#![allow(clippy::disallowed_methods)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use e3_image::flash::{Device, check, write};
use e3_image::overlay::Changes;
use e3_image::source::Image;
use e3_image::{Stop, copy, fat, table};

const ROUNDS: usize = 3;

fn sh(folder: &Path, script: &str) -> String {
    let output = Command::new("bash")
        .args(["-euc", script])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    if !rustix::process::geteuid().is_root() {
        eprintln!("loop devices need root: nothing was measured");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    sh(
        folder,
        "openssl enc -aes-128-ctr -nosalt -K 00 -iv 00 < /dev/zero 2>/dev/null | head -c 512M > image.img || true; truncate -s 1G image.img; zstd -q -T0 image.img; truncate -s 1100M card",
    );
    let card = sh(folder, "losetup --find --show card");
    let device = Device::open(Path::new(&card)).unwrap();
    let image = Image::open(&folder.join("image.img.zst")).unwrap();
    // The last bytes of the card differ each time, or nothing would be written: what is there already is kept.
    let fresh = |round: usize| {
        sh(
            folder,
            &format!(
                "printf %04096d {round} | dd of=card bs=4k seek=1024 conv=notrunc status=none; sync card"
            ),
        )
    };
    let (mut ours, mut theirs, mut checked, mut compared) = (vec![], vec![], vec![], vec![]);
    for round in 0..ROUNDS {
        fresh(round);
        let mut written = None;
        ours.push(time(|| {
            written = Some(
                write(
                    &image,
                    &Changes::default(),
                    &device,
                    &Stop::default(),
                    &mut |_| (),
                )
                .unwrap(),
            );
        }));
        let written = written.unwrap();
        checked.push(time(|| {
            check(&written, &device, &Stop::default(), &mut |_| ()).unwrap();
        }));
        sh(folder, &format!("blockdev --flushbufs {card}"));
        compared.push(time(|| {
            sh(folder, &format!("cmp -n 1073741824 image.img {card}"))
        }));
        fresh(round + ROUNDS);
        sh(folder, &format!("blockdev --flushbufs {card}"));
        theirs.push(time(|| {
            sh(
                folder,
                &format!("dd if=image.img of={card} bs=4M conv=fsync status=none"),
            )
        }));
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let (checked, compared) = (median(checked), median(compared));
    println!("flash: {ours:.2} s, unpacking; dd: {theirs:.2} s, unpacked already");
    println!("read back: {checked:.2} s; cmp: {compared:.2} s");
    drop(device);
    sh(folder, &format!("losetup -d {card}; rm card image.img.zst"));
    // 4 GiB that the file system can share.
    sh(folder, "rm image.img; truncate -s 6G disk; mkfs.xfs -q disk; mkdir mnt; mount -o loop disk mnt; cd mnt; truncate -s 4G card.img
        printf '2048,131072,c\\n' | sfdisk -q card.img; mkfs.vfat -F 32 -s 1 --offset 2048 card.img 65536 > /dev/null 2>&1
        head -c 1G /dev/urandom | dd of=card.img bs=1M seek=128 conv=notrunc status=none; sync");
    let injected: Vec<Duration> = (0..ROUNDS)
        .map(|round| time(|| inject(&folder.join("mnt"), round)))
        .collect();
    sh(folder, "umount mnt");
    let injected = median(injected);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let memory: u64 = status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .trim()
                .strip_suffix(" kB")?
                .trim()
                .parse()
                .ok()
        })
        .unwrap();
    println!(
        "inject into 4 GiB on XFS: {injected:.3} s; most memory: {} MiB",
        memory / 1024
    );
    if json {
        println!(
            "{{\"flash_vs_dd\": {:.3}, \"verify_vs_cmp\": {:.3}, \"inject_seconds\": {injected:.3}, \"memory_mib\": {}}}",
            theirs / ours,
            compared / checked,
            memory / 1024
        );
    }
}

/// What `inject` does to a card, without its judgement of the join file.
fn inject(folder: &Path, round: usize) {
    let image = Image::open(&folder.join("card.img")).unwrap();
    let mut disk = image.file();
    let partition = table::read(&mut disk, image.length).unwrap()[0];
    assert!(fat::is_fat(&mut disk, &partition).unwrap());
    let mut file = copy::NewFile::beside(&folder.join(format!("{round}.img")), false).unwrap();
    let (changes, _) = fat::put(disk, &partition, "e3.toml", b"fleet = \"demo\"\n").unwrap();
    assert_eq!(
        file.fill_from(image.file(), &Stop::default()).unwrap(),
        copy::Copied::Shared
    );
    for (at, bytes) in changes.iter() {
        file.patch(at, bytes).unwrap();
    }
    file.keep().unwrap();
}
