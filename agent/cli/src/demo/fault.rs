//! What `e3 demo --fault` breaks: always at the last party, and always for real.

use std::path::Path;
use std::time::Duration;

use e3_client::files;
use e3_client::hub::Hub;
use e3_core::document::{Presence, Progress, Session};
use e3_core::envelope::Verified;
use e3_core::pack;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::local::LocalFleet;
use super::plan::Plan;
use crate::args::Fault;
use crate::error::Error;
use crate::index::Wheel;
use crate::manifest::bundle::Bundle;

/// How often the victim is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The words that must name a fault: `kind` of the reason.
pub const fn expected(fault: Fault) -> &'static str {
    match fault {
        Fault::Kill => "killed",
        Fault::Version => "mpyc-mismatch",
        Fault::Program => "program-mismatch",
        Fault::Offline => "missing",
    }
}

/// Breaks what must be broken before the session is pushed.
pub async fn before(
    fault: Fault,
    fleet: &mut LocalFleet,
    plan: &Plan,
    bundle: &Bundle,
    wheel: &Wheel,
) -> Result<(), Error> {
    let victim = plan.count - 1;
    let state = fleet.parties[victim].state();
    match fault {
        Fault::Kill => {}
        Fault::Offline => fleet.kill_agent(victim).await,
        Fault::Program => {
            // The program under its right name, with one constant changed.
            let named = bundle.session.program.pack.digest;
            let mut contents = pack::unpack(&bundle.pack()?).map_err(|source| Error::Usage {
                message: source.to_string(),
                remedy: "Sign the session again.",
            })?;
            if let Some(text) = contents.get_mut(&bundle.session.program.entry) {
                text.extend_from_slice(b"\nCONSTANT = 2\n");
            }
            let changed = pack::pack(&contents).unwrap_or_default();
            files::write_private(&state.join("blobs").join(named.hex()), &changed)?;
        }
        Fault::Version => {
            // An unpacked MPyC under the right name that says it is 0.10.
            let root = state
                .join("runtime")
                .join(wheel.blob().digest.hex())
                .join("files");
            unzip(fleet.python(), &wheel.bytes, &root).await?;
            let init = root.join("mpyc/__init__.py");
            let text = files::read_bounded(&init, 1 << 20)?;
            let text = String::from_utf8_lossy(&text);
            let pinned = format!("__version__ = '{}'", bundle.session.mpyc.version);
            files::write_private(
                &init,
                text.replace(&pinned, "__version__ = '0.10'").as_bytes(),
            )?;
        }
    }
    Ok(())
}

/// Python's own unpacker: the demo wants a folder, not another dependency.
async fn unzip(python: &Path, wheel: &[u8], folder: &Path) -> Result<(), Error> {
    files::private_folder(folder)?;
    let path = folder.with_extension("whl");
    files::write_private(&path, wheel)?;
    let failed = |source| Error::Folder {
        action: "unpack MPyC with",
        path: python.to_owned(),
        source,
    };
    let mut unpack = tokio::process::Command::new(python);
    let status = unpack
        .args(["-m", "zipfile", "-e"])
        .arg(&path)
        .arg(folder)
        .status()
        .await
        .map_err(failed)?;
    if !status.success() {
        return Err(failed(std::io::Error::other("it cannot unpack the wheel")));
    }
    std::fs::remove_file(&path).map_err(failed)
}

/// Breaks what must be broken while the session runs; `agent` is the victim's process.
pub async fn during(fault: Fault, hub: &Hub, agent: Option<u32>, session: &Verified<Session>) {
    if fault != Fault::Kill {
        return;
    }
    let victim = session.document.parties.len() - 1;
    let key = session.document.parties[victim].key;
    loop {
        tokio::time::sleep(LOOK).await;
        let presence = hub.presence(&key).await.ok().flatten();
        let presence =
            presence.and_then(|bytes| Presence::open(&bytes, &key, &session.document.fleet));
        let progress = presence.and_then(|presence| {
            presence
                .sessions
                .iter()
                .find(|other| other.manifest == session.digest)
                .map(|other| other.progress)
        });
        match progress {
            Some(Progress::Done | Progress::Failed) => return,
            Some(Progress::Running) => {
                if let Some(program) = agent.and_then(child_of) {
                    // Gone already means that somebody else was faster.
                    let _ = kill(program, Signal::SIGKILL);
                    return;
                }
            }
            _ => {}
        }
    }
}

/// The process that a process has started: an agent's one child is its program.
fn child_of(parent: u32) -> Option<Pid> {
    let entries = std::fs::read_dir("/proc").ok()?;
    entries.flatten().find_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // After the name in brackets: state, then the parent.
        let of: u32 = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        (of == parent).then(|| Pid::from_raw(pid))
    })
}
