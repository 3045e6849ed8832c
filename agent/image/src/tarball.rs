//! A file in a tar archive, while the archive streams by.
//!
//! Everything else goes through as it is, byte by byte: who unpacks it finds the same links, owners and times.

use std::io::{self, Read, Write};

use crate::source::{PIECE, fill};
use crate::stop::Stop;

const BLOCK: usize = 512;
/// Bytes of a name that does not fit into a header.
const NAME: u64 = 64 * 1024;
/// 2020-01-01T00:00:00Z: the same file makes the same archive.
const MODIFIED: u64 = 1_577_836_800;

/// Why the archive cannot be edited.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// What comes in.
    #[error("the archive cannot be read beyond byte {at}")]
    Read {
        /// How far it could be.
        at: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What goes out.
    #[error("the new archive cannot be written")]
    Write(#[source] io::Error),
    /// It is not an archive, or not one that is understood.
    #[error("its archive is damaged at byte {at}: {what}")]
    Broken {
        /// Where.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// Ctrl-C.
    #[error("interrupted")]
    Stopped,
}

/// What the headers before a member say about it.
#[derive(Default)]
struct Long {
    blocks: Vec<u8>,
    name: Option<Vec<u8>>,
    size: Option<u64>,
}

/// Copies an archive and puts the file `folder/name` into it, readable by root alone, instead of one that is there. Says how
/// many bytes came in.
pub fn put(
    archive: impl Read,
    out: &mut impl Write,
    (folder, name): (&str, &str),
    contents: &[u8],
    stop: &Stop,
    mut progress: impl FnMut(u64),
) -> Result<u64, TarError> {
    let mut archive = Input { archive, at: 0 };
    let path = format!("{folder}/{name}");
    let mut has_folder = false;
    let mut long = Long::default();
    loop {
        if stop.is_set() {
            return Err(TarError::Stopped);
        }
        progress(archive.at);
        let header = archive.block()?;
        if header == [0; BLOCK] {
            break;
        }
        let broken = |what| TarError::Broken {
            at: archive.at - BLOCK as u64,
            what,
        };
        if !sum_is_right(&header) {
            return Err(broken("the checksum of a header"));
        }
        let size = number(&header[124..136]).ok_or_else(|| broken("the size of a member"))?;
        match header[156] {
            b'L' | b'K' | b'x' | b'g' => {
                if size > NAME {
                    return Err(broken("a name longer than names are"));
                }
                let text = archive.bytes(size)?;
                note(&mut long, header[156], &text[..to_usize(size)]);
                long.blocks.extend_from_slice(&header);
                long.blocks.extend_from_slice(&text);
                continue;
            }
            b'S' | b'M' | b'V' => {
                return Err(broken("a kind of member that WSL's images have not"));
            }
            _ => {}
        }
        let Long {
            blocks,
            name: long_name,
            size: long_size,
        } = std::mem::take(&mut long);
        let member = long_name.unwrap_or_else(|| short_name(&header));
        let member = plain(&member);
        let kind = header[156];
        if member == folder.as_bytes() {
            if kind != b'5' {
                return Err(broken("the join file's folder is no folder"));
            }
            has_folder = true;
        }
        let size = long_size.unwrap_or(size);
        let replaced = member == path.as_bytes();
        if !replaced {
            out.write_all(&blocks).map_err(TarError::Write)?;
            out.write_all(&header).map_err(TarError::Write)?;
        }
        // A hard link, a symbolic link, a folder and a device have no contents, whatever their size is.
        if !(b'1'..=b'6').contains(&kind) {
            archive.copy(size, (!replaced).then_some(&mut *out), stop)?;
        }
    }
    if !has_folder {
        let header = header(&format!("./{folder}/"), b'5', 0o755, 0);
        out.write_all(&header).map_err(TarError::Write)?;
    }
    let header = header(&format!("./{path}"), b'0', 0o600, contents.len());
    let padding = [0; BLOCK];
    let padding = &padding[..contents.len().next_multiple_of(BLOCK) - contents.len()];
    for part in [&header, contents, padding, &[0; 2 * BLOCK]] {
        out.write_all(part).map_err(TarError::Write)?;
    }
    // The compressed data's own checksum comes at their end.
    archive.drain()
}

struct Input<R> {
    archive: R,
    at: u64,
}

impl<R: Read> Input<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<(), TarError> {
        let failed = |at| move |source| TarError::Read { at, source };
        let length = fill(&mut self.archive, buffer).map_err(failed(self.at))?;
        self.at += length as u64;
        if length < buffer.len() {
            return Err(failed(self.at)(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(())
    }

    fn block(&mut self) -> Result<[u8; BLOCK], TarError> {
        let mut block = [0; BLOCK];
        self.read(&mut block).map(|()| block)
    }

    /// Some bytes and what fills their last block.
    fn bytes(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        let mut bytes = vec![0; to_usize(size).next_multiple_of(BLOCK)];
        self.read(&mut bytes).map(|()| bytes)
    }

    fn copy(
        &mut self,
        size: u64,
        mut out: Option<&mut impl Write>,
        stop: &Stop,
    ) -> Result<(), TarError> {
        let mut left = size
            .checked_next_multiple_of(BLOCK as u64)
            .ok_or(TarError::Broken {
                at: self.at,
                what: "the size of a member",
            })?;
        let mut piece = vec![0; PIECE.min(to_usize(left))];
        while left > 0 {
            if stop.is_set() {
                return Err(TarError::Stopped);
            }
            let length = piece.len().min(to_usize(left));
            self.read(&mut piece[..length])?;
            if let Some(out) = &mut out {
                out.write_all(&piece[..length]).map_err(TarError::Write)?;
            }
            left -= length as u64;
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<u64, TarError> {
        let at = self.at;
        let drained = io::copy(&mut self.archive, &mut io::sink());
        let drained = drained.map_err(|source| TarError::Read { at, source })?;
        Ok(at + drained)
    }
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX / 2)
}

fn note(long: &mut Long, kind: u8, text: &[u8]) {
    if kind == b'L' {
        let end = text.iter().position(|byte| *byte == 0);
        long.name = Some(text[..end.unwrap_or(text.len())].to_vec());
    }
    if kind != b'x' {
        return;
    }
    // "26 path=some/where\n", one after the other.
    let mut rest = text;
    while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
        let length = std::str::from_utf8(&rest[..space]).ok();
        let length = length.and_then(|text| text.parse::<usize>().ok());
        let Some(record) = length.and_then(|length| rest.get(space + 1..length)) else {
            return;
        };
        let record = record.strip_suffix(b"\n").unwrap_or(record);
        if let Some(path) = record.strip_prefix(b"path=") {
            long.name = Some(path.to_vec());
        } else if let Some(size) = record.strip_prefix(b"size=") {
            long.size = std::str::from_utf8(size)
                .ok()
                .and_then(|text| text.parse().ok());
        }
        rest = rest.get(length.unwrap_or(rest.len())..).unwrap_or(&[]);
    }
}

fn short_name(header: &[u8; BLOCK]) -> Vec<u8> {
    let field = |range: std::ops::Range<usize>| {
        let field = &header[range];
        let end = field.iter().position(|byte| *byte == 0);
        field[..end.unwrap_or(field.len())].to_vec()
    };
    let (name, prefix) = (field(0..100), field(345..500));
    // GNU's own format keeps other things where the prefix is.
    if &header[257..263] == b"ustar\0" && !prefix.is_empty() {
        [prefix, name].join(&b'/')
    } else {
        name
    }
}

/// `./etc/e3/` as `etc/e3`.
fn plain(name: &[u8]) -> &[u8] {
    let mut name = name;
    while let Some(rest) = name.strip_prefix(b"./").or_else(|| name.strip_prefix(b"/")) {
        name = rest;
    }
    name.strip_suffix(b"/").unwrap_or(name)
}

/// Octal digits, or GNU's binary form for what is longer.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let (high, low) = field.split_last_chunk::<8>()?;
        let is_small = high[0] == 0x80 && high[1..].iter().all(|byte| *byte == 0);
        return is_small.then(|| u64::from_be_bytes(*low));
    }
    let text = std::str::from_utf8(field).ok()?;
    let text = text.trim_matches(['\0', ' ']);
    if text.is_empty() {
        return Some(0);
    }
    u64::from_str_radix(text, 8).ok()
}

fn sum(header: &[u8]) -> u64 {
    let byte = |(at, byte): (usize, &u8)| {
        u64::from(if (148..156).contains(&at) {
            b' '
        } else {
            *byte
        })
    };
    header.iter().enumerate().map(byte).sum()
}

fn sum_is_right(header: &[u8]) -> bool {
    number(&header[148..156]) == Some(sum(header))
}

fn header(name: &str, kind: u8, mode: u32, size: usize) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, &format!("{mode:07o}"));
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, &format!("{MODIFIED:011o}"));
    put(257, "ustar\x0000");
    header[156] = kind;
    let sum = format!("{:06o}\0 ", sum(&header));
    header[148..156].copy_from_slice(sum.as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    const PATH: (&str, &str) = ("etc/e3", "e3.toml");

    fn edit(archive: &[u8], contents: &[u8]) -> Result<Vec<u8>, TarError> {
        let mut out = Vec::new();
        put(archive, &mut out, PATH, contents, &Stop::default(), |_| ()).map(|_| out)
    }

    /// An archive of GNU tar with everything that makes one difficult.
    fn archive(format: &str, with_old: bool) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let script = format!(
            "mkdir -p etc deep/{long}/{long}; echo a > deep/{long}/{long}/file; ln -s /nowhere etc/link; echo b > etc/a; ln etc/a etc/hard; \
             {old} tar --format={format} --sort=name -cf - .",
            long = "x".repeat(90),
            old = if with_old {
                "mkdir etc/e3; echo old > etc/e3/e3.toml; echo other > etc/e3/agent.toml;"
            } else {
                ""
            },
        );
        let output = Command::new("sh")
            .args(["-ec", &script])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// What GNU tar finds in it.
    fn list(archive: &[u8]) -> String {
        let mut tar = Command::new("tar")
            .args(["--numeric-owner", "-tvf", "-"])
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        tar.stdin.take().unwrap().write_all(archive).unwrap();
        let output = tar.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn everything_else_stays_and_an_older_join_file_goes() {
        for format in ["gnu", "pax", "ustar"] {
            for with_old in [false, true] {
                let before = archive(format, with_old);
                let after = edit(&before, b"new\n").unwrap();
                let ours = "-rw------- 0/0               4 2020-01-01 00:00 ./etc/e3/e3.toml\n";
                let mut expected: Vec<String> = list(&before)
                    .lines()
                    .filter(|line| !line.ends_with("./etc/e3/e3.toml"))
                    .map(|line| format!("{line}\n"))
                    .collect();
                if !with_old {
                    expected
                        .push("drwxr-xr-x 0/0               0 2020-01-01 00:00 ./etc/e3/\n".into());
                }
                expected.push(ours.into());
                assert_eq!(list(&after), expected.concat(), "{format}");
                // Once more: the same, so nothing piles up.
                let again = edit(&after, b"new\n").unwrap();
                assert_eq!(list(&again), list(&after), "{format}");
            }
        }
    }

    #[test]
    fn what_is_no_archive_or_half_of_one_is_refused() {
        let whole = archive("gnu", false);
        let half = edit(&whole[..whole.len() / 2], b"").unwrap_err();
        assert!(
            matches!(half, TarError::Read { .. } | TarError::Broken { .. }),
            "{half}"
        );
        let mut wrong = whole.clone();
        wrong[3] ^= 1;
        assert!(matches!(
            edit(&wrong, b""),
            Err(TarError::Broken { at: 0, .. })
        ));
        assert!(matches!(
            edit(&[1; 4096], b""),
            Err(TarError::Broken { .. })
        ));
    }

    #[test]
    fn a_link_in_the_place_of_the_folder_is_refused() {
        let mut archive = header("etc/e3", b'2', 0o777, 0).to_vec();
        archive.extend([0; 1024]);
        let error = edit(&archive, b"").unwrap_err().to_string();
        assert!(error.contains("no folder"), "{error}");
    }
}
