//! A NoCloud disk: an ISO 9660 image with the label `cidata`, and on it the join file as `user-data`.
//!
//! Two names of two files: a volume descriptor for everybody, and Joliet's for the names as they are (ECMA-119; Joliet
//! Specification 1.0). No times and no names of programs: the same join file makes the same disk.

/// The label that cloud-init's NoCloud and E3's images look for.
const LABEL: &str = "cidata";
const BLOCK: usize = 2048;
/// In blocks. The first sixteen are the system's.
const PRIMARY: usize = 16;
const JOLIET: usize = 17;
const END: usize = 18;
const TABLE: usize = 19;
const ROOT: usize = 23;
const JOLIET_ROOT: usize = 24;
const FILES: usize = 25;

/// The disk for a machine with this name.
pub fn iso(name: &str, user_data: &[u8]) -> Vec<u8> {
    let meta_data = format!("instance-id: e3-{name}\nlocal-hostname: {name}\n").into_bytes();
    // In the order of their names, as the standard asks.
    let files = [
        ("meta-data", "META_DAT.;1", meta_data.as_slice()),
        ("user-data", "USER_DAT.;1", user_data),
    ];
    let blocks = |bytes: &[u8]| bytes.len().div_ceil(BLOCK);
    let total = FILES + files.iter().map(|file| blocks(file.2)).sum::<usize>();
    let mut disk = vec![0; total * BLOCK];
    let mut put = |block: usize, bytes: &[u8]| {
        disk[block * BLOCK..block * BLOCK + bytes.len()].copy_from_slice(bytes);
    };

    put(PRIMARY, &descriptor(1, total, TABLE, ROOT));
    put(JOLIET, &descriptor(2, total, TABLE + 2, JOLIET_ROOT));
    put(END, &[&[255][..], b"CD001", &[1]].concat());
    for (block, root) in [(TABLE, ROOT), (TABLE + 2, JOLIET_ROOT)] {
        // One folder: the root, which is its own parent.
        let table =
            |root: [u8; 4], parent: [u8; 2]| [&[1, 0][..], &root, &parent, &[0, 0]].concat();
        put(block, &table(number(root).to_le_bytes(), [1, 0]));
        put(block + 1, &table(number(root).to_be_bytes(), [0, 1]));
    }
    let folder = |root: usize, is_wide: bool| {
        let mut records = [
            record(&[0], root, BLOCK, true),
            record(&[1], root, BLOCK, true),
        ]
        .concat();
        let mut at = FILES;
        for file in &files {
            let id = if is_wide {
                wide(file.0)
            } else {
                file.1.as_bytes().to_vec()
            };
            records.extend(record(&id, at, file.2.len(), false));
            at += blocks(file.2);
        }
        records
    };
    put(ROOT, &folder(ROOT, false));
    put(JOLIET_ROOT, &folder(JOLIET_ROOT, true));
    let mut at = FILES;
    for file in &files {
        put(at, file.2);
        at += blocks(file.2);
    }
    disk
}

fn number(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A number in both orders of bytes.
fn both(value: usize) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&number(value).to_le_bytes());
    bytes[4..].copy_from_slice(&number(value).to_be_bytes());
    bytes
}

fn both_short(number: u8) -> [u8; 4] {
    [number, 0, 0, number]
}

/// UCS-2, as Joliet has its names.
fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

fn record(id: &[u8], block: usize, length: usize, is_folder: bool) -> Vec<u8> {
    let mut record = vec![0; 33];
    record[2..10].copy_from_slice(&both(block));
    record[10..18].copy_from_slice(&both(length));
    // 2020-01-01T00:00:00Z
    record[18..25].copy_from_slice(&[120, 1, 1, 0, 0, 0, 0]);
    record[25] = if is_folder { 2 } else { 0 };
    record[28..32].copy_from_slice(&both_short(1));
    record[32] = u8::try_from(id.len()).unwrap_or(u8::MAX);
    record.extend(id);
    // Records have an even length.
    record.resize(record.len().next_multiple_of(2), 0);
    record[0] = u8::try_from(record.len()).unwrap_or(u8::MAX);
    record
}

fn descriptor(kind: u8, total: usize, table: usize, root: usize) -> Vec<u8> {
    let is_wide = kind == 2;
    let mut bytes = vec![0; BLOCK];
    let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
    // Fields of text are full of blanks.
    let blank = |length: usize| {
        if is_wide {
            [0, b' '].repeat(length / 2)
        } else {
            vec![b' '; length]
        }
    };
    put(0, &[kind]);
    put(1, b"CD001\x01");
    put(8, &blank(32));
    put(40, &blank(32));
    let label = if is_wide {
        wide(LABEL)
    } else {
        LABEL.as_bytes().to_vec()
    };
    put(40, &label);
    put(80, &both(total));
    if is_wide {
        put(88, b"%/E");
    }
    put(120, &both_short(1));
    put(124, &both_short(1));
    // 2048 in both orders.
    put(128, &[0, 8, 8, 0]);
    put(132, &both(10));
    put(140, &number(table).to_le_bytes());
    put(148, &number(table + 1).to_be_bytes());
    put(156, &record(&[0], root, BLOCK, true));
    // Publisher, preparer and the like.
    put(190, &blank(623 - 1));
    for at in [813, 830, 847, 864] {
        // "No time": sixteen zeros as text.
        put(at, b"0000000000000000\0");
    }
    put(881, &[1]);
    bytes
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_same_join_file_makes_the_same_disk() {
        let disk = iso("alice", &[b'x'; 5000]);
        assert_eq!(disk, iso("alice", &[b'x'; 5000]));
        assert_eq!(disk.len(), (FILES + 1 + 3) * BLOCK);
    }

    /// libblkid finds the label and xorriso the files: neither was written here.
    #[test]
    fn others_find_the_label_and_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed.iso");
        let contents = [b'x'; 5000];
        e3_client::files::write_private(&path, &iso("alice", &contents)).unwrap();
        let run = |program: &str, arguments: &[&str]| {
            let output = Command::new(program)
                .args(arguments)
                .current_dir(folder.path())
                .output();
            let output = output.unwrap_or_else(|error| panic!("{program} is needed here: {error}"));
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let found = run("blkid", &["-p", "-o", "export", "seed.iso"]);
        assert!(
            found.contains("LABEL=cidata\n") && found.contains("TYPE=iso9660\n"),
            "{found}"
        );
        run(
            "xorriso",
            &[
                "-no_rc",
                "-report_about",
                "FAILURE",
                "-read_fs",
                "norock",
                "-indev",
                "seed.iso",
                "-osirrox",
                "on",
                "-extract",
                "/",
                "out",
            ],
        );
        let read = |name: &str| std::fs::read(folder.path().join("out").join(name)).unwrap();
        assert_eq!(read("user-data"), contents);
        assert_eq!(
            read("meta-data"),
            b"instance-id: e3-alice\nlocal-hostname: alice\n"
        );
    }
}
