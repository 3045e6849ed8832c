//! Runtimes: MPyC wheels, unpacked under their digest, several versions side by side.
//!
//! ```text
//! <state>/runtime/<wheel's digest>/files/mpyc/…      what is put on Python's path
//! <state>/runtime/<wheel's digest>/bytecode-*.json   digests of the byte code, one file per Python
//! <state>/runtime/<wheel's digest>/good              touched after each session that ended well
//! <state>/quarantine/<wheel's digest>-<n>            a runtime that was found changed
//! ```
//!
//! A runtime is compared with its wheel, every byte, before every session: the wheel's digest is what the
//! manifest pins, and Python reads the unpacked files. Fetching the wheel is not done here.

mod bytecode;
mod python;
pub mod wheel;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use std::{fs, io};

use e3_client::files;
use e3_core::digest::{Blob, Digest};
use e3_core::session::Reason;

pub use self::python::{Python, Pythons};
use crate::store;

/// How many runtimes that sessions ended well on are kept besides those in use.
const GOOD_KEPT: usize = 2;

/// The runtimes on this machine.
#[derive(Debug)]
pub struct Runtimes {
    dir: PathBuf,
    quarantine: PathBuf,
    /// What is in the wheels that were read since the agent started. Locked by who prepares: one at a time, for two
    /// sessions may need the same runtime at the same moment.
    listings: tokio::sync::Mutex<BTreeMap<Digest, Arc<Listing>>>,
}

/// What a wheel unpacks to: enough to compare the unpacked files with it, without unpacking it again.
#[derive(Debug)]
struct Listing {
    /// The version in its `mpyc/__init__.py`.
    version: String,
    /// Name → digest of the contents.
    files: Digests,
}

impl Listing {
    fn of(files: &wheel::Files) -> Self {
        Self {
            version: wheel::version_in(&files[wheel::MPYC_INIT]).unwrap_or_default(),
            files: digests(files),
        }
    }
}

/// Name of a file → its digest.
type Digests = BTreeMap<String, Digest>;

fn digests(files: &wheel::Files) -> Digests {
    let digest = |(name, bytes): (&String, &Vec<u8>)| (name.clone(), Digest::of(bytes));
    files.iter().map(digest).collect()
}

/// A runtime that is ready: unpacked, compared, compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    /// The wheel's digest.
    pub wheel: Digest,
    /// The Python it was made ready for.
    pub python: Python,
    /// The folder that has `mpyc/`, for Python's path.
    pub mpyc_dir: PathBuf,
}

impl Runtimes {
    /// Opens the runtimes of the agent with this state folder, and removes what an interrupted unpacking left.
    pub fn open(state: &Path) -> Result<Self, files::FileError> {
        let dir = state.join("runtime");
        files::private_folder(&dir)?;
        let runtimes = Self {
            dir,
            quarantine: state.join("quarantine"),
            listings: tokio::sync::Mutex::default(),
        };
        for name in runtimes
            .names()
            .filter(|name| Digest::from_hex(name).is_err())
        {
            let path = runtimes.dir.join(name);
            if let Err(error) = fs::remove_dir_all(&path) {
                tracing::warn!("cannot remove {}: {error}", path.display());
            }
        }
        Ok(runtimes)
    }

    /// Makes the runtime of this wheel ready for this Python. `bytes` are the wheel's, `version` is what the
    /// manifest says MPyC's version is.
    ///
    /// # Errors
    /// [`Reason::MpycFileMismatch`], [`Reason::MpycMismatch`]: the wheel or the unpacked files are others; what was
    /// unpacked is in quarantine then, and the next session gets a fresh copy. [`Reason::Unavailable`]: the wheel
    /// cannot be used. [`Reason::Disk`].
    pub async fn prepare(
        &self,
        blob: &Blob,
        bytes: Vec<u8>,
        version: &str,
        python: &Python,
    ) -> Result<Runtime, Reason> {
        let mut listings = self.listings.lock().await;
        let known = listings.get(&blob.digest).cloned();
        let root = self.dir.join(blob.digest.hex());
        let (dir, quarantine) = (self.dir.clone(), self.quarantine.clone());
        let (pinned, version, path) = (*blob, version.to_owned(), root.clone());
        // Unpacking waits for the disk; the agent has heartbeats to send meanwhile.
        let work =
            move || prepare_files(&dir, &quarantine, &path, &pinned, &bytes, &version, known);
        let done = tokio::task::spawn_blocking(work).await;
        let listing = done.map_err(|error| Reason::Disk {
            detail: format!("{}: {error}", root.display()),
        })??;
        listings.insert(blob.digest, listing);
        let mpyc_dir = root.join("files");
        if let Err(error) = bytecode::ensure(&root, &mpyc_dir.join("mpyc"), python).await {
            tracing::warn!("MPyC is used without byte code, which costs time only: {error}");
        }
        Ok(Runtime {
            wheel: blob.digest,
            python: python.clone(),
            mpyc_dir,
        })
    }

    /// Notes that a session ended well on this runtime.
    pub fn good(&self, wheel: &Digest) {
        let mark = self.dir.join(wheel.hex()).join("good");
        if let Err(error) = files::write_atomic(&mark, b"") {
            tracing::warn!("cannot note a good runtime: {error}");
        }
    }

    /// Removes all runtimes but those in use and the two that were last good.
    pub fn retain(&self, in_use: &BTreeSet<Digest>) -> io::Result<()> {
        let all = self.names().filter_map(|name| Digest::from_hex(&name).ok());
        let unused: Vec<Digest> = all.filter(|wheel| !in_use.contains(wheel)).collect();
        let last_good = |wheel: &Digest| -> Option<SystemTime> {
            fs::metadata(self.dir.join(wheel.hex()).join("good"))
                .and_then(|m| m.modified())
                .ok()
        };
        let mut aged: Vec<_> = unused
            .into_iter()
            .map(|wheel| (last_good(&wheel), wheel))
            .collect();
        aged.sort_by(|a, b| b.cmp(a));
        let is_kept = |(n, (good, _)): &(usize, (Option<SystemTime>, Digest))| {
            good.is_some() && *n < GOOD_KEPT
        };
        for (_, (_, wheel)) in aged.into_iter().enumerate().filter(|each| !is_kept(each)) {
            // Renamed first: half a runtime must not be found under its digest.
            let gone = self.dir.join(format!("{}.old", wheel.hex()));
            fs::rename(self.dir.join(wheel.hex()), &gone)?;
            fs::remove_dir_all(&gone)?;
            if let Ok(mut listings) = self.listings.try_lock() {
                listings.remove(&wheel);
            }
        }
        Ok(())
    }

    fn names(&self) -> impl Iterator<Item = String> + use<> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
    }
}

fn prepare_files(
    dir: &Path,
    quarantine: &Path,
    root: &Path,
    pinned: &Blob,
    bytes: &[u8],
    version: &str,
    known: Option<Arc<Listing>>,
) -> Result<Arc<Listing>, Reason> {
    let mismatch = |has| Reason::MpycFileMismatch {
        pinned: pinned.digest,
        has,
    };
    if !pinned.names(bytes) {
        return Err(mismatch(Digest::of(bytes)));
    }
    let unusable = |error: wheel::WheelError| Reason::Unavailable {
        what: "MPyC".to_owned(),
        detail: format!(
            "the wheel {} is not usable: {}",
            pinned.digest.short(),
            crate::text::chain(&error)
        ),
    };
    let is_there = root.symlink_metadata().is_ok();
    let (listing, files) = if let Some(listing) = known.filter(|_| is_there) {
        (listing, None)
    } else {
        let files = wheel::read(bytes).map_err(unusable)?;
        (Arc::new(Listing::of(&files)), Some(files))
    };
    if listing.version != version {
        return Err(Reason::MpycMismatch {
            pinned: version.to_owned(),
            has: listing.version.clone(),
        });
    }
    let disk = |error: io::Error| Reason::Disk {
        detail: format!("{}: {error}", root.display()),
    };
    if let Some(files) = files.filter(|_| !is_there) {
        unpack(dir, root, &files).map_err(disk)?;
        return Ok(listing);
    }
    let Err(found) = compare(&root.join("files"), &listing.files).map_err(disk)? else {
        return Ok(listing);
    };
    store::quarantine(quarantine, root).map_err(|error| Reason::Disk {
        detail: crate::text::chain(&error),
    })?;
    match found.version {
        Some(has) if has != version => Err(Reason::MpycMismatch {
            pinned: version.to_owned(),
            has,
        }),
        _ => Err(mismatch(found.digest)),
    }
}

/// Writes all files to a new folder beside `root`, which then becomes `root`.
fn unpack(dir: &Path, root: &Path, contents: &wheel::Files) -> io::Result<()> {
    let new = tempfile::Builder::new().prefix("new-").tempdir_in(dir)?;
    for (name, contents) in contents {
        let path = new.path().join("files").join(name);
        fs::create_dir_all(path.parent().unwrap_or(dir))?;
        let mut file = fs::File::create_new(&path)?;
        io::Write::write_all(&mut file, contents)?;
        // A power cut must not leave empty files under the runtime's name.
        file.sync_all()?;
    }
    // MPyC is no secret, and it may be another user who runs it.
    files::publish(&new.path().join("files")).map_err(io::Error::other)?;
    fs::rename(new.path(), root)?;
    // It is not there any more under that name: nothing is left to remove.
    let _ = new.keep();
    fs::File::open(dir)?.sync_all()
}

/// What a changed runtime turned out to be.
struct Changed {
    /// The version that its `mpyc/__init__.py` has.
    version: Option<String>,
    /// A digest over the names and contents of all its files.
    digest: Digest,
}

/// Whether the unpacked files are exactly these, besides byte code of modules that are among them.
fn compare(unpacked: &Path, wanted: &Digests) -> io::Result<Result<(), Changed>> {
    let mut found = wheel::Files::new();
    collect(unpacked, "", &mut found)?;
    let is_bytecode = |name: &str| {
        let parts = name
            .split_once("/__pycache__/")
            .and_then(|(folder, file)| Some((folder, file.split_once('.')?)));
        // What an interrupted compiler left has a number after `.pyc`; Python does not look at it.
        parts.is_some_and(|(folder, (module, rest))| {
            rest.contains(".pyc") && wanted.contains_key(&format!("{folder}/{module}.py"))
        })
    };
    found.retain(|name, _| !is_bytecode(name));
    let has = digests(&found);
    if has == *wanted {
        return Ok(Ok(()));
    }
    let version = found
        .get(wheel::MPYC_INIT)
        .and_then(|init| wheel::version_in(init));
    let lines: Vec<String> = has
        .iter()
        .map(|(name, digest)| format!("{digest} {name}"))
        .collect();
    Ok(Err(Changed {
        version,
        digest: Digest::of(lines.join("\n").as_bytes()),
    }))
}

fn collect(folder: &Path, prefix: &str, found: &mut wheel::Files) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        // An empty runtime is one that differs.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type()?;
        if kind.is_dir() && found.len() < wheel::ENTRIES {
            collect(&entry.path(), &format!("{name}/"), found)?;
            continue;
        }
        // A link is not what was unpacked, and a file of any length need not be read to say that it differs.
        let bytes = if kind.is_file() && !name.contains("/__pycache__/") {
            files::read_bounded(&entry.path(), MODULE).unwrap_or_default()
        } else {
            Vec::new()
        };
        found.insert(name, bytes);
        if found.len() > 2 * wheel::ENTRIES {
            break;
        }
    }
    Ok(())
}

/// One unpacked file.
const MODULE: usize = 64 << 20;

#[cfg(test)]
mod tests;
