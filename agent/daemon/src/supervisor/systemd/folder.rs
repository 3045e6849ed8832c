//! The folder that a unit reads: environment, arguments, links and the pipes of its outputs.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::{fs, io};

use e3_client::files;
use nix::sys::stat::Mode;
use tokio::net::unix::pipe;

use crate::supervisor::{JOB_VARIABLE, Job, SupervisorError};

/// Makes the folder that the unit reads.
pub(super) fn prepare(
    folder: &Path,
    job: &Job,
) -> Result<(pipe::Receiver, pipe::Receiver), SupervisorError> {
    let system = |what| move |source: io::Error| SupervisorError::System { what, source };
    clear(folder)?;
    files::private_folder(folder)?;
    let own = (JOB_VARIABLE.into(), job.id.clone().into());
    let mut environment = Vec::new();
    for (name, value) in job.env.iter().chain([&own]) {
        environment.extend(name.as_bytes());
        environment.extend(b"=\"");
        for byte in value.as_bytes() {
            // The four that mean something inside double quotes, see systemd.exec(5).
            if b"\"\\`$".contains(byte) {
                environment.push(b'\\');
            }
            environment.push(*byte);
        }
        environment.extend(b"\"\n");
    }
    files::write_private(&folder.join("environment"), &environment)?;
    let arguments: Vec<u8> = job
        .args
        .iter()
        .flat_map(|arg| arg.as_bytes().iter().copied().chain([0]))
        .collect();
    files::write_private(&folder.join("arguments"), &arguments)?;
    let link = |name: &str, to: &Path| std::os::unix::fs::symlink(to, folder.join(name));
    link("program", &job.program).map_err(system("prepare the unit's folder"))?;
    link("cwd", &job.cwd).map_err(system("prepare the unit's folder"))?;
    let fifo = |name| {
        let path = folder.join(name);
        nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).map_err(io::Error::from)?;
        // Also for writing: there is no end of file before systemd has opened it.
        pipe::OpenOptions::new()
            .read_write(true)
            .open_receiver(&path)
    };
    let stdout = fifo("stdout").map_err(system("make a named pipe"))?;
    Ok((stdout, fifo("stderr").map_err(system("make a named pipe"))?))
}

pub(super) fn clear(folder: &Path) -> Result<(), SupervisorError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(SupervisorError::System {
            what: "clear the unit's folder",
            source: error,
        }),
        _ => Ok(()),
    }
}
