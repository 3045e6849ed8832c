//! Files on media that anybody may have written: read without being led elsewhere or kept waiting, and written over where
//! they lie.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::sys::statvfs::{FsFlags, statvfs};
use zeroize::Zeroizing;

use super::record::Pending;

/// Not through a link, not waiting for somebody at the other end, not as anybody's terminal.
const CAREFULLY: OFlag = OFlag::O_NOFOLLOW
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY);

/// Reads a plain file of at most `limit` bytes; nothing if there is none. The error is for people.
pub fn read(path: &Path, limit: usize) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
    let absent = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        )
    };
    // Looked at before it is opened: opening a device may do something.
    let metadata = match path.symlink_metadata() {
        Err(error) if absent(&error) => return Ok(None),
        other => other.map_err(|error| format!("cannot be looked at: {error}"))?,
    };
    plain(&metadata)?;
    let mut options = OpenOptions::new();
    let file = match options.read(true).custom_flags(CAREFULLY.bits()).open(path) {
        Err(error) if absent(&error) => return Ok(None),
        other => other.map_err(|error| format!("cannot be opened: {error}"))?,
    };
    let metadata = file
        .metadata()
        .map_err(|error| format!("cannot be looked at: {error}"))?;
    plain(&metadata)?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() > limit {
        return Err(format!(
            "has more than {limit} bytes, so it is no join file"
        ));
    }
    Ok(Some(bytes))
}

fn plain(metadata: &std::fs::Metadata) -> Result<(), String> {
    let kind = metadata.file_type();
    let what = if kind.is_file() {
        return Ok(());
    } else if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(format!("is {what}, not a plain file"))
}

/// Whether something is mounted at this folder.
pub fn is_mounted(folder: &Path) -> bool {
    let device = |path: &Path| path.metadata().map(|metadata| metadata.dev()).ok();
    match (device(folder), folder.parent().and_then(device)) {
        (Some(here), Some(above)) => here != above,
        _ => false,
    }
}

/// Writes over what is to be burnt, if the file is still the one that was read. When this returns it is on the medium.
pub fn burn(pending: &Pending) -> Result<bool, String> {
    let path = &pending.path;
    let limit = pending.burnt.len();
    // Longer, gone, or something else: somebody has replaced it.
    let Ok(Some(now)) = read(path, limit) else {
        return Ok(false);
    };
    if !pending.is_of(&now) {
        return Ok(false);
    }
    if *now == pending.burnt.as_bytes() {
        return Ok(true);
    }
    let open = || {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .custom_flags(CAREFULLY.bits());
        options.open(path)
    };
    // In this order, so that the file ends first: what is open for writing keeps the medium writable.
    let (_writable, file) = match open() {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            let writable = Writable::make(path)
                .map_err(|error| format!("its medium is read-only ({error})"))?;
            (Some(writable), open())
        }
        other => (None, other),
    };
    let file = file.map_err(|error| error.to_string())?;
    overwrite(&file, pending).map_err(|error| error.to_string())?;
    Ok(true)
}

fn overwrite(file: &File, pending: &Pending) -> io::Result<()> {
    for (from, upto) in &pending.places {
        file.write_all_at(&pending.burnt.as_bytes()[*from..*upto], *from as u64)?;
    }
    file.sync_all()
}

/// A file system that is mounted read-only, writable for a moment. In the service's own mount namespace only the service can
/// write to it meanwhile.
struct Writable {
    root: PathBuf,
    flags: MsFlags,
}

impl Writable {
    fn make(path: &Path) -> io::Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let device = folder.metadata()?.dev();
        let of_it = |folder: &&Path| folder.metadata().is_ok_and(|m| m.dev() == device);
        let root = folder.ancestors().take_while(of_it).last();
        let root = root.unwrap_or(folder).to_owned();
        // The flags of the mount stay; a remount would take away what is not repeated, but for how access times are kept.
        let now = statvfs(&root)?.flags();
        let flags = [
            (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
            (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
            (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
            (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        ];
        let flags = flags.into_iter().filter(|(is, _)| now.contains(*is));
        let flags = flags.fold(MsFlags::MS_REMOUNT, |all, (_, flag)| all | flag);
        remount(&root, flags)?;
        Ok(Self { root, flags })
    }
}

impl Drop for Writable {
    fn drop(&mut self) {
        if let Err(error) = remount(&self.root, self.flags | MsFlags::MS_RDONLY) {
            tracing::warn!(%error, mount = %self.root.display(), "cannot be made read-only again");
        }
    }
}

fn remount(root: &Path, flags: MsFlags) -> nix::Result<()> {
    mount(None::<&str>, root, None::<&str>, flags, None::<&str>)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn what_is_no_plain_file_is_named_and_never_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", at("link")).unwrap();
        std::os::unix::fs::symlink("/nowhere", at("broken-link")).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let begin = Instant::now();
        for (path, what) in [
            (at("fifo"), "a pipe"),
            (at("link"), "a symbolic link"),
            (at("broken-link"), "a symbolic link"),
            (at("folder"), "a folder"),
            (at("socket"), "a socket"),
            ("/dev/zero".into(), "a device"),
        ] {
            assert_eq!(
                read(&path, 100).unwrap_err(),
                format!("is {what}, not a plain file")
            );
        }
        assert!(begin.elapsed() < Duration::from_secs(5));
        assert_eq!(read(&at("none"), 100).unwrap(), None);
        assert_eq!(read(&at("none/none"), 100).unwrap(), None);
    }

    #[test]
    fn it_is_bounded_before_it_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large");
        // A hole of a terabyte takes no room on the disk and would take all of the memory.
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(
            read(&path, 100)
                .unwrap_err()
                .contains("more than 100 bytes")
        );
    }

    fn pending(path: &Path, old: &str) -> Pending {
        let places = e3_client::join::secrets::all(old);
        Pending::new(path.to_owned(), old, &places)
    }

    #[test]
    fn a_burn_that_was_cut_off_anywhere_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e3.toml");
        let old = "# é\ntoken = \"e3-join-AAAAAAAAAAAAAA\"\n[wifi]\npassword = \"12\\\"45678\"\n";
        let pending = pending(&path, old);
        for cut in 0..=old.len() {
            // The medium has taken some of the bytes: here the first ones, there the last ones.
            for (first, last) in [
                (&pending.burnt, old),
                (&old.to_owned(), pending.burnt.as_str()),
            ] {
                let half = [&first.as_bytes()[..cut], &last.as_bytes()[cut..]].concat();
                std::fs::write(&path, half).unwrap();
                assert_eq!(burn(&pending), Ok(true));
                assert_eq!(std::fs::read_to_string(&path).unwrap(), pending.burnt);
            }
        }
    }

    #[test]
    fn a_file_that_was_replaced_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e3.toml");
        let pending = pending(&path, "name = \"a\"\ntoken = \"e3-join-AAAA\"\n");
        for other in [
            "name = \"b\"\ntoken = \"e3-join-BBBB\"\n",
            "short",
            "name = \"a\"\ntoken = \"e3-join-AAAA\"\n# more",
        ] {
            std::fs::write(&path, other).unwrap();
            assert_eq!(burn(&pending), Ok(false), "{other}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), other);
        }
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        assert_eq!(burn(&pending), Ok(false));
    }
}
