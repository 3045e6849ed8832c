//! Where updates lie on the disk, and whether a binary there is what was signed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use e3_client::files::{self, FileError};
use e3_core::digest::{Blob, Digest, Hasher};
use e3_core::document::Root;
use e3_core::limits;
use e3_core::update::{Image, State};
use serde::Deserialize;

use crate::ledger::{self, LedgerError};

/// Read at a time.
const PIECE: usize = 64 * 1024;

/// The state folder as updates see it.
#[derive(Debug, Clone)]
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// The state folder `folder`, which need not exist yet.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// What is remembered; nothing on a machine that was never updated. What a newer agent has written beside it is
    /// no reason to stop: stage 0 is the oldest of all that read it.
    pub fn load(&self) -> Result<State, LedgerError> {
        Ok(ledger::load_part(&self.state())?.unwrap_or_default())
    }

    /// Remembers it: on the disk when this returns.
    pub fn save(&self, state: &State) -> Result<(), LedgerError> {
        ledger::save(&self.state(), state)
    }

    /// The newest root that this machine trusts. Only this much of the trust state is read here:
    /// the rest may be written by a newer agent than stage 0.
    pub fn root(&self) -> Result<Option<Root>, LedgerError> {
        #[derive(Deserialize)]
        struct Trust {
            root: Root,
        }
        let trust: Option<Trust> = ledger::load_part(&self.folder.join("trust.json"))?;
        Ok(trust.map(|trust| trust.root))
    }

    fn state(&self) -> PathBuf {
        self.folder.join("update.json")
    }

    /// The binary.
    pub fn binary(&self, file: &Digest) -> PathBuf {
        self.of(file).join("e3-agent")
    }

    /// The signed release beside the binary.
    pub fn release(&self, file: &Digest) -> PathBuf {
        self.of(file).join("release.json")
    }

    /// The folder of one binary.
    pub fn of(&self, file: &Digest) -> PathBuf {
        self.folder.join("bin").join(file.hex())
    }

    /// Opens a binary for execution, if it is what a release of the trusted root names. The text says
    /// why it is not.
    pub fn open(&self, root: &Root, image: &Image) -> Result<File, String> {
        let file = &image.file.digest;
        let release = files::read_bounded(&self.release(file), limits::ENVELOPE);
        let release = release.map_err(|error| crate::text::chain(&error))?;
        super::names(root, &release, &image.file)?;
        open_whole(&self.binary(file), &image.file)
    }

    /// Puts the signed release beside the binary.
    pub fn adopt(&self, file: &Digest, release: &[u8]) -> Result<(), FileError> {
        files::write_atomic(&self.release(file), release)
    }

    /// Removes every binary but these, and whatever interrupted work has left. What cannot be removed is
    /// left for the next time.
    pub fn retain(&self, keep: &BTreeSet<Digest>) {
        let Ok(entries) = fs::read_dir(self.folder.join("bin")) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let digest = name.to_str().and_then(|name| Digest::from_hex(name).ok());
            if digest.is_none_or(|digest| !keep.contains(&digest))
                && let Err(error) = fs::remove_dir_all(entry.path())
            {
                tracing::warn!(path = %entry.path().display(), %error, "an old binary cannot be removed");
            }
        }
    }
}

/// Opens the file at `path` if it is exactly `blob`, and nobody else could change it afterwards.
///
/// What is executed is this open file, so it does not matter what `path` names later. It is no copy
/// in memory (a sealed memfd): that would keep the whole binary in memory for as long as the agent
/// runs, and protect it only from those who may write to the state folder, who are the agent itself
/// and root.
pub fn open_whole(path: &Path, blob: &Blob) -> Result<File, String> {
    let cannot = |error: io::Error| format!("cannot read {}: {error}", path.display());
    // A link is not followed, a pipe does not block: neither is ever put there by the agent.
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let mut file = File::options()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    let ours = nix::unistd::geteuid().as_raw();
    if metadata.mode() & 0o022 != 0 || ![0, ours].contains(&metadata.uid()) {
        return Err("others may write to it".to_owned());
    }
    if metadata.len() != blob.size {
        return Err(format!(
            "it has {} bytes, not {}",
            metadata.len(),
            blob.size
        ));
    }
    let (mut hasher, mut piece, mut left) = (Hasher::default(), vec![0; PIECE], blob.size + 1);
    while left > 0 {
        let most = PIECE.min(usize::try_from(left).unwrap_or(PIECE));
        match file.read(&mut piece[..most]).map_err(cannot)? {
            0 => break,
            read => {
                hasher.update(&piece[..read]);
                left -= read as u64;
            }
        }
    }
    let has = hasher.finish();
    if has == blob.digest {
        Ok(file)
    } else {
        Err(format!("it hashes to {has}"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_the_very_file_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e3-agent");
        let blob = Blob::of(b"agent");
        let write = |bytes: &[u8], mode: u32| {
            let _ = fs::remove_file(&path);
            files::write_atomic(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        assert!(
            open_whole(&path, &blob)
                .unwrap_err()
                .contains("No such file")
        );
        write(b"agent", 0o555);
        open_whole(&path, &blob).unwrap();
        for (bytes, mode, why) in [
            (&b"agenT"[..], 0o555, "hashes to"),
            (b"agen", 0o555, "4 bytes, not 5"),
            (b"agents", 0o555, "6 bytes, not 5"),
            (b"agent", 0o575, "others may write"),
            (b"agent", 0o557, "others may write"),
        ] {
            write(bytes, mode);
            let error = open_whole(&path, &blob).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        let elsewhere = folder.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(open_whole(&path, &blob).is_err());
    }

    #[test]
    fn what_a_newer_agent_has_written_beside_the_state_stays_there() {
        let folder = tempfile::tempdir().unwrap();
        let (disk, path) = (Disk::new(folder.path()), folder.path().join("update.json"));
        let newer = br#"{"format":1,"writer":"99.0.0","unheard_of":[7]}"#;
        files::write_private(&path, newer).unwrap();
        let state = disk.load().unwrap();
        assert_eq!(state.rest["unheard_of"], serde_json::json!([7]));
        disk.save(&state).unwrap();
        let saved: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(saved["unheard_of"], serde_json::json!([7]));
        assert_eq!(saved["writer"], crate::update::VERSION);
        assert_eq!(disk.load().unwrap(), state);
    }

    #[test]
    fn what_is_not_kept_goes() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::new(folder.path());
        let [a, b] = [b"a", b"b"].map(|bytes| Digest::of(bytes));
        for path in [disk.of(&a), disk.of(&b), folder.path().join("bin/.new")] {
            fs::create_dir_all(path).unwrap();
        }
        disk.retain(&[a].into());
        let left: Vec<_> = fs::read_dir(folder.path().join("bin")).unwrap().collect();
        assert_eq!(left.len(), 1);
        assert!(disk.of(&a).exists());
    }
}
