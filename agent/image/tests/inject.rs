//! Join files into images that Debian's own tools have made, judged by those tools: mtools, fsck.fat, sfdisk, sgdisk, zstd, tar.

#![allow(clippy::disallowed_methods)]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use e3_client::join::{SshKey, Wifi};
use e3_core::document::{Invite, Token};
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;
use e3_core::time::Time;
use e3_image::copy::Copied;
use e3_image::inject::{Board, Injected, Target, fits, inject};
use e3_image::join::{self, JoinFile};
use e3_image::source::Image;
use e3_image::{ImageError, Stop};

const NOW: i64 = 1_800_000_000;

fn join_text(expires: i64) -> String {
    let [owner, once] = [1, 2].map(|n| SecretKey::from_seed(&[n; 32]));
    let invite = Invite {
        fleet: "demo".parse().unwrap(),
        name: "alice".parse().unwrap(),
        owner: owner.public(),
        key: once.public(),
        expires: Time::from_unix(expires),
    };
    let token = Token {
        invite: Envelope::sign(&invite, &[&owner]).unwrap(),
        key: once,
    };
    let root = e3_core::digest::Digest::of(b"root");
    format!(
        "# mine\nfleet = \"demo\"\nname = \"alice\"\nhub = \"https://hub.example\"\nroot = \"{root}\"\nowner = \"{}\"\ntoken = \"{}\"\n\n[policy]\npublish = true\n",
        owner.public(),
        &*token.to_text()
    )
}

fn parse(text: &str) -> Result<JoinFile, ImageError> {
    JoinFile::parse(
        Path::new("alice.toml"),
        text.to_owned().into(),
        Time::from_unix(NOW),
    )
}

fn join() -> JoinFile {
    parse(&join_text(NOW + 60)).unwrap()
}

/// Runs a shell script in a folder and returns what it prints.
fn sh(folder: &Path, script: &str) -> String {
    let output = Command::new("sh")
        .args(["-euc", script])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("MTOOLS_SKIP_CHECK", "1")
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A card's image: a FAT partition from 1 MiB with `bits`, then one of Linux with something in it.
fn card(folder: &Path, table: &str, bits: u32, tree: &str) -> PathBuf {
    let size = if bits == 32 { 64 } else { 12 };
    let kinds = if table == "gpt" {
        ("U", "L")
    } else {
        ("c", "83")
    };
    sh(
        folder,
        &format!(
            "truncate -s 128M card.img
             printf 'label: {table}\\n2048,{size}M,{}\\n,16M,{}\\n' | sfdisk -q card.img
             mkfs.vfat -F {bits} -s {} -n FIRMWARE --offset 2048 card.img {}
             export MTOOLSRC=/dev/null
             echo kernel=u-boot.bin > config.txt; seq 9999 > {tree}
             mcopy -i card.img@@1M config.txt {tree} ::
             seq 99999 | dd of=card.img bs=1M seek=100 conv=notrunc status=none",
            kinds.0,
            kinds.1,
            if bits == 12 { 16 } else { 1 },
            size * 1024,
        ),
    );
    folder.join("card.img")
}

fn put(path: &Path, target: &Target) -> Result<Injected, ImageError> {
    inject(
        &Image::open(path)?,
        &join(),
        None,
        target,
        &Stop::default(),
        &mut |_| (),
    )
}

/// What everybody else's tools say about an edited card.
fn judge(folder: &Path, image: &str) {
    sh(
        folder,
        &format!(
            "dd if={image} of=part.fat bs=1M skip=1 count=$(( $(sfdisk -d {image} | sed -n 's/.*start= *2048, size= *\\([0-9]*\\).*/\\1/p') / 2048 )) status=none
             fsck.fat -n part.fat
             sfdisk -q --verify {image}",
        ),
    );
    assert_eq!(sh(folder, "mtype -i part.fat ::e3.toml"), *join().text);
    assert_eq!(
        sh(folder, "mtype -i part.fat ::config.txt"),
        "kernel=u-boot.bin\n"
    );
    let lists = sh(folder, "mdir -b -i part.fat ::");
    assert_eq!(lists.matches("e3.toml").count(), 1, "{lists}");
    // The rest of the card is as it was.
    sh(folder, &format!("cmp -i 100M card.img {image}"));
    assert_eq!(
        fs::metadata(folder.join(image))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
}

#[test]
fn a_join_file_lies_on_the_card_for_every_table_and_width() {
    for (table, bits) in [("dos", 32), ("dos", 16), ("gpt", 32), ("gpt", 12)] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let image = card(folder, table, bits, "bcm2711-rpi-4-b.dtb");
        let before = fs::read(&image).unwrap();
        let done = put(&image, &Target::Folder(folder.to_owned())).unwrap();
        assert_eq!(done.file, folder.join("card-alice.img"));
        assert_eq!(
            fs::read(&image).unwrap(),
            before,
            "the original is as it was"
        );
        judge(folder, "card-alice.img");
        // Holes stay holes.
        let blocks = fs::metadata(&done.file).unwrap().blocks();
        assert!(blocks * 512 < 8 << 20, "{blocks} blocks");
        // A second time there is still one file, and no lost clusters.
        put(&done.file, &Target::InPlace).unwrap();
        judge(folder, "card-alice.img");
        assert!(matches!(
            put(&image, &Target::Folder(folder.to_owned())),
            Err(ImageError::Exists { .. })
        ));
        if table == "gpt" {
            sh(
                folder,
                "sgdisk -v card-alice.img | grep -q 'No problems found'",
            );
        }
    }
}

#[test]
fn a_compressed_card_is_edited_on_its_way_through() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    card(folder, "dos", 32, "bcm2711-rpi-4-b.dtb");
    sh(folder, "zstd -q card.img");
    let packed = folder.join("card.img.zst");
    put(&packed, &Target::Folder(folder.to_owned())).unwrap();
    sh(
        folder,
        "zstd -qt card-alice.img.zst && zstd -qd card-alice.img.zst",
    );
    sh(folder, "chmod 600 card-alice.img");
    judge(folder, "card-alice.img");
    // Or unpacked, with holes.
    put(&packed, &Target::File(folder.join("out.img"))).unwrap();
    judge(folder, "out.img");
    sh(folder, "cmp out.img card-alice.img");
    assert!(fs::metadata(folder.join("out.img")).unwrap().blocks() * 512 < 16 << 20);
    // The same join file makes the same image, also from the one that is not packed.
    put(
        &folder.join("card.img"),
        &Target::File(folder.join("raw.img")),
    )
    .unwrap();
    sh(folder, "cmp out.img raw.img");
}

#[test]
fn truncated_and_corrupt_images_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    card(folder, "dos", 32, "bcm2711-rpi-4-b.dtb");
    sh(
        folder,
        "zstd -q card.img; head -c 20000 card.img.zst > short.img.zst
         cp card.img.zst bad.img.zst; printf 'XXXX' | dd of=bad.img.zst bs=1 seek=30000 conv=notrunc status=none
         head -c 1M card.img > short.img; xz -k0 -T1 -c config.txt > card.img.xz
         mkdir out",
    );
    let names = || fs::read_dir(folder.join("out")).unwrap().count();
    for (name, kind) in [
        ("short.img.zst", "image-damaged"),
        ("bad.img.zst", "image-damaged"),
        ("short.img", "image-damaged"),
        ("card.img.xz", "image-compression"),
        ("config.txt", "not-an-image"),
        ("nowhere", "file"),
    ] {
        let error = put(&folder.join(name), &Target::Folder(folder.join("out"))).unwrap_err();
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert_eq!(names(), 0, "{name}");
    }
    let stop = Stop::default();
    stop.set();
    let image = Image::open(&folder.join("card.img.zst")).unwrap();
    let target = Target::Folder(folder.join("out"));
    let error = inject(&image, &join(), None, &target, &stop, &mut |_| ()).unwrap_err();
    assert_eq!((error.kind(), names()), ("interrupted", 0));
}

#[test]
fn the_wrong_board_and_the_wrong_partition_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let image = card(folder, "dos", 32, "bcm2712-rpi-5-b.dtb");
    let target = Target::Folder(folder.to_owned());
    let opened = Image::open(&image).unwrap();
    let refused = inject(
        &opened,
        &join(),
        Some(Board::Pi4),
        &target,
        &Stop::default(),
        &mut |_| (),
    );
    let text = refused.unwrap_err().to_string();
    assert!(
        text.ends_with(
            "is for the Raspberry Pi 5, and the board is a Raspberry Pi 3, 4, 400 or Zero 2 W"
        ),
        "{text}"
    );
    // The same without a join file: a card that is only flashed.
    let error = fits(&opened, Board::Pi4, folder).unwrap_err();
    assert_eq!(error.kind(), "wrong-board");
    fits(&opened, Board::Pi5, folder).unwrap();
    inject(
        &opened,
        &join(),
        Some(Board::Pi5),
        &target,
        &Stop::default(),
        &mut |_| (),
    )
    .unwrap();
    // An EFI partition is FAT, too.
    sh(folder, "mdel -i card.img@@1M ::config.txt");
    let error = put(&image, &Target::File(folder.join("x.img"))).unwrap_err();
    assert_eq!(error.kind(), "not-an-image");
}

#[test]
fn a_card_without_room_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let image = card(folder, "dos", 12, "bcm2711-rpi-4-b.dtb");
    sh(
        folder,
        "dd if=/dev/zero of=fill bs=1k count=20000 status=none; mcopy -Q -i card.img@@1M fill :: 2>/dev/null || true
         i=0; while head -c 4000 fill > f$i && mcopy -Q -i card.img@@1M f$i :: 2>/dev/null; do i=$((i+1)); [ $i -lt 3500 ]; done 2>/dev/null || true
         i=0; while head -c 400 fill > g$i && mcopy -Q -i card.img@@1M g$i :: 2>/dev/null; do i=$((i+1)); [ $i -lt 50 ]; done 2>/dev/null || true",
    );
    let error = put(&image, &Target::InPlace).unwrap_err();
    assert_eq!(error.kind(), "image-full", "{error}");
    assert!(sh(folder, "mdir -b -i card.img@@1M ::").contains("config.txt"));
}

#[test]
fn damaged_file_systems_end_in_an_error_and_never_in_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let image = card(folder, "dos", 16, "bcm2711-rpi-4-b.dtb");
    let whole = fs::read(&image).unwrap();
    let target = folder.join("damaged.img");
    // The same changes in every run: a small generator of its own.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..150 {
        let mut bytes = whole[..16 << 20].to_vec();
        // The partition's boot sector, its tables, its root folder.
        let place = [
            (0, 64),
            (446, 66),
            (1 << 20, 64),
            ((1 << 20) + 512, 2048),
            ((1 << 20) + 0x18000, 0x1000),
        ];
        for _ in 0..=random() % 4 {
            let (start, length) = place[(random() % 5) as usize];
            let at = usize::try_from(random() % length).unwrap();
            bytes[start + at] = random().to_le_bytes()[0];
        }
        fs::write(&target, &bytes).unwrap();
        let out = folder.join("out.img");
        match put(&target, &Target::File(out.clone())) {
            Ok(_) => fs::remove_file(out).unwrap(),
            Err(error) => assert!(!out.exists(), "{error}"),
        }
    }
}

#[test]
fn the_archive_of_wsl_gets_the_file_for_root_alone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    sh(
        folder,
        "mkdir -p root/etc root/nix; echo NixOS > root/etc/os-release; seq 99999 > root/nix/big; tar -C root --owner=0 --group=0 -cf - . | gzip -9n > e3.wsl; tar --numeric-owner -tvf e3.wsl > before",
    );
    let done = put(&folder.join("e3.wsl"), &Target::Folder(folder.to_owned())).unwrap();
    assert_eq!(done.file, folder.join("e3-alice.wsl"));
    sh(
        folder,
        "gzip -t < e3-alice.wsl; tar --numeric-owner -tvf e3-alice.wsl > after; head -n -2 after | cmp - before",
    );
    assert_eq!(
        sh(folder, "tar -xOf e3-alice.wsl ./etc/e3/e3.toml"),
        *join().text
    );
    assert!(sh(folder, "tail -n 1 after").starts_with("-rw------- 0/0 "));
    sh(folder, "head -c 20000 e3.wsl > half.wsl");
    let error = put(
        &folder.join("half.wsl"),
        &Target::File(folder.join("x.wsl")),
    )
    .unwrap_err();
    assert_eq!(error.kind(), "image-damaged", "{error}");
    assert!(!folder.join("x.wsl").exists());
}

#[test]
fn virtual_disks_and_cds_get_a_disk_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    sh(
        folder,
        "qemu-img create -q -f qcow2 e3.qcow2 64M; mkdir cd; cp e3.qcow2 cd; xorriso -as mkisofs -quiet -o e3.iso cd 2>/dev/null",
    );
    for name in ["e3.qcow2", "e3.iso"] {
        let before = fs::read(folder.join(name)).unwrap();
        let done = put(&folder.join(name), &Target::Folder(folder.to_owned())).unwrap();
        assert_eq!(done.file, folder.join("e3-alice.seed.iso"));
        assert!(done.beside && done.how == Copied::New);
        assert_eq!(fs::read(folder.join(name)).unwrap(), before);
        fs::remove_file(done.file).unwrap();
    }
}

/// The file systems that share blocks: nothing is copied, and it takes no second. Needs root and loop devices.
#[test]
fn four_gigabytes_take_less_than_a_second_where_the_file_system_can_share() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("NOT CHECKED: a file system can only be mounted as root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    sh(
        folder,
        "truncate -s 6G disk; mkfs.xfs -q -m reflink=1 disk; mkdir mnt; mount -o loop disk mnt",
    );
    let guard = Unmount(folder.join("mnt"));
    let image = card(&guard.0, "dos", 32, "bcm2711-rpi-4-b.dtb");
    sh(
        &guard.0,
        "truncate -s 4G card.img; dd if=/dev/urandom of=card.img bs=1M count=300 seek=128 conv=notrunc status=none; sync",
    );
    let start = Instant::now();
    let done = put(&image, &Target::Folder(guard.0.clone())).unwrap();
    let took = start.elapsed();
    assert_eq!(done.how, Copied::Shared);
    assert!(took.as_secs_f64() < 1.0, "{took:?}");
    eprintln!("inject into 4 GiB: {took:?}");
    judge(&guard.0, "card-alice.img");
}

struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn join_files_that_a_machine_would_refuse_are_refused_with_the_line() {
    let good = join_text(NOW + 60);
    assert_eq!(parse(&join_text(NOW)).err().unwrap().kind(), "join-expired");
    let token = good.lines().find(|line| line.starts_with("token")).unwrap();
    for (text, kind, says) in [
        (good.replace(token, ""), "join-used", "no token"),
        (
            good.replace(token, "token = \"burnt-----\""),
            "join-used",
            "no token",
        ),
        (
            good.replace(token, "token = \"e3-join-AAAA\""),
            "join-file",
            "is no join file",
        ),
        (
            good.replace("name = \"alice\"", "name = \"bob\""),
            "join-file",
            "is for the machine `alice`",
        ),
        (
            good.replace("name = \"alice\"", "nmae = \"alice\""),
            "join-file",
            "line 3",
        ),
        (
            good.replace("publish = true", "publish = 3"),
            "join-file",
            "line 9",
        ),
        (
            good.replace("https://", "gopher://"),
            "join-file",
            "is not a hub's address",
        ),
        (
            good.replace("fleet = \"demo\"", "fleet = "),
            "join-file",
            "line 2",
        ),
        (
            format!("{good}\n[wifi]\nssid = \"a\"\npassword = \"short\"\n"),
            "join-file",
            "8 to 63",
        ),
    ] {
        let error = parse(&text).err().unwrap();
        let shown = error.to_string();
        assert!(
            error.kind() == kind && shown.contains(says),
            "{kind}: {shown}"
        );
        assert!(
            error.remedy().is_some() && !shown.contains(&token[20..60]),
            "{shown}"
        );
    }
}

#[test]
fn a_wireless_network_is_added_and_the_rest_of_the_text_stays() {
    let wifi = |password: &str| {
        let (ssid, country) = ("a \"net\"".to_owned(), Some("NL".to_owned()));
        Wifi::new(ssid, Some(password.to_owned()), country)
    };
    let text = join_text(NOW + 60) + "# threshold = 1\n";
    let join = parse(&text)
        .unwrap()
        .with_wifi(&wifi("12345678").unwrap())
        .unwrap();
    assert!(join.text.contains("# threshold = 1\n\n[wifi]\n"));
    assert!(join.text.starts_with("# mine\n"));
    assert!(
        join.text
            .ends_with("[wifi]\nssid = 'a \"net\"'\npassword = \"12345678\"\ncountry = \"NL\"\n"),
        "{}",
        &*join.text
    );
    let again = parse(&join.text)
        .unwrap()
        .with_wifi(&wifi("87654321").unwrap())
        .unwrap();
    assert_eq!(again.text.matches("[wifi]").count(), 1);
    let error = wifi("short").err().unwrap();
    assert!(error.contains("8 to 63"), "{error}");
}

const SSH: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBAcQFIbHsTzTGiKCNSJlSqk4CHvp8UEAGGHHfkxzRSu alice";

#[test]
fn ssh_keys_are_added_and_the_machine_reads_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("id_ed25519.pub");
    fs::write(&path, format!("# mine\n{SSH}\n\n")).unwrap();
    let keys = join::ssh_keys(&path).unwrap();
    // Above the tables, wherever they are: below one it would be that table's.
    let text = join_text(NOW + 60) + "# threshold = 1\n\n[wifi]\nssid = \"a\"\n";
    let join = parse(&text).unwrap().with_ssh_keys(keys.clone()).unwrap();
    assert!(join.text.contains("# threshold = 1"));
    assert_eq!(parse(&join.text).unwrap().ssh_keys, keys);
    let again = parse(&join.text)
        .unwrap()
        .with_ssh_keys(Vec::new())
        .unwrap();
    assert_eq!(again.text.matches("ssh_keys").count(), 1);
    assert_eq!(parse(&again.text).unwrap().ssh_keys, [] as [SshKey; 0]);
}

#[test]
fn a_private_key_goes_into_no_image() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("id_ed25519");
    for (text, says) in [
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n".to_owned(),
            "the file that ends in .pub",
        ),
        (format!("{SSH}\n{}", &SSH[..60]), "damaged"),
        (format!("from=\"*\" {SSH}"), "begins with"),
        (String::new(), "begins with"),
        (format!("{SSH}\n").repeat(21), "more than 20"),
    ] {
        fs::write(&path, text).unwrap();
        let error = join::ssh_keys(&path).unwrap_err();
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert!(error.kind() == "ssh-key" && why.contains(says), "{why}");
        assert!(!why.contains("secret"), "{why}");
    }
    let text = join_text(NOW + 60).replace("\n[", "\nssh_keys = [\"ssh-ed25519 AAAA\"]\n[");
    let text = if text.contains("ssh_keys") {
        text
    } else {
        format!("ssh_keys = [\"ssh-ed25519 AAAA\"]\n{text}")
    };
    let error = parse(&text).err().unwrap();
    assert!(error.to_string().contains("damaged"), "{error}");
}
