//! What lies below [`super::ROOT`] for one instance.
//!
//! On the machine only the agent's user can enter; in the unit another user sees the parts that are mounted there,
//! so these can be read by everybody. Secrets are not among them: systemd reads those as root and hands them on.

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::{fs, io};

use nix::sys::stat::Mode;
use tokio::net::unix::pipe;

use crate::supervisor::{Job, SupervisorError};

/// Bytes of all inputs that go as credentials: systemd takes 1 MiB for a unit, the TLS files included.
const CREDENTIALS: u64 = 960 << 10;

/// The folder of one instance.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn exists(&self) -> bool {
        self.0.exists()
    }

    /// Lays out what the unit reads; returns where the gate's socket must be.
    pub(super) fn prepare(&self, job: &Job) -> Result<PathBuf, SupervisorError> {
        self.clear()?;
        self.lay_out(job).map_err(|source| self.error(source))
    }

    fn lay_out(&self, job: &Job) -> io::Result<PathBuf> {
        let files = &job.files;
        let view = self.0.join("view");
        let large = job.dir.join("large");
        make(&self.0, 0o711)?;
        make(&view, 0o755)?;
        make(&large, 0o755)?;
        // Always there: systemd refuses to start a unit without them.
        let (inputs, tls) = (self.0.join("inputs"), self.0.join("tls"));
        make(&inputs, 0o700)?;
        make(&tls, 0o700)?;
        copy(&files.gate, &view.join("gate.py"), 0o644)?;
        if let Some(folder) = &files.tls {
            for file in fs::read_dir(folder)? {
                let file = file?;
                copy(&file.path(), &tls.join(file.file_name()), 0o600)?;
            }
        }
        hand_out(&files.inputs, &inputs, &large)?;
        symlink(&files.program, self.0.join("program"))?;
        symlink(&files.mpyc, self.0.join("mpyc"))?;
        symlink(&large, self.0.join("large"))?;
        for name in ["stdout", "stderr"] {
            nix::unistd::mkfifo(&self.0.join(name), Mode::S_IRUSR | Mode::S_IWUSR)?;
        }
        Ok(view.join("gate.sock"))
    }

    /// The reading ends of standard output and standard error.
    pub(super) fn pipes(&self) -> Result<(pipe::Receiver, pipe::Receiver), SupervisorError> {
        let open = |name| {
            // Also for writing: there is no end of file before systemd has opened it.
            let receiver = pipe::OpenOptions::new()
                .read_write(true)
                .open_receiver(self.0.join(name));
            receiver.map_err(|source| self.error(source))
        };
        Ok((open("stdout")?, open("stderr")?))
    }

    /// Removes it.
    pub(super) fn clear(&self) -> Result<(), SupervisorError> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.error(error)),
            _ => Ok(()),
        }
    }

    fn error(&self, source: io::Error) -> SupervisorError {
        SupervisorError::Folder {
            path: self.0.clone(),
            source,
        }
    }
}

/// Puts the inputs into one of two folders: the smallest where systemd takes its credentials from, what does not fit
/// there any more where the unit can read it by itself.
fn hand_out(inputs: &Path, small: &Path, large: &Path) -> io::Result<()> {
    let mut found = Vec::new();
    for file in fs::read_dir(inputs)? {
        let file = file?;
        found.push((file.metadata()?.len(), file.path(), file.file_name()));
    }
    found.sort();
    let mut room = CREDENTIALS;
    for (length, path, name) in found {
        if length <= room {
            room -= length;
            copy(&path, &small.join(name), 0o600)?;
        } else {
            // No copy: it may be many megabytes, and its own folder is closed to everybody else.
            let link = large.join(name);
            fs::hard_link(&path, &link)?;
            fs::set_permissions(&link, Permissions::from_mode(0o444))?;
        }
    }
    Ok(())
}

fn make(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Whatever the umask.
    fs::set_permissions(path, Permissions::from_mode(mode))
}

fn copy(from: &Path, to: &Path, mode: u32) -> io::Result<()> {
    fs::copy(from, to)?;
    fs::set_permissions(to, Permissions::from_mode(mode))
}
