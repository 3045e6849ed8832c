//! MPyC's byte code: compiled once per runtime and Python, so that no session waits for the compiler.
//!
//! It lies where Python looks for it, in `mpyc/__pycache__`, one file per module and Python version. A separate
//! cache (`-X pycache_prefix`) would also hide the byte code of the standard library and of numpy, and each
//! session would compile those again: 1.4 s instead of 0.2 s.
//!
//! A disk that rots in a constant of a compiled file would make a party compute something else, so the digests
//! of the files are kept beside them and looked at on every use. Byte code is derived, never pinned: if it has
//! changed it is made again from the checked sources.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use std::{fs, io};

use e3_client::files;
use e3_core::digest::Digest;

use super::{Digests, Python};

/// For compiling. MPyC 0.11 takes 0.4 s here and about 5 s on a small Pi.
const DEADLINE: Duration = Duration::from_mins(2);
/// One compiled module, and the list of all.
const FILE: usize = 16 << 20;

/// Makes sure that the runtime at `root` has good byte code for `python`. An error costs speed, nothing else.
pub(super) async fn ensure(root: &Path, mpyc: &Path, python: &Python) -> io::Result<()> {
    let list = root.join(format!("bytecode-{}.json", python.cache_tag));
    let cache = mpyc.join("__pycache__");
    let known = files::read_bounded(&list, FILE)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Digests>(&bytes).ok());
    let now = digests(&cache, &python.cache_tag)?;
    if known.as_ref() == Some(&now) && !now.is_empty() {
        return Ok(());
    }
    if known.is_some() {
        tracing::warn!(
            "the byte code in {} has changed; compiling again",
            cache.display()
        );
    }
    for name in now.keys() {
        fs::remove_file(cache.join(name))?;
    }
    compile(mpyc, python).await?;
    files::publish(&cache).map_err(io::Error::other)?;
    let json = serde_json::to_vec(&digests(&cache, &python.cache_tag)?)?;
    files::write_atomic(&list, &json).map_err(io::Error::other)
}

async fn compile(mpyc: &Path, python: &Python) -> io::Result<()> {
    let mut command = tokio::process::Command::new(&python.path);
    // Checked hashes: byte code belongs to the text of its source, whatever the file's time says.
    command
        .args([
            "-I",
            "-m",
            "compileall",
            "-q",
            "-f",
            "--invalidation-mode",
            "checked-hash",
        ])
        .arg(mpyc);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.env_clear().current_dir("/").kill_on_drop(true);
    let (mut child, _own) = crate::supervisor::spawn_own(&mut command)?;
    let ended = tokio::time::timeout(DEADLINE, child.wait()).await;
    match ended.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
        status if status.success() => Ok(()),
        status => Err(io::Error::other(format!("compileall ended with {status}"))),
    }
}

fn digests(cache: &Path, tag: &str) -> io::Result<Digests> {
    let mut digests = Digests::new();
    let entries = match fs::read_dir(cache) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(digests),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.contains(&format!(".{tag}.")) {
            let bytes = files::read_bounded(&entry.path(), FILE).map_err(io::Error::other)?;
            digests.insert(name, Digest::of(&bytes));
        }
    }
    Ok(digests)
}
