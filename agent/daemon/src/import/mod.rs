//! `e3-agent import`: brings a join file from where its user could put it to where the agent reads it.
//!
//! The user of an image can write to its medium (a FAT partition, user data, a folder of Windows) and nowhere else. Each
//! image names its places in `[[import]]` ([`source`]). All of them are looked at, at boot and whenever one may have
//! changed; [`choose`] says which file counts. That one is copied into the agent's folder, and then the secrets are burnt
//! on the medium ([`e3_client::join::secrets`], [`medium`]).
//!
//! It runs as root, by itself, without a network, and hostile files are its daily bread: nothing is followed, waited for, or
//! read without a bound, and nothing of what they hold reaches a terminal as it is. Whatever goes wrong is said
//! ([`report`]), and is never a reason for the machine not to boot.
//!
//! The order of writes is what keeps a power cut harmless: the copy is on the disk before the record says so, and the record
//! says what is going to be burnt before the first byte of it is. A burn that was cut off is finished by the next look,
//! before anybody reads the file.

pub mod choose;
pub mod medium;
pub mod record;
pub mod report;
pub mod source;
pub mod ssh;
pub mod user_data;
pub mod wifi;

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use e3_client::clock::Clock;
use e3_core::digest::Digest;
use e3_core::text::clean;

use self::choose::{Found, Standing, choose};
use self::record::{Pending, Record, Seen};
use self::report::Report;
use self::source::{Source, What};
use crate::config::{Settings, imported};
use crate::ledger::{self, Ledger};
use crate::text::chain;
use e3_client::join::{Join, secrets};

/// What to do about a file that cannot be used.
const CORRECT: &str =
    "Correct the file, or write a new one with `e3 fleet invite NAME`; it is read again by itself.";

/// Where the importer keeps its own files.
#[derive(Debug)]
pub struct Folders {
    /// What must survive.
    pub state: PathBuf,
    /// What need not.
    pub run: PathBuf,
}

impl Folders {
    /// Beside the agent's folders, since they are root's; inside them if the agent imports by itself.
    pub fn of(settings: &Settings) -> Self {
        let of = |folder: &Path| {
            if imports_itself(settings) {
                return folder.join("import");
            }
            let mut beside = OsString::from(folder);
            beside.push("-import");
            beside.into()
        };
        Self {
            state: of(&settings.state),
            run: of(&settings.run),
        }
    }
}

/// Whether `e3-agent run` has to import before it does anything else, as in a container, where nobody else does.
pub fn imports_itself(settings: &Settings) -> bool {
    let is_environment = |source: &Source| matches!(source, Source::Environment { .. });
    settings.import.iter().any(is_environment)
}

/// What `e3-agent run` does first where nobody else imports: imports, and starts over without the variable, so that no child
/// and nobody who looks at the process finds the secret in its environment. Returns only to go on.
pub fn before_run(settings: &Settings) -> Option<std::io::Error> {
    if !imports_itself(settings) {
        return None;
    }
    e3_client::tls::install();
    run(settings);
    let names = settings.import.iter().filter_map(|source| match source {
        Source::Environment { name } => std::env::var_os(name).map(|_| name),
        _ => None,
    });
    let names: Vec<_> = names.collect();
    if names.is_empty() {
        return None;
    }
    let mut again = std::process::Command::new(match std::env::current_exe() {
        Ok(path) => path,
        Err(error) => return Some(error),
    });
    again.args(std::env::args_os().skip(1));
    for name in names {
        again.env_remove(name);
    }
    Some(again.exec())
}

/// One file that can be used, with its text.
struct Usable {
    found: Found,
    text: String,
    file: Option<PathBuf>,
}

/// Looks at all places, and takes what counts. It cannot fail: whatever goes wrong stands in the report.
pub fn run(settings: &Settings) -> Report {
    let folders = Folders::of(settings);
    let mut report = Report::default();
    for folder in [&folders.state, &folders.run] {
        // systemd has made them; elsewhere they are made here.
        if let Err(error) = std::fs::create_dir_all(folder) {
            let text = format!("cannot create {}: {error}", folder.display());
            report.problem(&text, "Make room on the disk, or make it writable.");
        }
    }
    let path = record::path(&folders.state);
    let mut record: Record = match ledger::load(&path) {
        Ok(record) => record.unwrap_or_default(),
        Err(error) => {
            report.hint(&format!("begins a new record: {}", chain(&error)));
            Record::default()
        }
    };
    let before = serde_json::to_value(&record).ok();
    finish(&mut record, &mut report);
    import(settings, &folders, &mut record, &mut report);
    if serde_json::to_value(&record).ok() != before {
        save(&path, &record, &mut report);
    }
    report.taken = record.taken.as_deref().map(|place| clean(place, 400));
    report.log();
    if let Err(error) = report.write(&folders.run) {
        tracing::warn!(error = %chain(&error), "the report cannot be written");
    }
    report
}

fn import(settings: &Settings, folders: &Folders, record: &mut Record, report: &mut Report) {
    let copy = imported(&settings.state);
    let usable = look(settings, record, report);
    let found: Vec<Found> = usable.iter().map(|one| one.found.clone()).collect();
    // The folder is the agent's: it is read like any other medium.
    let followed = medium::read(&copy, e3_client::join::LIMIT).ok().flatten();
    let followed = followed.and_then(|bytes| Join::parse(&copy, &bytes).ok());
    let standing = Standing {
        has_joined: Ledger::at(&settings.state).joined().exists(),
        current: followed.map(|join| (record.taken.clone().unwrap_or_default(), join)),
    };
    let choice = choose(&found, &standing);
    let place = |at: &usize| found[*at].place.as_str();
    if let Some((kept, against)) = &choice.against {
        for at in against {
            let text = format!("{} disagrees with {kept}, which counts", place(at));
            let remedy = if !standing.has_joined {
                "Remove the one that shall not count."
            } else if found[*at].is_owners {
                "Remove it; or, to have it count, change anything in it."
            } else {
                "Remove it. This machine has joined, so only the place that it was joined from and /etc/e3/e3.toml can change that."
            };
            report.problem(&text, remedy);
        }
    }
    if !choice.refused.is_empty() {
        let names: Vec<_> = choice.refused.iter().map(place).collect();
        let text = format!(
            "these join files disagree, and none of them is taken: {}",
            names.join(", ")
        );
        report.problem(&text, "Remove all but one of them.");
    }
    if let Some(at) = choice.take {
        let one = &usable[at];
        if !settings.ssh && !one.found.join.ssh_keys.is_empty() {
            report.hint(&format!(
                "{} has ssh keys, which this kind of machine does not take from a join file",
                one.found.place
            ));
        }
        if let Err(problem) = take(settings, folders, one, &copy) {
            let text = format!("{} cannot be taken: {problem}", one.found.place);
            report.problem(&text, "Make room on the disk, or make it writable.");
            return;
        }
        report.hint(&format!("takes the join file at {}", one.found.place));
        if one.file.is_none() && !secrets::tokens(&one.text).is_empty() {
            report.hint("what stands there cannot be burnt; its token works once");
        }
        record.taken = Some(one.found.place.clone());
    }
    for (at, one) in usable.iter().enumerate() {
        if choice.refused.contains(&at) {
            continue;
        }
        let used = choice.take == Some(at) || (one.found.used && !one.found.is_new);
        if let Some(seen) = record
            .seen
            .get_mut(&one.found.place)
            .filter(|_| !one.found.is_new)
        {
            seen.used = used;
            continue;
        }
        let burnt = secrets::burn(&one.text, &secrets::all(&one.text));
        let seen = Seen {
            whole: Digest::of(one.text.as_bytes()),
            burnt: Digest::of(burnt.as_bytes()),
            used,
        };
        record.seen.insert(one.found.place.clone(), seen);
    }
    // Its twins hold the same secrets.
    let Some(at) = choice.take else { return };
    let taken = &usable[at].found.join;
    let twins = usable
        .iter()
        .filter(|one| one.found.join.agrees_with(taken));
    for one in twins {
        let places = secrets::all(&one.text);
        if let Some(file) = one.file.as_ref().filter(|_| !places.is_empty()) {
            record
                .pending
                .push(Pending::new(file.clone(), &one.text, &places));
        }
    }
    // Before the first byte is burnt.
    if save(&record::path(&folders.state), record, report) {
        finish(record, report);
    }
}

/// Looks at all places; says what cannot be used.
fn look(settings: &Settings, record: &Record, report: &mut Report) -> Vec<Usable> {
    let mut usable = Vec::new();
    let clock = Clock::default();
    for (rank, source) in settings.import.iter().enumerate() {
        for look in source.look() {
            let place = look.place;
            let bytes = match look.what {
                What::Text(bytes) => bytes,
                What::Other(name) => {
                    report.hint(&format!(
                        "{place} are {name}, no join file, and are left alone"
                    ));
                    continue;
                }
                What::Unusable(problem) => {
                    report.problem(&format!("{place} {problem}"), CORRECT);
                    continue;
                }
                What::Hint { text, remedy } => {
                    report.problem(&text, remedy);
                    continue;
                }
            };
            let join = match Join::check(Path::new(&place), &bytes, &clock) {
                Ok(join) => join,
                Err(error) => {
                    report.problem(&chain(&error), CORRECT);
                    continue;
                }
            };
            let seen = record.seen.get(&place).filter(|seen| seen.is(&bytes));
            usable.push(Usable {
                found: Found {
                    rank,
                    is_new: seen.is_none(),
                    used: seen.is_some_and(|seen| seen.used),
                    is_owners: source.is_owners(),
                    join,
                    place,
                },
                text: String::from_utf8_lossy(&bytes).into_owned(),
                file: look.file,
            });
        }
    }
    usable
}

/// The copy for the agent, which is not root and has no business with the Wi-Fi password.
fn take(settings: &Settings, folders: &Folders, one: &Usable, copy: &Path) -> Result<(), String> {
    if let Some(wifi) = &one.found.join.wifi {
        let written = wifi::write(wifi, settings.wifi, &folders.state.join("wifi"));
        written.map_err(|error| chain(&error))?;
    }
    let keys = one.found.join.ssh_keys.as_slice();
    let keys = if settings.ssh { keys } else { &[] };
    ssh::write(keys, &folders.state.join("ssh")).map_err(|error| chain(&error))?;
    let text = secrets::burn(&one.text, &secrets::passwords(&one.text));
    give(copy, text.as_bytes()).map_err(|error| format!("cannot write {}: {error}", copy.display()))
}

/// Writes a file into a folder for the folder's owner. The folder may be theirs; nothing in it is followed.
fn give(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let owner = folder.symlink_metadata()?;
    if !owner.is_dir() {
        return Err(std::io::ErrorKind::NotADirectory.into());
    }
    // Private, and whatever name is there before is not it.
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    std::os::unix::fs::fchown(file.as_file(), Some(owner.uid()), Some(owner.gid()))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}

/// Burns what is to be burnt, also what an earlier run could not.
fn finish(record: &mut Record, report: &mut Report) {
    record
        .pending
        .retain(|pending| match medium::burn(pending) {
            Ok(true) => {
                report.hint(&format!(
                    "has burnt the secrets in {}",
                    pending.path.display()
                ));
                false
            }
            Ok(false) => false,
            Err(problem) => {
                let text = format!(
                    "the secrets in {} cannot be burnt: {problem}",
                    pending.path.display()
                );
                report.problem(&text, "Delete the file; it is not needed any more.");
                true
            }
        });
}

fn save(path: &Path, record: &Record, report: &mut Report) -> bool {
    if let Err(error) = ledger::save(path, record) {
        report.problem(
            &chain(&error),
            "Make room on the disk, or make it writable.",
        );
        return false;
    }
    true
}

#[cfg(test)]
mod tests;
