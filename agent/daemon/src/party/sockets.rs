//! A folder for Unix sockets whose paths are short enough: the kernel takes 107 bytes and no more.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use e3_core::digest::Digest;

/// Bytes of a socket's path, without the final NUL.
const PATH: usize = 107;
/// Bytes that [`name`] adds to the folder's path.
const NAME: usize = 1 + 16 + 5;

/// A folder, mode 0700 and this user's, in which sockets can be opened: below `run` if that is short enough, else
/// in the user's runtime folder or the system's temporary one, under a name that belongs to `run`.
pub(super) fn folder(run: &Path) -> io::Result<PathBuf> {
    folder_in(
        run,
        std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from),
        &std::env::temp_dir(),
    )
}

fn folder_in(run: &Path, runtime: Option<PathBuf>, temporary: &Path) -> io::Result<PathBuf> {
    let own = std::path::absolute(run)?.join("gates");
    let tag = Digest::of(own.as_os_str().as_encoded_bytes()).short();
    let user = nix::unistd::geteuid();
    let elsewhere = runtime.map(|runtime| runtime.join(format!("e3-{tag}")));
    let last = temporary.join(format!("e3-{user}-{tag}"));
    let candidates = [
        Some(own),
        elsewhere,
        Some(last),
        Some(PathBuf::from(format!("/tmp/e3-{user}-{tag}"))),
    ];
    let fits = |path: &PathBuf| path.as_os_str().len() + NAME <= PATH;
    let mut error = io::Error::other("every place for sockets has too long a path");
    for candidate in candidates.into_iter().flatten().filter(fits) {
        match make(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(failed) => error = failed,
        }
    }
    Err(error)
}

/// The name of a job's socket.
pub(super) fn name(job: &str) -> String {
    format!("{}.sock", &job[..16])
}

fn make(folder: &Path) -> io::Result<()> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // In a folder that others can write to, somebody else may have been first.
    let found = fs::symlink_metadata(folder)?;
    let is_ours = found.is_dir()
        && found.uid() == nix::unistd::geteuid().as_raw()
        && found.mode().trailing_zeros() >= 6;
    if is_ours {
        Ok(())
    } else {
        let text = format!(
            "{} is not a folder of this user alone; remove it",
            folder.display()
        );
        Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_short_path_is_used_as_it_is_and_a_long_one_is_not() {
        let base = tempfile::tempdir().unwrap();
        let run = base.path().join("run");
        assert_eq!(
            folder_in(&run, None, base.path()).unwrap(),
            run.join("gates")
        );
        let long = base.path().join("x".repeat(100));
        let found = folder_in(&long, Some(base.path().to_owned()), base.path()).unwrap();
        assert_eq!(found.parent().unwrap(), base.path());
        assert_eq!(
            found,
            folder_in(&long, Some(base.path().to_owned()), base.path()).unwrap(),
            "the same again"
        );
        let socket = found.join(name(&"f".repeat(32)));
        assert!(std::os::unix::net::UnixListener::bind(socket).is_ok());
        assert_eq!(found.metadata().unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_folder_that_others_can_enter_is_not_used() {
        let base = tempfile::tempdir().unwrap();
        let planted = base.path().join("planted");
        fs::create_dir(&planted).unwrap();
        fs::set_permissions(&planted, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(
            make(&planted).unwrap_err().kind(),
            io::ErrorKind::PermissionDenied
        );
        let link = base.path().join("link");
        std::os::unix::fs::symlink("/root", &link).unwrap();
        assert!(make(&link).is_err());
    }
}
