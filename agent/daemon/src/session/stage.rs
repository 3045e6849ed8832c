//! Staging: everything that a session needs is fetched, checked, and laid out.
//!
//! Where the files come from is the business of `fetch`: the image's own store, what was fetched
//! before, the hub, and for MPyC then the Python index.

mod fetch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use e3_client::files;
use e3_core::digest::Digest;
use e3_core::document::Session;
use e3_core::name::Name;
use e3_core::pack;
use e3_core::session::{Context, Reason};
use e3_core::trust::Refusal;

use self::fetch::{Missing, Places};
use super::certificate::{self, Ephemeral};
use super::folder::Folder;
use crate::mesh::place;
use crate::runtime::{Python, Runtime};
use crate::shared::Shared;

/// An input is a few numbers, or a data set.
const INPUT: usize = 64 * 1024 * 1024;

/// What staging has laid out.
pub struct Staging {
    /// Python's working directory.
    pub work: PathBuf,
    /// The named inputs.
    pub inputs: PathBuf,
    /// The interpreter.
    pub python: Python,
    /// MPyC, unpacked.
    pub runtime: Runtime,
    /// By which the other parties reach this one.
    pub host: String,
    /// This party's TLS, if the session has it.
    pub tls: Option<Tls>,
}

/// What this party shows the others.
pub struct Tls {
    /// The folder of certificate and key, under the names by which MPyC looks for them.
    pub folder: PathBuf,
    /// The certificate, as PEM.
    pub certificate: String,
}

/// Stages a session.
pub async fn stage(shared: &Shared, context: &Context, folder: &Folder) -> Result<Staging, Reason> {
    let session = &context.session;
    folder.clear_run();
    let python = shared.pythons.find(&shared.settings.python).await?;
    let places = Places::of(shared);
    let pack = places.program(&session.program.pack).await;
    let pack = pack.map_err(tampered(|pinned, has| Reason::ProgramMismatch {
        pinned,
        has,
    }))?;
    let wheel = places.wheel(&session.mpyc).await;
    let wheel = wheel.map_err(tampered(|pinned, has| Reason::MpycFileMismatch {
        pinned,
        has,
    }))?;
    let work = folder.path("work");
    unpack(&pack, session, &work)?;
    let inputs = folder.path("inputs");
    lay_out_inputs(shared, context, &inputs)?;
    let mpyc = &session.mpyc;
    let runtime = shared
        .runtimes
        .prepare(&mpyc.wheel, wheel, &mpyc.version, &python)
        .await?;
    let host = place::host(shared, session).await?;
    let has_tls = mpyc.tls && session.parties.len() > 1;
    let tls = has_tls.then(|| make_tls(context.me, folder.path("tls")));
    Ok(Staging {
        work,
        inputs,
        python,
        runtime,
        host,
        tls: tls.transpose()?,
    })
}

fn make_tls(me: usize, folder: PathBuf) -> Result<Tls, Reason> {
    let disk = |error: files::FileError| Reason::Disk {
        detail: crate::text::chain(&error),
    };
    let failed = |error: rcgen::Error| Reason::Supervisor {
        detail: format!("no TLS certificate: {error}"),
    };
    let Ephemeral { certificate, key } = certificate::make(me).map_err(failed)?;
    files::private_folder(&folder).map_err(disk)?;
    let write = |name: String, text: &str| {
        files::write_fresh(&folder.join(name), text.as_bytes()).map_err(disk)
    };
    write(format!("party_{me}.key"), &key)?;
    write(format!("party_{me}.crt"), &certificate)?;
    Ok(Tls {
        folder,
        certificate,
    })
}

fn tampered(reason: impl Fn(Digest, Digest) -> Reason) -> impl Fn(Missing) -> Reason {
    move |missing| match missing {
        Missing::Tampered { pinned, has } => reason(pinned, has),
        Missing::Other(reason) => reason,
    }
}

fn unpack(bytes: &[u8], session: &Session, work: &Path) -> Result<(), Reason> {
    let unusable = |detail: String| Reason::Unavailable {
        what: "the program".to_owned(),
        detail,
    };
    let contents = pack::unpack(bytes).map_err(|error| unusable(error.to_string()))?;
    if !contents.contains_key(&session.program.entry) {
        return Err(unusable(format!("it has no {}", session.program.entry)));
    }
    let disk = |path: &Path, error: std::io::Error| Reason::Disk {
        detail: format!("{}: {error}", path.display()),
    };
    std::fs::create_dir_all(work).map_err(|error| disk(work, error))?;
    for (name, contents) in contents {
        let path = work.join(name);
        let parent = path.parent().unwrap_or(work);
        std::fs::create_dir_all(parent).map_err(|error| disk(parent, error))?;
        // Not the atomic write: the folder is made anew for every attempt.
        let written = std::fs::File::create_new(&path)
            .and_then(|mut file| std::io::Write::write_all(&mut file, &contents));
        written.map_err(|error| disk(&path, error))?;
    }
    // A program is no secret, and it may be another user who runs it.
    files::publish(work).map_err(|error| Reason::Disk {
        detail: crate::text::chain(&error),
    })
}

/// The digest of the program as it lies there: packed again, TLS files aside.
pub fn digest_of(work: &Path) -> Result<Digest, Reason> {
    let disk = |path: &Path, error: std::io::Error| Reason::Disk {
        detail: format!("{}: {error}", path.display()),
    };
    let mut found = BTreeMap::new();
    let mut folders = vec![work.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|error| disk(&folder, error))? {
            let path = entry.map_err(|error| disk(&folder, error))?.path();
            let name = path
                .strip_prefix(work)
                .ok()
                .and_then(Path::to_str)
                .unwrap_or_default()
                .to_owned();
            if name == ".config" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(
                    name,
                    std::fs::read(&path).map_err(|error| disk(&path, error))?,
                );
            }
        }
    }
    // What cannot be packed is not the program, whatever it is.
    Ok(Digest::of(&pack::pack(&found).unwrap_or_default()))
}

fn lay_out_inputs(shared: &Shared, context: &Context, folder: &Path) -> Result<(), Reason> {
    let refused = |input: &Name, detail: String| Reason::Refused {
        refusal: Refusal::InputMissing {
            input: input.clone(),
            detail,
        },
    };
    let disk = |error: files::FileError| Reason::Disk {
        detail: crate::text::chain(&error),
    };
    files::private_folder(folder).map_err(disk)?;
    let wanted = &context.session.parties[context.me].inputs;
    if wanted.is_empty() {
        return Ok(());
    }
    let policy = shared
        .policy()
        .map_err(|error| refused(&wanted[0], crate::text::chain(&error)))?;
    for input in wanted {
        // The policy was asked already; it may have changed since.
        let rule = policy
            .inputs
            .get(input)
            .ok_or_else(|| refused(input, "the policy does not name it".to_owned()))?;
        let bytes = files::read_bounded(Path::new(&rule.file), INPUT);
        // Other parties hear this reason, so it must not tell paths of this machine.
        let bytes = bytes.map_err(|error| {
            tracing::error!(%input, error = %crate::text::chain(&error), "cannot read an input");
            let detail = if error.is_not_found() {
                "the file is not there"
            } else {
                "the file cannot be read"
            };
            refused(input, detail.to_owned())
        })?;
        files::write_fresh(&folder.join(input.as_str()), &bytes).map_err(disk)?;
    }
    Ok(())
}
